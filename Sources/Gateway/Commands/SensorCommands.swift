package import Admin
package import Configuration
import Logging
import Pipeline
import Readings
import Sensors
import Setup
import Timekeeping

/// What `tidegate sensor` does, through the gateway that runs or without one.
package enum SensorCommands {
    /// Reads a sensor once: through the gateway that runs, else by opening it here.
    /// - Parameter seconds: how long to wait for something new.
    package static func read(
        _ id: String, settings: GatewaySettings, dataDirectory: String, seconds: Double
    ) async throws(GatewayError) -> SensorAnswer {
        let request = SensorRequest.read(sensor: id, seconds: seconds)
        do throws(ControlClient.Failure) {
            return try ControlClient.sensor(request, socketPath: ControlSocket.path(in: dataDirectory))
        } catch {
            guard case .notRunning = error else { throw GatewayError(error, doing: "ask the running gateway") }
        }
        let entries = settings.sensors.filter { $0.id.name == id }
        if let entry = entries.first, entry.driver == GpioOutputSensor.name {
            throw GatewayError(
                .unavailable, doing: "read \(id)", reason: "no gateway runs, and reading an output would drive it",
                remedy: "start the gateway: systemctl start tidegate")
        }
        let hub = SensorHub(
            entries.map { .init(id: $0.id, driver: $0.driver, topic: $0.topic, sensor: $0.sensor) }, time: SystemTime(),
            logger: Logger(label: "sensor") { _ in SwiftLogNoOpLogHandler() }
        ) { _ in }
        let running = Task { await hub.runTrial() }
        let answer = await perform(request, settings.sensors, hub, time: SystemTime())
        running.cancel()
        await running.value
        hub.close()
        return answer
    }

    static func perform(
        _ request: SensorRequest, _ entries: [GatewaySettings.SensorEntry], _ hub: SensorHub,
        time: any TimeSource
    ) async -> SensorAnswer {
        guard case .read(let name, let seconds) = request else { return SensorAnswer(id: "") }
        guard let entry = entries.first(where: { $0.id.name == name }) else {
            return SensorAnswer(id: name, others: entries.map(\.id.name))
        }
        let before = hub.snapshot(of: entry.id)
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await hub.nextDelivery(of: entry.id) }
            tasks.addTask { try? await Task.sleep(for: .seconds(min(max(seconds, 0), 25))) }
            await tasks.next()
            tasks.cancelAll()
        }
        guard let sensor = hub.snapshot(of: entry.id) else { return SensorAnswer(id: name) }
        var answer = SensorAnswer(
            id: name, driver: sensor.driver, topic: entry.topic, state: sensor.state.name,
            problem: sensor.state.problem, isNew: sensor.samples != before?.samples ?? 0)
        answer.raw = sensor.raw.map(text)
        if case .registers(let blocks)? = sensor.raw { answer.preview = RegisterPreview.text(blocks) }
        guard let last = sensor.last else { return answer }
        // Decoded as the gateway does, with nothing held back.
        var treatment = entry.treatment
        treatment.deadband = nil
        var pipeline = ReadingPipeline(rules: [], sensors: [entry.id: treatment])
        let step = pipeline.step(
            Arrival(source: .sensor(entry.id), topic: entry.topic, body: last.body, time: last.time),
            now: last.time.instant)
        answer.readings = step.readings.map { .init($0, now: time.now().instant) }
        answer.failure = step.failure.map { "\($0)" }
        return answer
    }

    /// In printable form.
    private static func text(_ raw: RawReading) -> String {
        switch raw {
        case .text(let text): return text
        case .bytes(let bytes):
            let shown = bytes.prefix(512)
            let hex = Hexadecimal.text(shown, separator: " ")
            guard let text = String(validating: shown, as: UTF8.self) else { return hex }
            return "\(text)\n\(hex)"
        case .registers(let blocks):
            return blocks.map { "\($0.table) \($0.address): \(Hexadecimal.text($0.values, separator: " "))" }
                .joined(separator: "\n")
        }
    }

    /// The configured sensors with their states; without a running gateway, only what is configured.
    package static func list(settings: GatewaySettings, dataDirectory: String) throws(GatewayError) -> [GatewayStatus
        .Sensor]
    {
        do throws(ControlClient.Failure) {
            return try ControlClient.status(socketPath: ControlSocket.path(in: dataDirectory)).sensors
        } catch {
            guard case .notRunning = error else { throw GatewayError(error, doing: "ask the running gateway") }
        }
        return settings.sensors.map { .init(id: $0.id.name, driver: $0.driver, topic: $0.topic, state: "not running") }
    }
}
