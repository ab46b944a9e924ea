import Glibc
import Synchronization
import TestSupport
import Testing

/// A real mosquitto on a free port of the loopback, with a configuration of its own.
final class MosquittoProcess: Sendable {
    private let currentPort = Atomic<UInt16>(0)
    var port: UInt16 { currentPort.load(ordering: .relaxed) }
    let folder: TemporaryDirectory
    private let process = Mutex<ChildProcess?>(nil)

    static let isInstalled: Bool = {
        let isInstalled =
            TestSupport.isInstalled("mosquitto") && TestSupport.isInstalled("mosquitto_sub")
            && TestSupport.isInstalled("mosquitto_pub")
        if !isInstalled { print("SKIPPED: no mosquitto, or no mosquitto-clients: the upstream is NOT tested") }
        return isInstalled
    }()

    /// - Parameters:
    ///   - settings: lines for the configuration, after those for the listener.
    ///   - isAnonymous: whether clients need no password.
    ///   - isPersistent: whether what it keeps outlasts a ``stop()``.
    init(
        _ settings: [String] = [], isAnonymous: Bool = true, isPersistent: Bool = false,
        in folder: TemporaryDirectory? = nil
    ) async throws {
        self.folder = try folder ?? TemporaryDirectory()
        // Another test may take the port before mosquitto does.
        for attempt in 1... {
            let port = UInt16(freePort())
            currentPort.store(port, ordering: .relaxed)
            let lines =
                [
                    "user root", "persistence \(isPersistent)", "persistence_location \(self.folder.path)/",
                    "log_dest stderr", "log_type all", "connection_messages true",
                    "max_queued_messages 0", "max_inflight_messages 0", "listener \(port) 127.0.0.1",
                    "allow_anonymous \(isAnonymous)",
                ] + settings
            try self.folder.write(lines.joined(separator: "\n") + "\n", to: "mosquitto.conf")
            do {
                try await start()
                return
            } catch {
                guard attempt < 5 else { throw error }
            }
        }
    }

    func start() async throws {
        let already = running
        let child = try ChildProcess(
            ["/usr/sbin/mosquitto", "-c", folder["mosquitto.conf"]], output: folder["mosquitto.log"]
        )
        process.withLock { $0 = child }
        // Its own word for it: on the port somebody else might listen.
        try await eventually("mosquitto runs", within: .seconds(3), details: { log }) { running > already }
    }

    private var running: Int { folder.lines("mosquitto.log").count { $0.hasSuffix(" running") } }

    /// A polite end, waited for.
    func stop() { process.withLock { $0?.end(SIGTERM) } }
    /// kill -9, waited for.
    func kill() { process.withLock { $0?.end(SIGKILL) } }
    func freeze() { process.withLock { $0?.signal(SIGSTOP) } }
    func thaw() { process.withLock { $0?.signal(SIGCONT) } }

    var log: String { folder.lines("mosquitto.log").suffix(60).joined(separator: "\n") }

    /// Whether the log has a line that contains all of the parts.
    func logged(_ parts: String...) -> Bool {
        folder.lines("mosquitto.log").contains { line in parts.allSatisfy { line.contains($0) } }
    }

    /// How many lines of the log contain all of the parts.
    func count(_ parts: String...) -> Int {
        folder.lines("mosquitto.log").count { line in parts.allSatisfy { line.contains($0) } }
    }

    /// Starts a `mosquitto_sub` and waits until it is subscribed. Each message becomes a line: topic, retain flag,
    /// payload, user properties, tab-separated.
    func subscribe(
        _ filter: String, name: String, port: UInt16? = nil, arguments: [String] = []
    ) async throws -> Observer {
        let observer = try Observer(
            filter, port: port ?? self.port, name: name, arguments: arguments, folder: folder
        )
        try await eventually("\(name) is subscribed", details: { log + "\n" + observer.lines.joined(separator: "\n") })
        {
            logged("Sending SUBACK to \(name)")
        }
        return observer
    }

    func publish(_ topic: String, _ payload: String, arguments: [String] = []) throws {
        let status = try ChildProcess.run(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(port)", "-q", "1", "-t", topic, "-m", payload] + arguments,
            output: folder["pub.log"]
        )
        guard status == 0 else { throw TestFailure("mosquitto_pub: status \(status)") }
    }
}

/// A `mosquitto_sub`. It takes QoS 0, so that nothing is left unread when the broker is killed.
final class Observer: Sendable {
    struct Line: Hashable {
        var topic: String
        var retain: Bool
        var payload: String
        var properties: [String: String]
    }

    private let process: ChildProcess
    private let folder: TemporaryDirectory
    private let name: String

    init(_ filter: String, port: UInt16, name: String, arguments: [String], folder: TemporaryDirectory) throws {
        self.folder = folder
        self.name = name
        process = try ChildProcess(
            [
                "mosquitto_sub", "-h", "127.0.0.1", "-p", "\(port)", "-V", "5", "-q", "0", "-i", name, "-t", filter,
                "-F", "%t\t%r\t%p\t%P",
            ] + arguments,
            output: folder["\(name).out"]
        )
    }

    var lines: [String] { folder.lines("\(name).out") }

    var messages: [Line] {
        lines.compactMap { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count >= 3 else { return nil }
            var properties: [String: String] = [:]
            for pair in (fields.count > 3 ? fields[3] : "").split(separator: " ") {
                let parts = pair.split(separator: ":", maxSplits: 1).map(String.init)
                if parts.count == 2 { properties[parts[0]] = parts[1] }
            }
            return Line(topic: fields[0], retain: fields[1] == "1", payload: fields[2], properties: properties)
        }
    }

    func stop() { process.end(SIGKILL) }
}
