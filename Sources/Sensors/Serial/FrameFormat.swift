/// How a stream of bytes is cut into binary frames. Made only in forms that can work.
package struct FrameFormat: Hashable, Sendable {
    /// The number in a frame that says how long the frame is.
    package struct LengthField: Hashable, Sendable {
        /// How many bytes the field takes.
        package enum Size: Int, Hashable, Sendable {
            case one = 1
            case two = 2
            case four = 4
        }

        /// Where its first byte is, counted from the frame's first; behind the start bytes.
        package var offset: Int
        package var size: Size
        package var order: Endianness
        /// The field's value plus this is the length of the whole frame, start bytes, the field itself and checksum
        /// included. -65,536 to 65,536.
        ///
        /// A frame `AA len payload crc crc`, whose `len` counts the payload only, takes 4.
        package var lengthAdds: Int

        package init(offset: Int, size: Size, order: Endianness = .big, lengthAdds: Int = 0) {
            self.offset = offset
            self.size = size
            self.order = order
            self.lengthAdds = lengthAdds
        }
    }

    /// How bytes that would look like a frame's end are sent: as ``byte`` and then the byte exclusive-or ``mask``.
    ///
    /// HDLC and PPP: 0x7D and 0x20 (RFC 1662 §4.2). A mask of 0 takes the next byte as it is.
    package struct Escape: Hashable, Sendable {
        package var byte: UInt8
        package var mask: UInt8

        package init(byte: UInt8, mask: UInt8 = 0) {
            self.byte = byte
            self.mask = mask
        }
    }

    /// What tells where a frame ends.
    package enum Framing: Hashable, Sendable {
        case lengthPrefixed(LengthField)
        /// By 1 to 8 bytes that occur nowhere else in the frame unescaped.
        case startEnd(end: [UInt8], escape: Escape? = nil)
        /// All frames have so many bytes.
        case fixed(length: Int)
        /// The line is silent for so long.
        case gap(Duration)
    }

    /// The checksum at the frame's end; with ``Framing/startEnd(end:escape:)`` it stands before the end bytes.
    package struct Check: Hashable, Sendable {
        package var checksum: Checksum
        package var order: Endianness
        /// The first byte that it covers, of the frame with escapes removed; it covers all from there up to itself.
        package var checksumFrom: Int

        package init(_ checksum: Checksum, order: Endianness = .big, checksumFrom: Int = 0) {
            self.checksum = checksum
            self.order = order
            self.checksumFrom = checksumFrom
        }
    }

    /// Why a format cannot work, for a person.
    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        package var description: String
    }

    /// The longest frame that can be allowed.
    package static let lengthLimit = 65_536

    /// What each frame begins with, up to 8 bytes; may be empty. They are never escaped.
    package let start: [UInt8]
    package let framing: Framing
    package let check: Check?
    /// Bytes of the longest frame as it is on the line, escape bytes included. 1 to 65,536.
    package let maxLength: Int
    /// A frame that has begun is given up when no byte has come for so long. A gap ends frames by its own time.
    package let timeout: Duration

    /// Throws what about the format cannot work.
    package init(
        start: [UInt8] = [], framing: Framing, check: Check? = nil, maxLength: Int = 1_024,
        timeout: Duration = .seconds(1)
    ) throws(Failure) {
        func require(_ isMet: Bool, _ reason: @autoclosure () -> String) throws(Failure) {
            if !isMet { throw Failure(description: reason()) }
        }
        try require(start.count <= 8, "expected at most 8 start bytes, found \(start.count)")
        try require(
            (1...Self.lengthLimit).contains(maxLength),
            "expected a longest frame of 1 to \(Self.lengthLimit) bytes, found \(maxLength)")
        try require(timeout > .zero, "expected a timeout longer than 0")
        let width = check?.checksum.width ?? 0
        // What every frame has; the checksum must find room behind it.
        let least: Int
        switch framing {
        case .lengthPrefixed(let field):
            try require(
                field.offset >= start.count && field.offset < maxLength,
                "the length field at \(field.offset) is not between the start bytes and the longest frame's end")
            try require(
                (-Self.lengthLimit...Self.lengthLimit).contains(field.lengthAdds),
                "expected -65536 to 65536 to be added to the length field, found \(field.lengthAdds)")
            least = field.offset + field.size.rawValue
        case .startEnd(let end, let escape):
            try require((1...8).contains(end.count), "expected 1 to 8 end bytes, found \(end.count)")
            if let escape {
                try require(
                    !end.contains(escape.byte) && !start.contains(escape.byte),
                    "the escape byte must be no start or end byte")
            }
            least = start.count + end.count + 1
        case .fixed(let length):
            try require(
                (1...maxLength).contains(length), "expected a length of 1 to \(maxLength) bytes, found \(length)")
            try require(
                start.count + width <= length, "start bytes and checksum do not fit into \(length) bytes")
            least = start.count
        case .gap(let gap):
            try require(gap > .zero, "expected a gap longer than 0")
            least = start.count
        }
        try require(
            least + width <= maxLength, "a frame has at least \(least + width) bytes, the longest may have \(maxLength)"
        )
        if let check {
            let room = if case .fixed(let length) = framing { length } else { maxLength }
            try require(
                check.checksumFrom >= 0 && check.checksumFrom <= room - width,
                "the checksum cannot cover bytes from \(check.checksumFrom) on: the frame is not that long")
        }
        self.start = start
        self.framing = framing
        self.check = check
        self.maxLength = maxLength
        self.timeout = timeout
    }
}
