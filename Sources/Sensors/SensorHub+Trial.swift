package import Readings

/// Sensors without a gateway, for a command that looks at them for some seconds. A gateway's sensors are run by its
/// supervisor.
extension SensorHub {
    /// Runs these sensors, or all, until the task is cancelled. One that fails is tried again after half a second.
    package func runTrial(of ids: [DeviceID]? = nil) async {
        let ids = ids ?? snapshot().map(\.id)
        await withTaskGroup(of: Void.self) { tasks in
            for id in ids {
                tasks.addTask {
                    while !Task.isCancelled {
                        do throws(SensorError) {
                            try await self.run(id)
                            return
                        } catch {
                            try? await Task.sleep(for: .milliseconds(500))
                        }
                    }
                }
            }
        }
    }
}
