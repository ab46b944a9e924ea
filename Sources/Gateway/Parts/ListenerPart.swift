import Broker
import Synchronization

/// One place where LAN devices connect. An address that is not there, a port that is in use and a certificate that cannot
/// be read fail this part and nothing else.
final class ListenerPart: Part {
    let name: PartName
    private let listener: Listener
    private let broker: BrokerServer
    private let open = Mutex<OpenListener?>(nil)

    init(_ name: PartName, listener: Listener, broker: BrokerServer) {
        self.name = name
        self.listener = listener
        self.broker = broker
    }

    var problem: PartFailure? {
        open.withLock { $0 }?.problem.map { PartFailure(.outside, text: "\($0)") }
    }

    /// The connections that came in here are closed when the part is stopped by itself. When the whole gateway stops they
    /// go on for as long as acknowledgements are owed to them.
    func run(_ life: PartLife) async throws(PartFailure) {
        let open: OpenListener
        do throws(BrokerError) {
            open = try await broker.open(listener)
        } catch {
            throw PartFailure(.outside, text: "\(error)")
        }
        self.open.withLock { $0 = open }
        defer { self.open.withLock { $0 = nil } }
        life.isRunning()
        let lost = await withTaskGroup(of: BrokerError?.self) { tasks -> BrokerError? in
            tasks.addTask {
                do throws(BrokerError) {
                    try await open.closed()
                    return nil
                } catch {
                    return error
                }
            }
            tasks.addTask {
                await life.stop.wait()
                return nil
            }
            defer { tasks.cancelAll() }
            return await tasks.next() ?? nil
        }
        if let lost { throw PartFailure(.outside, text: "\(lost)") }
        await open.close(disconnectingClients: !life.gatewayStop.hasHappened)
    }
}

extension PartName {
    /// The names of listeners, in their order: two that want the same address differ in their names all the same.
    static func listeners(_ listeners: [Listener]) -> [(name: PartName, listener: Listener)] {
        var count: [Listener.Endpoint: Int] = [:]
        return listeners.map { listener in
            let number = count[listener.endpoint, default: 0] + 1
            count[listener.endpoint] = number
            return (PartName(.listener, "\(listener.endpoint)" + (number > 1 ? " (\(number))" : "")), listener)
        }
    }
}
