import CGpiod
import Glibc
import Readings
import Settings

/// A GPIO input line, found by its label and requested for edge events. Given back when it goes. One task uses it.
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

    init(label: String, options: cgpiod_options) throws(SensorError) {
        doing = "watch the GPIO line \(label)"
        var line = cgpiod_line()
        guard cgpiod_find(label, &line) == 0 else {
            switch errno {
            case EACCES:
                let chip = Self.text(line.chip)
                throw SensorError(
                    doing: doing, reason: "no permission to open \(chip)", remedy: DeviceAccess.remedy(for: chip))
            case ENODEV:
                throw SensorError(
                    doing: doing, reason: "this machine shows no GPIO chip (/dev/gpiochip*)",
                    remedy: "see that the board's GPIO driver is loaded: ls /sys/bus/gpio/devices", isAbsent: true)
            default:
                throw SensorError(
                    doing: doing, reason: "no chip has a line of that name\(Self.hint(label))",
                    remedy: "see what is there with: gpioinfo", isAbsent: true)
            }
        }
        let chip = Self.text(line.chip)
        var options = options
        guard let watch = cgpiod_watch_open(chip, line.offset, "tidegate", &options) else {
            let code = errno
            let holder = Self.text(line.consumer)
            throw SensorError(
                doing: "\(doing) (\(chip), line \(line.offset))", code: code,
                remedies: [
                    EBUSY:
                        "it is held by \(holder.isEmpty ? "another program or driver" : "\"\(holder)\""); stop that, or use another line",
                    EINVAL: "the chip does not do that bias or edge; leave bias out",
                ])
        }
        self.watch = watch
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

    /// A C string in an array of its own.
    private static func text<T>(_ characters: T) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func hint(_ label: String) -> String {
        final class Names { var list: [String] = [] }
        let names = Names()
        cgpiod_each_name(
            { name, context in
                guard let name, let context else { return }
                Unmanaged<Names>.fromOpaque(context).takeUnretainedValue().list.append(String(cString: name))
            }, Unmanaged.passUnretained(names).toOpaque())
        return NearestName.of(label, among: names.list).map { "; did you mean \"\($0)\"?" } ?? ""
    }
}
