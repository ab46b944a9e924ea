import NIOCore

/// Takes fields off one packet's body (MQTT 5.0 §1.5). Every failure names packet and field.
struct WireReader {
    private(set) var body: ByteBuffer
    /// The packet's name, for messages.
    let packet: String

    init(_ body: ByteBuffer, packet: String) {
        self.body = body
        self.packet = packet
    }

    var remaining: Int { body.readableBytes }
    var isAtEnd: Bool { body.readableBytes == 0 }

    func malformed(_ detail: String) -> MQTTError { MQTTError(.malformedPacket, "\(packet) \(detail)") }
    func protocolError(_ detail: String) -> MQTTError { MQTTError(.protocolError, "\(packet) \(detail)") }

    mutating func byte(_ field: String) throws(MQTTError) -> UInt8 {
        guard let value = body.readInteger(as: UInt8.self) else { throw malformed("ends before \(field)") }
        return value
    }

    mutating func twoBytes(_ field: String) throws(MQTTError) -> UInt16 {
        guard let value = body.readInteger(as: UInt16.self) else { throw malformed("ends before \(field)") }
        return value
    }

    mutating func fourBytes(_ field: String) throws(MQTTError) -> UInt32 {
        guard let value = body.readInteger(as: UInt32.self) else { throw malformed("ends before \(field)") }
        return value
    }

    /// A variable byte integer in its shortest form [MQTT-1.5.5-1].
    mutating func variableByteInteger(_ field: String) throws(MQTTError) -> Int {
        switch VariableByteInteger.read(from: &body) {
        case .value(let value): return value
        case .incomplete: throw malformed("ends before \(field)")
        case .malformed: throw malformed("\(field) is not a variable byte integer [MQTT-1.5.5-1]")
        }
    }

    /// Binary data: a slice of the packet, not a copy.
    mutating func binary(_ field: String) throws(MQTTError) -> ByteBuffer {
        guard let data = body.readLengthPrefixedSlice(as: UInt16.self) else { throw malformed("ends inside \(field)") }
        return data
    }

    /// A UTF-8 string: well formed, without surrogates [MQTT-1.5.4-1] and without U+0000 [MQTT-1.5.4-2].
    mutating func string(_ field: String) throws(MQTTError) -> String {
        let data = try binary(field)
        let text = data.withUnsafeReadableBytes { bytes -> String? in
            guard !bytes.contains(0) else { return nil }
            return String(validating: bytes, as: UTF8.self)
        }
        guard let text else { throw malformed("\(field) is not UTF-8 without NUL [MQTT-1.5.4-1] [MQTT-1.5.4-2]") }
        return text
    }

    /// A packet identifier, which is never 0 [MQTT-2.2.1-3].
    mutating func packetIdentifier() throws(MQTTError) -> UInt16 {
        let identifier = try twoBytes("packet identifier")
        guard identifier != 0 else { throw protocolError("packet identifier is 0 [MQTT-2.2.1-3]") }
        return identifier
    }

    /// What is left, as a slice.
    mutating func rest() -> ByteBuffer {
        body.readSlice(length: body.readableBytes) ?? ByteBuffer()
    }

    /// A reader for the next `length` bytes.
    mutating func part(length: Int, _ field: String) throws(MQTTError) -> WireReader {
        guard let slice = body.readSlice(length: length) else { throw malformed("ends inside \(field)") }
        return WireReader(slice, packet: packet)
    }

    func expectEnd() throws(MQTTError) {
        guard isAtEnd else { throw malformed("has \(remaining) bytes behind its last field") }
    }
}

/// The variable byte integer (MQTT 5.0 §1.5.5): seven bits a byte, at most four bytes, 0 … 268,435,455.
enum VariableByteInteger {
    static let maximum = 268_435_455

    enum Outcome {
        case value(Int)
        case incomplete
        case malformed
    }

    /// Takes one off the front; `buffer` is untouched unless there is a value.
    static func read(from buffer: inout ByteBuffer) -> Outcome {
        var value = 0
        for index in 0..<4 {
            guard let byte = buffer.getInteger(at: buffer.readerIndex + index, as: UInt8.self) else {
                return .incomplete
            }
            value |= Int(byte & 0x7F) << (7 * index)
            if byte & 0x80 == 0 {
                guard index == 0 || byte != 0 else { return .malformed }
                buffer.moveReaderIndex(forwardBy: index + 1)
                return .value(value)
            }
        }
        return .malformed
    }

    static func size(_ value: Int) -> Int {
        switch value {
        case ..<128: 1
        case ..<16_384: 2
        case ..<2_097_152: 3
        default: 4
        }
    }

    static func write(_ value: Int, into buffer: inout ByteBuffer) {
        var rest = value
        repeat {
            let byte = UInt8(rest & 0x7F)
            rest >>= 7
            buffer.writeInteger(rest > 0 ? byte | 0x80 : byte)
        } while rest > 0
    }
}
