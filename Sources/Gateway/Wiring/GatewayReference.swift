import Admin
import Configuration
import Outbox
import Sensors
import Synchronization

/// Lets the control server, which the gateway makes, ask the gateway.
final class GatewayReference: Sendable {
    private struct Weak: Sendable { weak var gateway: Gateway? }
    private let source = Mutex<Weak?>(nil)

    func attach(_ gateway: Gateway) { source.withLock { $0 = Weak(gateway: gateway) } }

    private var gateway: Gateway? { source.withLock { $0 }?.gateway }

    /// Users and access rules could not be read before, and now are.
    func accountsRead() async { await gateway?.reloadAccounts() }

    /// What the control server answers with; `nil` while there is no gateway.
    var answers: ControlServer.Answers {
        ControlServer.Answers(
            status: { await self.gateway?.status() },
            device: { await self.gateway?.device($0) },
            sensor: { request in
                guard let gateway = self.gateway else { return nil }
                return await SensorCommands.perform(
                    request, gateway.settings.sensors, gateway.sensors, time: gateway.time)
            },
            queue: { request in
                guard let gateway = self.gateway else { return nil }
                return await QueueCommands.perform(request, in: gateway.outbox, classes: gateway.settings.classes)
            },
            reload: { await self.gateway?.reload($0) })
    }
}
