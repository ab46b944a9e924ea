/// Cuts the P1 port's stream into telegrams: from `/` to `!` and its checksum (Netbeheer Nederland: P1 Companion Standard
/// 5.0.2 §6.2). A value.
package struct DSMRFramer: Sendable {
    package private(set) var telegrams: UInt64 = 0
    package private(set) var checksumErrors: UInt64 = 0
    package private(set) var overlong: UInt64 = 0

    private let maximumLength: Int
    private var buffer: [UInt8] = []
    private var isInside = false
    /// Bytes still to come behind `!`; `nil` before it.
    private var isBehindEnd = false
    private var checksum: [UInt8] = []

    /// - Parameter maximumLength: bytes of the longest telegram.
    package init(maximumLength: Int = 8_192) { self.maximumLength = maximumLength }

    /// The telegrams that `bytes` complete, from `/` to `!`. Those of DSMR 2 and 3 have no checksum, and pass without one;
    /// one that is there must be right.
    package mutating func push(_ bytes: some Sequence<UInt8>) -> [[UInt8]] {
        var found: [[UInt8]] = []
        for byte in bytes {
            // A telegram that breaks off is followed by a whole one; no value holds a slash at the start of a line.
            if byte == UInt8(ascii: "/"), !isInside || buffer.last == 0x0A || buffer.isEmpty {
                begin()
                continue
            }
            guard isInside else { continue }
            if isBehindEnd {
                if byte == 0x0A || byte == 0x0D {
                    if let telegram = end() { found.append(telegram) }
                } else if checksum.count < 4 {
                    checksum.append(byte)
                } else {
                    checksumErrors += 1
                    isInside = false
                }
                continue
            }
            buffer.append(byte)
            if byte == UInt8(ascii: "!") {
                isBehindEnd = true
            } else if buffer.count > maximumLength {
                overlong += 1
                isInside = false
                buffer = []
            }
        }
        return found
    }

    private mutating func begin() {
        buffer = [UInt8(ascii: "/")]
        checksum = []
        isInside = true
        isBehindEnd = false
    }

    private mutating func end() -> [UInt8]? {
        isInside = false
        if !checksum.isEmpty {
            guard checksum.count == 4, let value = UInt32(String(decoding: checksum, as: UTF8.self), radix: 16),
                value == Checksum.crc16ARC.value(of: buffer)
            else {
                checksumErrors += 1
                return nil
            }
        }
        telegrams += 1
        return buffer
    }
}
