import Broker
import Logging
import Readings
import Synchronization

/// Opens the listeners of the settings, each by itself, and again whenever one cannot be opened or ends: none of them keeps
/// another, or the gateway, from running.
final class ListenerLoop: Sendable {
    private struct State {
        /// By listener: why it is not open.
        var failures: [String: BrokerError] = [:]
        var open: [String: OpenListener] = [:]
        /// Listeners that have been tried at least once.
        var tried: Set<String> = []
    }

    private let broker: BrokerServer
    private let listeners: [Listener]
    private let logger: Logger
    private let state = Mutex(State())
    private let allTried = Occasion()

    private static let pauses = Duration.milliseconds(500)...Duration.seconds(10)

    init(broker: BrokerServer, listeners: [Listener], logger: Logger) {
        self.broker = broker
        self.listeners = listeners
        self.logger = logger
    }

    /// What is wrong with listeners right now, in the order of the settings.
    var problems: [BrokerError] {
        let (failures, open) = state.withLock { ($0.failures, $0.open) }
        return listeners.compactMap { failures["\($0)"] ?? open["\($0)"]?.problem }
    }

    /// Returns once every listener has been tried, or after `limit`.
    func waitUntilTried(atMost limit: Duration) async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.allTried.wait() }
            tasks.addTask { try? await Task.sleep(for: limit) }
            await tasks.next()
            tasks.cancelAll()
        }
    }

    /// Returns when the task is cancelled.
    func run() async {
        if listeners.isEmpty { allTried.come() }
        await withTaskGroup(of: Void.self) { tasks in
            for listener in listeners { tasks.addTask { await self.keepOpen(listener) } }
            await tasks.waitForAll()
        }
    }

    private func keepOpen(_ listener: Listener) async {
        var pauses = GrowingPause(Self.pauses)
        while !Task.isCancelled {
            do throws(BrokerError) {
                let open = try await broker.open(listener)
                note(listener, open: open)
                pauses = GrowingPause(Self.pauses)
                try await open.closed()
                return
            } catch {
                if Task.isCancelled { return }
                note(listener, failure: error)
            }
            try? await Task.sleep(for: pauses.next())
        }
    }

    private func note(_ listener: Listener, open: OpenListener) {
        let name = "\(listener)"
        let wasLate = state.withLock { state in
            state.open[name] = open
            defer { state.failures[name] = nil }
            return state.failures[name] != nil
        }
        if wasLate {
            logger.notice("listening", metadata: ["addresses": "\(open.addresses.joined(separator: ", "))"])
        }
        noteTried(name)
    }

    private func note(_ listener: Listener, failure: BrokerError) {
        let name = "\(listener)"
        let isNew = state.withLock { state in
            state.open[name] = nil
            return state.failures.updateValue(failure, forKey: name) != failure
        }
        if isNew {
            logger.error(
                "a listener is not open; it is tried again", metadata: ["listener": "\(name)", "error": "\(failure)"])
        }
        noteTried(name)
    }

    private func noteTried(_ name: String) {
        let isComplete = state.withLock { state in
            state.tried.insert(name)
            return state.tried.count == Set(listeners.map { "\($0)" }).count
        }
        if isComplete { allTried.come() }
    }
}
