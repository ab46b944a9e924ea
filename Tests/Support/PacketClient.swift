package import MQTT
import NIOCore
import Testing

/// An MQTT client that speaks packets over a blocking socket.
package final class PacketClient {
    package let socket: LoopbackSocket
    private let version: ProtocolVersion
    private var decoder: PacketDecoder
    private var input = ByteBuffer()
    /// What came and was not wanted yet.
    private var aside: [Packet] = []
    /// What CONNACK said.
    package private(set) var sessionPresent = false

    package init(port: Int, version: ProtocolVersion = .v5_0) throws {
        socket = try #require(LoopbackSocket(port: port))
        self.version = version
        decoder = PacketDecoder(role: .client, version: version, maximumPacketSize: 1 << 24)
    }

    /// Connects and takes the CONNACK.
    package convenience init(
        port: Int, id: String, version: ProtocolVersion = .v5_0, cleanStart: Bool = true, will: Will? = nil,
        userName: String? = nil, password: String? = nil, properties: [Property] = []
    ) throws {
        try self.init(port: port, version: version)
        send(
            .connect(
                Connect(
                    version: version, cleanStart: cleanStart, clientIdentifier: id, will: will,
                    userName: userName, password: password.map { ByteBuffer(string: $0) },
                    properties: Properties(properties))))
        guard case .connack(let connack) = try receive(), connack.reason == .success else {
            throw ChildProcess.SpawnFailure(description: "not connected")
        }
        sessionPresent = connack.sessionPresent
    }

    package func send(_ packets: Packet...) {
        var buffer = ByteBuffer()
        for packet in packets { packet.write(into: &buffer, version: version) }
        socket.send(Array(buffer.readableBytesView))
    }

    /// The next packet; `nil` once the server has closed, or when nothing comes in time.
    package func receive(within limit: Duration = .seconds(10)) throws -> Packet? {
        if !aside.isEmpty { return aside.removeFirst() }
        while true {
            if let packet = try decoder.next(from: &input) { return packet }
            guard let bytes = socket.receive(within: limit), !bytes.isEmpty else { return nil }
            input.writeBytes(bytes)
        }
    }

    package func subscribe(_ filters: Subscribe.Filter...) throws -> [ReasonCode] {
        send(.subscribe(Subscribe(packetIdentifier: 1, filters: filters)))
        guard case .suback(let suback) = try receive() else { return [] }
        return suback.reasons
    }

    package func publish(
        _ topic: String, _ payload: String, qos: QoS = .atMostOnce, retain: Bool = false, id: UInt16? = nil
    ) {
        send(
            .publish(
                Publish(
                    topic: topic, payload: ByteBuffer(string: payload), qos: qos, retain: retain, packetIdentifier: id))
        )
    }

    /// "topic=payload" of the next packet, which must be a PUBLISH; QoS 1 is acknowledged.
    package func message() throws -> String? {
        guard case .publish(let publish) = try receive() else { return nil }
        if let identifier = publish.packetIdentifier, publish.qos == .atLeastOnce {
            send(.puback(Acknowledgement(packetIdentifier: identifier)))
        }
        return "\(publish.topic)=\(String(buffer: publish.payload))\(publish.retain ? " R" : "")"
    }

    /// The next packet, which must be a PUBLISH; takes it to its end, whatever its QoS.
    package func delivery(within limit: Duration = .seconds(10)) throws -> Publish? {
        guard case .publish(let publish) = try receive(within: limit) else { return nil }
        guard let identifier = publish.packetIdentifier else { return publish }
        if publish.qos == .atLeastOnce {
            send(.puback(Acknowledgement(packetIdentifier: identifier)))
        } else {
            send(.pubrec(Acknowledgement(packetIdentifier: identifier)))
            // Further messages may stand before the PUBREL.
            var before: [Packet] = []
            while let packet = try receive(within: limit) {
                if packet == .pubrel(Acknowledgement(packetIdentifier: identifier)) { break }
                before.append(packet)
            }
            aside = before + aside
            send(.pubcomp(Acknowledgement(packetIdentifier: identifier)))
        }
        return publish
    }

    /// Takes its own QoS 1 and 2 publishes to their end, `count` of them, in whatever order the answers come.
    package func completePublishes(_ count: Int) throws {
        var left = count
        while left > 0 {
            switch try receive() {
            case .puback, .pubcomp: left -= 1
            case .pubrec(let pubrec):
                send(.pubrel(Acknowledgement(packetIdentifier: pubrec.packetIdentifier)))
            case let other:
                throw ChildProcess.SpawnFailure(
                    description: "\(left) publishes open, then came \(String(describing: other))")
            }
        }
    }
}
