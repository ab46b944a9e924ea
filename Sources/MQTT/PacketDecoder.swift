package import NIOCore

/// Turns a stream of bytes into packets. Sans-IO: the owner feeds a buffer, the decoder takes whole packets off it.
package struct PacketDecoder: Sendable {
    /// `nil` until the CONNECT is read (server side): then only a CONNECT decodes.
    package private(set) var version: ProtocolVersion?
    /// Largest whole packet accepted, in bytes; checked on the fixed header, before anything is buffered.
    package var maximumPacketSize: Int

    package init(version: ProtocolVersion? = nil, maximumPacketSize: Int) {
        self.version = version
        self.maximumPacketSize = maximumPacketSize
    }

    /// The next whole packet, or `nil` when more bytes are needed.
    package mutating func next(from buffer: inout ByteBuffer) throws(MQTTError) -> Packet? {
        nil
    }
}
