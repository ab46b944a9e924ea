package import NIOCore

extension Packet {
    /// Appends the packet's exact wire form for `version` to `buffer`, reserving its size first.
    package func write(into buffer: inout ByteBuffer, version: ProtocolVersion) {
    }
}
