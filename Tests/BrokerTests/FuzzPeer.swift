import MQTT
import TestSupport

/// One connection that plays a script over a socket, and has everything judged that comes back. Blocks its thread.
final class FuzzPeer {
    let script: FuzzScript
    private let socket: LoopbackSocket
    private var judge: ServerJudge
    private var left: ArraySlice<[UInt8]>
    /// The server has closed.
    private var isClosed = false

    init(_ script: FuzzScript, port: Int) throws {
        guard let socket = LoopbackSocket(port: port) else { throw FuzzFailure("the listener is gone") }
        self.script = script
        self.socket = socket
        judge = ServerJudge(script)
        left = script.fragments[...]
    }

    var hasMore: Bool { !left.isEmpty && !isClosed }

    /// Sends the next piece; a server that has closed takes none.
    func send() {
        guard let piece = left.popFirst() else { return }
        if !socket.send(piece) { left = [] }
    }

    /// Takes what has come; waits for it until `limit`.
    func drain(within limit: Duration = .zero) throws {
        var limit = limit
        while !isClosed, let bytes = socket.receive(within: limit) {
            limit = .zero
            if bytes.isEmpty {
                isClosed = true
                return
            }
            do {
                try judge.take(bytes)
            } catch {
                throw FuzzFailure("\(name): \(error)")
            }
            let answers = judge.takeAnswers()
            // They go between whole packets only; a script in the middle of its own would be cut by them.
            if !answers.isEmpty { pending += answers }
        }
        if left.isEmpty, !pending.isEmpty, !isClosed, [.served, .counted, .anything].contains(script.outcome) {
            socket.send(pending)
            pending = []
        }
    }

    private var pending: [UInt8] = []

    private var name: String { "\(script.clientIdentifier) (\(script.outcome))" }

    /// The script is over: waits for what it must come to.
    func finish() throws {
        switch script.outcome {
        case .served:
            try waitUntil("answers to \(judge.open)") { judge.isSatisfied }
            if isClosed, !judge.isSatisfied { try takenOver() }
        case .counted: try waitUntil("answers to \(judge.open)") { judge.isSatisfied }
        case .left: try waitUntil("the end") { isClosed }
        case .refused:
            try waitUntil("the end") { isClosed }
            guard let declared = script.declared, declared.version == .v5_0, declared.maximumPacketSize >= 200,
                judge.isAccepted == true
            else { break }
            guard let reason = judge.reason, reason >= 0x80 else {
                throw FuzzFailure("\(name): 5.0 is not told why it ends")
            }
        case .anything: try drain()
        }
        close()
    }

    /// Hangs up without a word.
    func close() {
        socket.close()
        isClosed = true
        left = []
    }

    private func takenOver() throws {
        guard !script.isAlone else {
            throw FuzzFailure("\(name) was not served but closed, reason \(judge.reason.map(String.init) ?? "none")")
        }
        guard let declared = script.declared, declared.version == .v5_0, judge.reason != 0x8E else { return }
        // A session that somebody left full of QoS 2 identifiers has room for no more.
        guard !declared.cleanStart, judge.reason == 0x93 else {
            throw FuzzFailure("\(name) was closed, reason \(judge.reason.map(String.init) ?? "none")")
        }
    }

    private func waitUntil(_ what: @autoclosure () -> String, _ condition: () -> Bool) throws {
        try drain()
        let deadline = ContinuousClock.now + .seconds(20)
        while !condition(), !isClosed {
            guard ContinuousClock.now < deadline else { throw FuzzFailure("\(name) waits in vain for \(what())") }
            try drain(within: .milliseconds(200))
        }
    }
}
