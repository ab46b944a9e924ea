import MQTT
import NIOCore
import TestSupport

/// A client that does everything right, and has to be served whatever the others do. Blocks its thread.
final class FuzzWitness {
    private let client: PacketClient
    private var count = 0

    init(port: Int) throws {
        client = try PacketClient(port: port, id: "witness")
        guard try client.subscribe(.init("witness/#", qos: .exactlyOnce)) == [.grantedQoS2] else {
            throw FuzzFailure("the witness cannot subscribe")
        }
    }

    /// Publishes at every QoS, one after the other as a small receive maximum wants it, and sees every message come back
    /// once.
    func lookAround() throws {
        count += 1
        let topic = "witness/\(count)"
        client.publish(topic, "0")
        try see(["0"], topic)
        client.publish(topic, "1", qos: .atLeastOnce, id: 1)
        try see(["1", "puback"], topic)
        client.publish(topic, "2", qos: .exactlyOnce, id: 2)
        try see(["2", "pubrel", "pubrec", "pubcomp"], topic)
    }

    private func see(_ all: Set<String>, _ topic: String) throws {
        var due = all
        while !due.isEmpty {
            let done: String
            switch try client.receive(within: .seconds(20)) {
            case .publish(let publish):
                guard publish.topic == topic, !publish.dup, !publish.retain else {
                    throw FuzzFailure("the witness got \(publish)")
                }
                done = String(buffer: publish.payload)
                let acknowledgement = Acknowledgement(packetIdentifier: publish.packetIdentifier ?? 0)
                if publish.qos == .atLeastOnce { client.send(.puback(acknowledgement)) }
                if publish.qos == .exactlyOnce { client.send(.pubrec(acknowledgement)) }
            case .puback: done = "puback"
            case .pubcomp: done = "pubcomp"
            case .pubrec(let pubrec):
                done = "pubrec"
                client.send(.pubrel(Acknowledgement(packetIdentifier: pubrec.packetIdentifier)))
            case .pubrel(let pubrel):
                done = "pubrel"
                client.send(.pubcomp(Acknowledgement(packetIdentifier: pubrel.packetIdentifier)))
            case let other:
                throw FuzzFailure("the witness waits for \(due.sorted()) and got \(String(describing: other))")
            }
            if due.remove(done) == nil { throw FuzzFailure("the witness got \(done) and waits for \(due.sorted())") }
        }
    }

    /// What the server says of itself is its own word.
    func looksAtSystemTopics() throws {
        let reasons = try client.subscribe(.init("$SYS/broker/version", qos: .atMostOnce))
        let message = try client.message()
        guard reasons == [.success], message == "$SYS/broker/version=tidegate R" else {
            throw FuzzFailure("$SYS says \(message ?? "nothing")")
        }
    }

    func leave() {
        client.send(.disconnect(Disconnect()))
        client.socket.close()
    }
}
