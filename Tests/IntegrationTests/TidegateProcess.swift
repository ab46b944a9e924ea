import Glibc
import TestSupport
import Testing

/// The real binary, as an installer starts it: a settings file, a data directory, a process.
final class TidegateProcess: Sendable {
    let lanPort: Int
    let directory: TemporaryDirectory
    let settingsPath: String
    let process: ChildProcess

    /// The binary that was built with these tests.
    static let binary: String = {
        // The test runner is, or loads, a bundle that lies beside the products.
        let candidates = CommandLine.arguments + [textOfFile("/proc/self/cmdline")] + [executable()]
        for candidate in candidates {
            for part in candidate.split(separator: "\0") where part.contains(".xctest") || part.contains("/debug/") {
                guard let slash = part.lastIndex(of: "/") else { continue }
                let path = "\(part[..<slash])/tidegate"
                if access(path, X_OK) == 0 { return path }
            }
        }
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        return "/\(root)/.build/debug/tidegate"
    }()

    private static func executable() -> String {
        var buffer = [CChar](repeating: 0, count: 4_096)
        let count = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        return count > 0 ? String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : ""
    }

    /// Settings for a gateway called `gw`, with `lan` in `[lan]` and `more` appended.
    static func settings(
        lanPort: Int, upstreamPort: Int, directory: TemporaryDirectory, lan: String = "", more: String = "",
        gateway: String = ""
    ) -> String {
        """
        [gateway]
        id = "gw"
        data_dir = "\(directory.path)/data"
        \(gateway)
        [lan]
        listen = ["127.0.0.1:\(lanPort)"]
        \(lan)
        [upstream]
        url = "mqtt://127.0.0.1:\(upstreamPort)"
        reconnect_min = "100ms"
        reconnect_max = "500ms"
        \(more)

        """
    }

    /// Starts a gateway and waits until its listener accepts connections.
    /// - Parameter prefix: a program that starts it under other limits.
    init(
        upstreamPort: Int, lanPort: Int = freePort(), directory: TemporaryDirectory? = nil,
        lan: String = "", settings: String = "", gateway: String = "", environment: [String: String] = [:],
        prefix: [String] = []
    ) async throws {
        self.lanPort = lanPort
        let directory = try directory ?? TemporaryDirectory()
        self.directory = directory
        settingsPath = try directory.write(
            Self.settings(
                lanPort: lanPort, upstreamPort: upstreamPort, directory: directory, lan: lan,
                more: settings, gateway: gateway),
            to: "tidegate.toml")
        process = try ChildProcess(
            prefix + [Self.binary, "run", "--config", settingsPath], environment: environment)
        let process = process
        let listens = await eventually(within: .seconds(30)) {
            // Once all listeners are open, it says so; the first may be open before.
            acceptsConnections(lanPort) && process.errors.contains("gateway: listening")
                || process.endingIfOver != nil
        }
        guard listens, process.endingIfOver == nil else {
            throw ChildProcess.SpawnFailure(description: "tidegate does not listen: \(process.errors)")
        }
    }

    /// Runs `tidegate NAME` with these words, as an installer would.
    func command(
        _ name: String, _ words: [String], input: String
    ) async throws -> (ending: ChildProcess.Ending?, output: String, errors: String) {
        let file = try directory.write(input, to: "input")
        return try await runToEnd([Self.binary, name] + words + ["--config", settingsPath], input: file)
    }

    /// What `tidegate status --json` prints, as text; empty while it cannot answer.
    func status() async throws -> String {
        try await runToEnd([Self.binary, "status", "--json", "--config", settingsPath]).output
    }

    /// The first number behind `key` in the status.
    func statusNumber(_ key: String) async throws -> Int? {
        let text = try await status()
        guard let range = text.firstRange(of: "\"\(key)\" : ") else { return nil }
        return Int(text[range.upperBound...].prefix { $0.isNumber })
    }

    /// True once the link to the upstream is up.
    func isConnected(within limit: Duration = .seconds(20)) async throws -> Bool {
        try await eventually(within: limit) { try await status().contains("\"state\" : \"confirmed\"") }
    }

    /// Publishes with the real client and expects it to succeed.
    func publish(_ topic: String, _ message: String, arguments: [String] = []) async throws {
        let result = try await runToEnd(
            ["mosquitto_pub", "-h", "127.0.0.1", "-p", "\(lanPort)", "-q", "1", "-t", topic, "-m", message] + arguments)
        try #require(result.ending == .exited(0), "mosquitto_pub: \(result.errors)")
    }
}
