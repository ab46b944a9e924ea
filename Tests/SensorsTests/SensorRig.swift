import Logging
import Readings
import Sensors
import Settings
import Synchronization
import TestSupport
import Testing

/// Sensors made from settings, run, with what they deliver.
final class SensorRig: Sendable {
    let hub: SensorHub
    private let collected: Collected

    private final class Collected: Sendable {
        let arrivals = Mutex<[Arrival]>([])
    }

    /// - Parameters:
    ///   - settings: one text per sensor; `id`s are s0, s1, …
    ///   - directory: where sensors keep their files.
    init(_ settings: [(driver: any SensorDriver.Type, text: String)], directory: String? = nil) throws {
        let collected = Collected()
        self.collected = collected
        let entries = try settings.enumerated().map { index, setting in
            let sensor = try #require(Self.sensor(setting.driver, setting.text).sensor)
            return SensorHub.Entry(
                id: DeviceID("s\(index)"), driver: setting.driver.name, topic: "t/\(index)", sensor: sensor)
        }
        hub = SensorHub(
            entries, time: KernelTime(), directory: directory,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { arrival in collected.arrivals.withLock { $0.append(arrival) } }
    }

    static func sensor(_ driver: any SensorDriver.Type, _ text: String) -> (sensor: (any Sensor)?, errors: [String]) {
        let diagnostics = Diagnostics()
        let table = TOMLParser.parse(text, file: "f", into: diagnostics)
        let reader = TableReader(table, keys: driver.keys, path: "[[sensor]]", diagnostics: diagnostics)
        let sensor = driver.init(reader)
        return (sensor, diagnostics.list.map(\.description))
    }

    var arrivals: [Arrival] { collected.arrivals.withLock { $0 } }

    func lines(of index: Int) -> [String] {
        arrivals.filter { $0.source == .sensor(DeviceID("s\(index)")) }.compactMap { arrival -> String? in
            guard case .payload(let bytes) = arrival.body else { return nil }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    func values(of index: Int) -> [Value] { samples(of: index).map(\.value) }

    func samples(of index: Int) -> [Sample] {
        arrivals.filter { $0.source == .sensor(DeviceID("s\(index)")) }.flatMap { arrival -> [Sample] in
            guard case .samples(let samples) = arrival.body else { return [] }
            return samples
        }
    }

    func state(of index: Int) -> SensorSnapshot.State { hub.snapshot()[index].state }

    /// Runs the sensors while `body` does.
    func run(_ body: () async throws -> Void) async throws {
        let hub = hub
        let task = Task { await hub.runTrial() }
        defer {
            task.cancel()
            hub.close()
        }
        try await body()
        task.cancel()
        await task.value
    }

    /// A context for a sensor that is run by the test itself.
    static func context(
        poller: DescriptorPoller, directory: String? = nil,
        tell: @escaping @Sendable (SensorContext.Event) -> Void = { _ in }
    ) throws -> SensorContext {
        SensorContext(
            id: DeviceID("s"), time: KernelTime(), poller: poller, commands: try CommandMailbox(isUsed: true),
            shared: SharedResources(), directory: directory, tell: tell)
    }
}
