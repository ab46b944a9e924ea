import CGpiod
import Glibc
import Readings

/// A GPIO input line, requested for edge events through libgpiod. Given back when it goes. One task uses it.
struct GpioLine: ~Copyable {
    struct Edge: Hashable, Sendable {
        var rising: Bool
        /// `CLOCK_MONOTONIC`, taken by the kernel.
        var monotonicNanoseconds: Int64
    }

    private let watch: OpaquePointer
    private let doing: String

    /// Whether the kernel debounces; through libgpiod 1.x it does not.
    static var isDebouncedByKernel: Bool { cgpiod_debounces() }

    init(_ place: GpioPlace, options: cgpiod_options, holder: LineHolder?) throws(SensorError) {
        doing = "watch the GPIO line \(place)"
        let found = try place.find(doing: doing)
        var options = options
        var watch = cgpiod_watch_open(found.chip, found.offset, "tidegate", &options)
        // It was an output of ours until the settings were changed.
        if watch == nil, errno == EBUSY, holder?.letGo(found.identity) == true {
            watch = cgpiod_watch_open(found.chip, found.offset, "tidegate", &options)
        }
        guard let watch else { throw GpioLine.failure(doing: doing, found, code: errno) }
        self.watch = watch
    }

    deinit { cgpiod_watch_close(watch) }

    /// Why a line could not be had.
    static func failure(doing: String, _ found: GpioPlace.Found, code: Int32) -> SensorError {
        SensorError(
            doing: "\(doing) (\(found.chip), line \(found.offset))", code: code,
            remedies: [
                EBUSY:
                    "it is held by \(found.holder.map { "\"\($0)\"" } ?? "another program or driver"); stop that, or use another line",
                EACCES: DeviceAccess.remedy(for: found.chip),
                EINVAL: "the chip does not do that bias, edge or drive; leave it out",
                EOPNOTSUPP: "the chip does not do that bias or drive; leave it out",
            ])
    }

    /// Readable when an edge waits.
    var descriptor: Int32 { cgpiod_watch_fd(watch) }

    /// The logical value now.
    func value() throws(SensorError) -> Bool {
        let value = cgpiod_watch_value(watch)
        guard value >= 0 else { throw SensorError(doing: doing, code: errno) }
        return value == 1
    }

    /// So many edges in one go, and the kernel may have lost what came after them: ask for the value.
    static let fullBatch = Int(CGPIOD_EVENTS_AT_ONCE)

    /// The edges that wait; to be called only when the descriptor is readable.
    func edges() throws(SensorError) -> [Edge] {
        var edges = [cgpiod_edge](repeating: cgpiod_edge(), count: Self.fullBatch)
        let count = cgpiod_watch_read(watch, &edges, Int32(edges.count))
        guard count >= 0 else {
            if errno == EINTR || errno == EAGAIN { return [] }
            throw SensorError(doing: doing, code: errno)
        }
        return edges[..<Int(count)].map { Edge(rising: $0.rising, monotonicNanoseconds: $0.monotonic_ns) }
    }
}
