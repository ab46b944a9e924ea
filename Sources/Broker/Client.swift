import MQTT
import NIOCore

/// What a CONNECT comes to, once it is known who sent it. A class, since few clients have one and each has room for it.
final class Deciding {
    let connect: Connect
    let identifier: String
    /// The server chose the identifier.
    let isAssigned: Bool

    init(connect: Connect, identifier: String, isAssigned: Bool) {
        self.connect = connect
        self.identifier = identifier
        self.isAssigned = isAssigned
    }
}

/// One connection of the listener, from accept to close. Lives on the event loop.
final class Client {
    /// Never reused while the process lives: settle tokens and subscriptions name a connection by it.
    let number: UInt64
    let channel: any Channel
    /// Where it came in.
    let listener: OpenListener
    /// What of its address counts for limits.
    let addressKey: String?
    /// Whether its address may have one more connection.
    let verdict: AddressLimits.Verdict
    var connection: ServerConnection
    var decoder: PacketDecoder
    /// `nil` until the CONNECT is accepted.
    var session: Session?
    var aliases = OutboundAliases(maximum: 0)
    /// Monotonic nanoseconds.
    let connectedAt: Int64
    var received: UInt64 = 0
    var sent: UInt64 = 0

    /// Bytes read and not decoded yet; `nil` while there are none, which is most of the time for most clients.
    var input: ByteBuffer?
    /// Bytes that wait for the end of the turn, or for a client that reads slowly.
    private(set) var output: ByteBuffer?
    /// Bytes of the last write: about as many as the next will have.
    private var lastSize: UInt32 = 0
    /// On the core's list of clients to flush.
    var isDirty = false
    /// Reading is paused because the intake is full.
    var isHeldBack = false
    /// It has had its share of this turn; what it sent is taken on in the next.
    var givesWay = false
    /// What it sent is being taken right now.
    var isReceiving = false
    /// Its CONNECT, while it is not known yet whether it may come in.
    var deciding: Deciding?
    /// It hung up while that was not known.
    var isGone = false
    /// `close` has been called.
    var isClosing = false

    init(
        number: UInt64, channel: any Channel, listener: OpenListener, addressKey: String?,
        verdict: AddressLimits.Verdict, limits: ServerConnection.Limits, now: Int64
    ) {
        self.number = number
        self.channel = channel
        self.listener = listener
        self.addressKey = addressKey
        self.verdict = verdict
        connection = ServerConnection(limits: limits, now: now)
        decoder = PacketDecoder(maximumPacketSize: Int(limits.maximumPacketSize))
        connectedAt = now
    }

    /// Empty until the CONNECT is accepted.
    var identifier: String { session?.identifier ?? "" }

    var version: ProtocolVersion { connection.version ?? .v3_1_1 }

    /// No packet is to be taken from it right now: it is not let in yet, others have their turn, its own window is full, or
    /// the intake is. A 5.0 client knows its window and is closed when it breaks it.
    var isPaused: Bool {
        isHeldBack || givesWay || deciding != nil || connection.isSaturated && connection.version != .v5_0
    }

    /// Bytes that have not been handed to the channel.
    var outputBytes: Int { output?.readableBytes ?? 0 }

    /// Appends a packet to what leaves at the end of the turn; false, and nothing is appended, when it is larger than
    /// the client takes [MQTT-3.1.2-24].
    @discardableResult
    func append(_ packet: Packet, version: ProtocolVersion) -> Bool {
        var buffer = takeOutput()
        let start = buffer.writerIndex
        packet.write(into: &buffer, version: version)
        let fits = buffer.writerIndex - start <= connection.clientMaximumPacketSize
        if !fits { buffer.moveWriterIndex(to: start) }
        output = buffer
        return fits
    }

    /// Appends an encoded packet, with its own packet identifier put in at `place`.
    func append(_ encoded: ByteBuffer, packetIdentifier: (value: UInt16, place: Int)?) {
        var buffer = takeOutput()
        let start = buffer.writerIndex
        buffer.writeImmutableBuffer(encoded)
        if let packetIdentifier {
            buffer.setInteger(packetIdentifier.value, at: start + packetIdentifier.place - encoded.readerIndex)
        }
        output = buffer
    }

    /// Hands everything to the channel in one write, if it takes it now.
    func flush() {
        guard channel.isWritable, let output, output.readableBytes > 0 else { return }
        self.output = nil
        lastSize = UInt32(clamping: output.readableBytes)
        channel.writeAndFlush(output, promise: nil)
    }

    /// Takes the buffer out, so that appending to it never copies.
    private func takeOutput() -> ByteBuffer {
        defer { output = nil }
        return output ?? channel.allocator.buffer(capacity: max(128, min(Int(lastSize), 16 << 10)))
    }
}
