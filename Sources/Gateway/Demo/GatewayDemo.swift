import Broker
import CLinux
package import Configuration
import Glibc
import Linux
import Logging
import NIOCore
import NIOPosix
import Readings
import Synchronization
import Timekeeping

/// `tidegate demo`: the real gateway on embedded settings, with an upstream of its own that goes away now and then.
package enum GatewayDemo {
    static let id = "demo"

    /// Runs until Ctrl-C, or with `once` one short story after which the books must agree.
    package static func run(once: Bool) async throws(GatewayError) {
        // The data directory is removed however the demo ends; it ends with its terminal.
        let signals = try ProcessSignals(hangUp: .stop)
        GatewayProcess.limitArenas()
        let directory = try TemporaryDataDirectory()
        defer { directory.remove() }
        let time = SystemTime()
        let ledger = DemoLedger()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let quietly = LogThreshold(.error)
        let quiet: @Sendable (String) -> any LogHandler = { LineLogHandler(label: $0, threshold: quietly) }
        try signals.start(logger: Logger(label: "demo", factory: quiet))
        let upstream = DemoUpstream(
            group: group, time: time, logger: Logger(label: "demo-upstream", factory: quiet), ledger: ledger,
            stateTopic: "\(id)/$state")
        do {
            try await upstream.start()
        } catch {
            throw GatewayError(error)
        }
        let settings = try await settings(dataDirectory: directory.path, upstreamPort: upstream.port, time: time)
        let gateway = try Gateway(
            settings: settings, time: time, sent: { ledger.record(sent: $0) }, logging: quiet)
        let screen = DemoScreen(gateway: gateway, ledger: ledger)
        let story = DemoStory(gateway: gateway, upstream: upstream, ledger: ledger, screen: screen, signals: signals)
        let verdict = Mutex<DemoLedger.Verdict?>(nil)
        try await gateway.run {
            let result = await story.tell(once: once)
            verdict.withLock { $0 = result }
        }
        await upstream.stop()
        try? await group.shutdownGracefully()
        guard !once || !signals.isStopping else {
            throw GatewayError(
                .unavailable, doing: "bring every reading across", reason: "a signal stopped the demo",
                remedy: "let it come to its end, which takes less than a minute")
        }
        guard once, let verdict = verdict.withLock({ $0 }) else { return }
        screen.show(verdict)
        if !verdict.isComplete {
            throw GatewayError(
                .internalFault, doing: "bring every reading across",
                reason: "\(verdict.missing) missing, \(verdict.unexpected) altered, \(verdict.outOfOrder) out of order")
        }
    }

    /// What a settings file would say: the listener, two sensors and an upstream.
    private static func settings(
        dataDirectory: String, upstreamPort: Int, time: any TimeSource
    ) async throws(GatewayError) -> GatewaySettings {
        // 1883 is what every MQTT tool tries first; where something else has it, any port will do.
        let port = LoopbackPort.isFree(1883) ? 1883 : 0
        let text = """
            [gateway]
            id = "\(id)"
            data_dir = "\(dataDirectory)"

            [lan]
            listen = ["127.0.0.1:\(port)"]

            [upstream]
            url = "mqtt://127.0.0.1:\(upstreamPort)"
            reconnect_min = "200ms"
            reconnect_max = "1s"

            [[sensor]]
            id = "temperature"
            driver = "simulated"
            waveform = "random-walk"
            minimum = 18.0
            maximum = 24.0
            interval = "200ms"
            unit = "Cel"

            [[sensor]]
            id = "door"
            driver = "simulated"
            waveform = "square"
            period = "3s"
            interval = "500ms"
            """
        let result = SettingsLoader.load(text: text, name: "the demo's settings")
        guard let settings = result.settings else {
            throw GatewayError(
                .internalFault, doing: "use the demo's settings",
                reason: result.diagnostics.map { "\($0)" }.joined(separator: "\n"))
        }
        return settings
    }
}

/// A fresh data directory that is removed at the end.
private struct TemporaryDataDirectory {
    let path: String

    init() throws(GatewayError) {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/tidegate-demo.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw GatewayError(
                .io, doing: "make a temporary directory in \(parent)", reason: ErrnoText.last,
                remedy: "name a writable one in TMPDIR")
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    func remove() {
        clinux_remove_tree(path)
    }
}

private enum LoopbackPort {
    /// True when nobody listens on the port right now.
    static func isFree(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
