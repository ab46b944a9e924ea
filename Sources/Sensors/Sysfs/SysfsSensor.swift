import Glibc
import Readings
package import Settings

/// What drivers of the kernel's measure, read from the files that it shows: 1-Wire thermometers, IIO sensors, board
/// temperatures, fans.
package struct SysfsSensor: SensorDriver {
    package static let name = "sysfs"
    package static let summary =
        "something that a driver of the kernel's measures: a 1-Wire thermometer (DS18B20), an IIO sensor, a temperature of the board, a fan."
    package static let keys: [Key] = [
        .choice(
            "kind", SysfsKind.allCases.map(\.rawValue), required: true,
            "w1: 1-Wire thermometers; iio: industrial I/O; hwmon: hardware monitoring; thermal: thermal zones; fan: tachometers."
        ),
        .string(
            "device", example: "\"28-0316a2794d1f\"",
            "Which one, by its name: see tidegate sensor scan. Not needed where there is only one. Never hwmon0 or iio:device0: the numbers change."
        ),
        .strings(
            "channels", example: "[\"temp\", \"humidityrelative\"]",
            "What of it, as tidegate sensor scan prints it. Everything unless set."),
        .duration(
            "interval", in: .milliseconds(100)...(.seconds(86_400)), default: "10s", "Time between two readings."),
        .string("root", default: "/sys", "Where sysfs is mounted."),
    ]

    /// A read that takes longer hangs.
    private static let patience = Duration.seconds(10)
    /// So many failures in a row, and the device is looked for anew.
    private static let failureLimit = 3

    private let kind: SysfsKind
    private let device: String?
    private let channels: [String]
    private let pace: Duration
    private let root: String

    package init?(_ reader: TableReader) {
        guard let kind = reader.choice("kind").flatMap(SysfsKind.init(rawValue:)),
            let pace = reader.duration("interval"),
            let root = reader.string("root")
        else { return nil }
        guard root.hasPrefix("/") else {
            reader.error("root: expected an absolute path, found \"\(root)\"", at: "root")
            return nil
        }
        let device = reader.string("device")
        let isNumber = ["hwmon", "iio:device", "thermal_zone"].contains { prefix in
            device.map {
                $0.hasPrefix(prefix) && $0.dropFirst(prefix.count).allSatisfy(\.isNumber) && $0.count > prefix.count
            } ?? false
        }
        if isNumber {
            reader.error(
                "device: the numbers change from boot to boot; name it as tidegate sensor scan does", at: "device")
            return nil
        }
        self.kind = kind
        self.device = device
        channels = reader.strings("channels") ?? []
        self.pace = pace
        self.root = root
    }

    package var interval: Duration? { pace }

    package func run(_ context: SensorContext) async throws(SensorError) {
        let thread = try BlockingThread(name: "sysfs")
        let channels = try find()
        var check = PowerOnCheck()
        var failures = 0
        var isOpen = false
        var next = context.time.now().instant
        while true {
            guard let answers = await read(channels, on: thread, context) else { return }
            let now = context.time.now().instant
            let isLost = answers.allSatisfy { if case .failure(.unreadable) = $0.value { true } else { false } }
            failures = isLost ? failures + 1 : 0
            if isLost, failures >= Self.failureLimit || !SysfsFile.exists(channels[0].path) {
                throw lost(answers)
            }
            if !isLost, !isOpen {
                context.isOpen()
                isOpen = true
            }
            let samples = zip(channels, answers).map {
                sample($0, $1.value, alone: channels.count == 1, &check, now: now)
            }
            let raw = answers.map(\.raw).joined(separator: "\n")
            context.emit(.samples(samples), raw: .text(String(raw.prefix(1_024))))
            // From the due time: the pace is kept.
            next = max(next + pace, now + (.zero - pace.slack))
            if case .cancelled = await context.wait(until: next, slack: pace.slack) { return }
        }
    }

    private typealias Answer = (raw: String, value: Result<Double, SysfsFailure>)

    /// All channels, on the thread; says so when that takes too long, and goes on waiting: a second read would only queue
    /// up behind the first. `nil`: cancelled.
    private func read(
        _ channels: [SysfsChannel], on thread: BlockingThread, _ context: SensorContext
    ) async -> [Answer]? {
        await withTaskGroup(of: [Answer]?.self) { tasks in
            tasks.addTask { await thread.run { channels.map { $0.read() } } ?? [] }
            tasks.addTask {
                let limit = context.time.now().instant + Self.patience
                if case .timedOut = await context.wait(until: limit) {
                    context.failing(
                        SensorError(
                            doing: "read \(channels[0].path)", reason: "the kernel has not answered for 10 s",
                            remedy: "the bus hangs; check the wiring, and if that does not help, restart the board"))
                }
                return nil
            }
            while let answer = await tasks.next() {
                guard let answer else { continue }
                tasks.cancelAll()
                return answer.isEmpty ? nil : answer
            }
            return nil
        }
    }

    private func sample(
        _ channel: SysfsChannel, _ value: Result<Double, SysfsFailure>, alone: Bool, _ check: inout PowerOnCheck,
        now: Instant
    ) -> Sample {
        let metric = alone ? nil : channel.name
        switch value {
        case .failure(.unreadable(let error)):
            return Sample(metric: metric, value: .missing, quality: .bad, reason: "it does not answer: \(error.reason)")
        case .failure(.damaged(let reason)):
            return Sample(metric: metric, value: .missing, quality: .bad, reason: reason)
        case .success(let number):
            let value = Value.number(SignificantDigits.round(number, to: 10))
            if case .w1 = channel.reading, !check.take(number, at: now) {
                return Sample(
                    metric: metric, value: value, unit: channel.unit, quality: .bad,
                    reason: "85 °C is what the sensor shows after power-up, before it has measured")
            }
            return Sample(metric: metric, value: value, unit: channel.unit)
        }
    }

    private func lost(_ answers: [Answer]) -> SensorError {
        var reason = "it is gone"
        if case .failure(.unreadable(let error))? = answers.first?.value { reason = error.reason }
        return SensorError(
            doing: "read \(kind.rawValue) \(device ?? "")", reason: reason,
            remedy: "check the wiring; it is read again as soon as it is there", isAbsent: true)
    }

    /// The channels of the device, wherever it is on this boot.
    private func find() throws(SensorError) -> [SysfsChannel] {
        let doing = "find the \(kind.rawValue) device\(device.map { " \($0)" } ?? "")"
        guard kind.isThere(root: root), kind.hasBus(root: root) else {
            throw SensorError(
                doing: doing, reason: "the kernel shows none of that kind",
                remedy: kind == .w1
                    ? "enable 1-Wire: add dtoverlay=w1-gpio to /boot/firmware/config.txt, and restart the board"
                    : "see that the sensor's driver is loaded: dmesg, lsmod", isAbsent: true)
        }
        let devices = kind.devices(root: root)
        let found = device.map { name in devices.filter { $0.name == name || $0.label == name } } ?? devices
        let names = devices.map(\.name).joined(separator: ", ")
        guard let first = found.first else {
            throw SensorError(
                doing: doing, reason: "it is not there",
                remedy: devices.isEmpty
                    ? "check its wiring; none is there now"
                    : "check its wiring and its name; these are there: \(names)",
                isAbsent: true)
        }
        guard found.count == 1 else {
            throw SensorError(doing: doing, reason: "there are several", remedy: "say which with device: \(names)")
        }
        let all = kind.channels(of: first)
        guard !channels.isEmpty else {
            if all.isEmpty {
                throw SensorError(doing: doing, reason: "it measures nothing", remedy: "see: tidegate sensor scan")
            }
            return all
        }
        return try channels.map { name throws(SensorError) in
            guard let channel = all.first(where: { $0.name == name }) else {
                throw SensorError(
                    doing: doing, reason: "it has no channel \(name)" + NearestName.hint(name, among: all.map(\.name)),
                    remedy: "it has \(all.map(\.name).joined(separator: ", "))")
            }
            return channel
        }
    }
}
