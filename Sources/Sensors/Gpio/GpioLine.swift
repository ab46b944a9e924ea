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

    init(_ address: LineAddress, options: cgpiod_options, keeper: OutputKeeper?) throws(SensorError) {
        let doing = "watch the GPIO line \(address)"
        watch = try address.find(doing: doing).request(doing: doing, keeper: keeper) { found in
            var options = options
            return cgpiod_watch_open(found.chip, found.offset, "tidegate", &options)
        }
        self.doing = doing
    }

    deinit { cgpiod_watch_close(watch) }

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
