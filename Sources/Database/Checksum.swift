internal import CZlib

/// The CRC-32 of zlib and IEEE 802.3 over several pieces: SQLite keeps none for what stands in a row, and a flash cell
/// that has turned over deep inside a payload breaks no page.
package struct Checksum {
    private var state: UInt32 = 0

    package init() {}

    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        // zlib takes no address for the wish to begin anew.
        if let start = bytes.baseAddress { state = czlib_crc32(state, start, bytes.count) }
    }

    package mutating func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { add($0) } }

    package mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// As it is kept: the 32 bits read as a signed number, which takes SQLite four bytes and not six.
    package var stored: Int64 { Int64(Int32(bitPattern: state)) }
}
