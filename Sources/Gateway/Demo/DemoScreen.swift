import Admin
import Broker
import Glibc
import Synchronization

/// What the demo shows: a line every half second, so that it reads the same on a terminal and in a log.
final class DemoScreen: Sendable {
    private let gateway: Gateway
    private let ledger: DemoLedger
    private let shown = Mutex(0)
    private let isTerminal = isatty(STDOUT_FILENO) == 1

    init(gateway: Gateway, ledger: DemoLedger) {
        self.gateway = gateway
        self.ledger = ledger
    }

    func open(once: Bool) {
        let port = gateway.broker.listening.first?.split(separator: ":").last ?? "1883"
        print(
            """
            Tidegate demo: two simulated sensors, a listener for your devices on 127.0.0.1:\(port), and an upstream
            broker that goes away for some seconds. Try, from another terminal:

              mosquitto_pub -p \(port) -q 1 -t sensors/mine -m 21.5

            """)
        if !once { print("Ctrl-C ends it.\n") }
        fflush(nil)
    }

    func title(_ text: String) {
        print(isTerminal ? "\u{1B}[1m— \(text)\u{1B}[0m" : "— \(text)")
        fflush(nil)
    }

    /// One line: the link, what is buffered, what went through, and the newest message that arrived upstream.
    func tick() async {
        let status = await gateway.status()
        let counts = ledger.counts
        let queued = Int(status.queues.reduce(0) { $0 + $1.messages })
        let bar = String(repeating: "█", count: min(queued, 40)) + (queued > 40 ? "…" : "")
        let newest = shown.withLock { shown in
            let news = ledger.arrivals(after: shown)
            shown += news.count
            return news.last
        }
        var line = "  taken in \(Self.pad(counts.sent))  delivered \(Self.pad(counts.arrived))"
        line += "  upstream \(status.link.isUp ? "connected" : "away     ")"
        line += "  buffered \(Self.pad(queued)) \(bar)"
        if let newest {
            line += "  \(newest.topic) \(String(decoding: newest.payload.prefix(90), as: UTF8.self))"
        }
        print(line)
        fflush(nil)
    }

    func show(_ verdict: DemoLedger.Verdict) {
        print(
            """

            \(verdict.sent) readings sent, \(verdict.arrived) deliveries: \(verdict.missing) missing, \
            \(verdict.unexpected) altered, \(verdict.outOfOrder) out of order, \(verdict.repeated) repeated.
            \(verdict.isComplete ? "Every reading arrived exactly as sent." : "THE BOOKS DO NOT AGREE.")
            """)
        fflush(nil)
    }

    private static func pad(_ number: Int) -> String {
        let text = String(number)
        return String(repeating: " ", count: max(0, 4 - text.count)) + text
    }
}
