import Readings
import Sensors

/// One local sensor. A device that is not there, or fails, fails this part and nothing else.
struct SensorPart: Part {
    let name: PartName
    private let id: DeviceID
    private let hub: SensorHub

    /// - Parameter id: of a sensor that the hub has.
    init(_ id: DeviceID, hub: SensorHub) {
        name = PartName(.sensor, id.name)
        self.id = id
        self.hub = hub
    }

    /// Of a sensor that goes on trying by itself, as one of several devices on a line.
    var problem: PartFailure? { hub.problem(of: id).map(PartFailure.init) }

    func run(_ life: PartLife) async throws(PartFailure) {
        let failure = await withTaskGroup(of: SensorError?.self) { tasks -> SensorError? in
            tasks.addTask {
                do throws(SensorError) {
                    try await hub.run(id, opened: { life.isRunning() })
                    return nil
                } catch {
                    return error
                }
            }
            tasks.addTask {
                await life.stop.wait()
                return nil
            }
            let first = await tasks.next() ?? nil
            tasks.cancelAll()
            // The device is closed before this returns.
            let second = await tasks.next() ?? nil
            return first ?? second
        }
        if let failure { throw PartFailure(failure) }
        // A hub that was closed has its sensors stand still until they are stopped.
        await life.stop.wait()
    }
}

extension PartFailure {
    /// No failure of a device puts the gateway as a whole in doubt.
    fileprivate init(_ error: SensorError) {
        self.init(error.isAbsent ? .absent : .outside, error.summary, remedy: error.remedy)
    }
}
