import Readings
import Sensors
import TestSupport
import Testing

@Suite struct BinaryFramerTests {
    static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    /// AA 55 length-of-payload payload crc-16-modbus, little endian.
    static func lengthFormat() throws -> FrameFormat {
        try FrameFormat(
            start: [0xAA, 0x55], framing: .lengthPrefixed(.init(offset: 2, size: .one, lengthAdds: 5)),
            check: .init(.crc16Modbus, order: .little))
    }

    static func lengthFrame(_ payload: [UInt8]) -> [UInt8] {
        let frame = [0xAA, 0x55, UInt8(payload.count)] + payload
        return frame + stored(.crc16Modbus, .little, frame)
    }

    static func stored(_ checksum: Checksum, _ order: Endianness, _ bytes: some Sequence<UInt8>) -> [UInt8] {
        let value = checksum.value(of: bytes)
        let little = (0..<checksum.width).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
        return order == .little ? little : little.reversed()
    }

    static func escaped(_ bytes: [UInt8], _ escape: UInt8, _ mask: UInt8, _ special: [UInt8]) -> [UInt8] {
        bytes.flatMap { special.contains($0) || $0 == escape ? [escape, $0 ^ mask] : [$0] }
    }

    /// All of `stream` at once and then silence.
    static func frames(_ format: FrameFormat, _ stream: [UInt8]) -> [[UInt8]] {
        var framer = BinaryFramer(format)
        return framer.push(stream, at: at(0)) + framer.idle(now: at(60_000))
    }

    // MARK: Each framing

    @Test func lengthPrefixedOfEverySizeAndOrder() throws {
        let cases: [(FrameFormat.LengthField.Size, Endianness, [UInt8])] = [
            (.one, .big, [3]), (.one, .little, [3]), (.two, .big, [0, 3]), (.two, .little, [3, 0]),
            (.four, .big, [0, 0, 0, 3]), (.four, .little, [3, 0, 0, 0]),
        ]
        for (size, order, field) in cases {
            let format = try FrameFormat(
                start: [0x68],
                framing: .lengthPrefixed(
                    .init(offset: 2, size: size, order: order, lengthAdds: 2 + size.rawValue)))
            let frame = [0x68, 0x01] + field + [7, 8, 9]
            #expect(Self.frames(format, [1, 2] + frame + [3] + frame) == [frame, frame])
        }
    }

    @Test func lengthMayCountTheWholeFrame() throws {
        let format = try FrameFormat(
            framing: .lengthPrefixed(.init(offset: 0, size: .one)), check: .init(.sum8Complement))
        #expect(Self.frames(format, [4, 1, 2, 249, 3, 1, 252]) == [[4, 1, 2, 249], [3, 1, 252]])
        // A length of 1 has no room for start and length: a false start.
        let short = try FrameFormat(start: [9], framing: .lengthPrefixed(.init(offset: 1, size: .one, lengthAdds: -2)))
        #expect(Self.frames(short, [9, 5, 1, 9, 3, 9, 4]) == [[9, 5, 1], [9, 4]])
    }

    @Test func startAndEnd() throws {
        let format = try FrameFormat(
            start: [0x02], framing: .startEnd(end: [0x0D, 0x0A]), check: .init(.xor, checksumFrom: 1))
        let frame: [UInt8] = [0x02, 0x31, 0x0D, 0x33, 0x31 ^ 0x0D ^ 0x33, 0x0D, 0x0A]
        #expect(Self.frames(format, frame + [0xFF] + frame) == [frame, frame])
    }

    @Test func escapesAreRemoved() throws {
        let format = try FrameFormat(
            start: [0x7E], framing: .startEnd(end: [0x7E], escape: .init(byte: 0x7D, mask: 0x20)),
            check: .init(.crc16XModem, checksumFrom: 1))
        let payload: [UInt8] = [0x7E, 0x7D, 0x11, 0x5E, 0x7D]
        let body = payload + Self.stored(.crc16XModem, .big, payload)
        let sent = [0x7E] + Self.escaped(body, 0x7D, 0x20, [0x7E]) + [0x7E]
        #expect(sent.count > body.count + 4)
        #expect(Self.frames(format, sent + sent) == [[0x7E] + body + [0x7E], [0x7E] + body + [0x7E]])
        // Listening began inside a frame: its end is taken for a start, and found not to be one.
        #expect(Self.frames(format, [1, 2, 3, 0x7E] + sent) == [[0x7E] + body + [0x7E]])
    }

    /// One flag between two frames both ends and begins, as HDLC allows: the flag is an end only.
    @Test func sharedFlags() throws {
        let format = try FrameFormat(framing: .startEnd(end: [0x7E], escape: .init(byte: 0x7D, mask: 0x20)))
        #expect(
            Self.frames(format, [0x7E, 0x7E, 1, 2, 0x7E, 3, 0x7D, 0x5E, 0x7E]) == [[1, 2, 0x7E], [3, 0x7E, 0x7E]])
    }

    @Test func escapedEndIsNoEnd() throws {
        let format = try FrameFormat(start: [1], framing: .startEnd(end: [8, 9], escape: .init(byte: 0x10)))
        #expect(Self.frames(format, [1, 8, 0x10, 9, 0x10, 8, 9, 8, 8, 9]) == [[1, 8, 9, 8, 9, 8, 8, 9]])
        #expect(Self.frames(format, [1, 0x10, 0x10, 8, 9]) == [[1, 0x10, 8, 9]])
    }

    @Test func fixed() throws {
        let format = try FrameFormat(start: [0xFF, 0x01], framing: .fixed(length: 5), check: .init(.sum8))
        let frame: [UInt8] = [0xFF, 0x01, 0x10, 0x20, 0x30]
        #expect(Self.frames(format, [0xFF] + frame + frame) == [frame, frame])
        #expect(Self.frames(try FrameFormat(framing: .fixed(length: 2)), [1, 2, 3, 4, 5]) == [[1, 2], [3, 4]])
    }

    @Test func gap() throws {
        var framer = BinaryFramer(
            try FrameFormat(framing: .gap(.milliseconds(10)), check: .init(.xor), maxLength: 8))
        #expect(framer.deadline == nil)
        #expect(framer.push([1, 2], at: Self.at(0)).isEmpty)
        #expect(framer.push([3], at: Self.at(9)).isEmpty)
        #expect(framer.push([], at: Self.at(15)).isEmpty)
        #expect(framer.deadline == Self.at(19))
        #expect(framer.idle(now: Self.at(18)).isEmpty)
        #expect(framer.idle(now: Self.at(19)) == [[1, 2, 3]])
        #expect(framer.deadline == nil)
        // Nobody looked in the silence: the next bytes tell.
        #expect(framer.push([5, 5], at: Self.at(100)).isEmpty)
        #expect(framer.push([6, 6], at: Self.at(110)) == [[5, 5]])
        #expect(framer.push([7], at: Self.at(120)) == [[6, 6]])
        #expect(framer.idle(now: Self.at(130)).isEmpty)
        #expect(framer.checksumErrors == 1 && framer.discardedBytes == 1 && framer.frames == 3)
    }

    @Test func overlongGapFrameIsSkippedUpToTheSilence() throws {
        var framer = BinaryFramer(try FrameFormat(framing: .gap(.milliseconds(10)), maxLength: 8))
        for tick in 0..<5 { #expect(framer.push([1, 2, 3], at: Self.at(Int64(tick))).isEmpty) }
        #expect(framer.deadline == Self.at(14))
        #expect(framer.push([9], at: Self.at(14)).isEmpty)
        #expect(framer.idle(now: Self.at(24)) == [[9]])
        #expect(framer.overlong == 1 && framer.discardedBytes == 15)
    }

    // MARK: False starts and damage

    @Test func falseStartInsideOfAPayloadDoesNotMatter() throws {
        let inner = Self.lengthFrame([1, 2])
        let outer = Self.lengthFrame([0xAA, 0x55] + inner + [0xAA])
        #expect(Self.frames(try Self.lengthFormat(), outer + inner) == [outer, inner])
    }

    @Test func resynchronisesInsideOfAFalseFrame() throws {
        let good = Self.lengthFrame([1, 2, 3])
        // A false start whose length reaches into the second good frame.
        let stream: [UInt8] = [0xAA, 0x55, 10] + good + good
        var framer = BinaryFramer(try Self.lengthFormat())
        #expect(framer.push(stream, at: Self.at(0)) == [good, good])
        #expect(framer.checksumErrors == 1 && framer.discardedBytes == 3 && framer.frames == 2)
    }

    @Test func wrongChecksumLosesOneFrameOnly() throws {
        let good = Self.lengthFrame([0x10, 0x20, 0x30])
        for index in good.indices {
            var damaged = good
            damaged[index] ^= 0x04
            #expect(Self.frames(try Self.lengthFormat(), good + damaged + good) == [good, good], "byte \(index)")
        }
    }

    @Test func halfAFrameBeforeAGoodOne() throws {
        let good = Self.lengthFrame([0x10, 0x20, 0x30, 0x40])
        for count in 0..<good.count {
            #expect(Self.frames(try Self.lengthFormat(), good.prefix(count) + good) == [good], "\(count) bytes")
        }
        // Not a CRC that begins with 0: it is right for one whole body behind another, too.
        let format = try FrameFormat(start: [2], framing: .startEnd(end: [3, 4]), check: .init(.crc16CCITTFalse))
        let body: [UInt8] = [2, 7, 8, 9]
        let ended = body + Self.stored(.crc16CCITTFalse, .big, body) + [3, 4]
        for count in 0..<ended.count {
            #expect(Self.frames(format, ended.prefix(count) + ended) == [ended], "\(count) bytes")
        }
    }

    @Test func withoutStartBytesTheNextFrameBeginsBehindTheEnd() throws {
        let format = try FrameFormat(framing: .startEnd(end: [0x0A]), check: .init(.xor), maxLength: 6)
        var framer = BinaryFramer(format)
        #expect(framer.push([1, 9, 0x0A, 5, 5, 0x0A, 0x0A], at: Self.at(0)) == [[5, 5, 0x0A]])
        #expect(framer.checksumErrors == 1)
        // The tail of an overlong one is no frame, however right it looks.
        #expect(framer.push([1, 1, 1, 1, 1, 1, 7, 7, 0x0A, 6, 6, 0x0A], at: Self.at(1)) == [[6, 6, 0x0A]])
        #expect(framer.overlong == 1)
        #expect(framer.frames == 2)
    }

    @Test func lengthsBeyondTheLongestFrameAreFalseStarts() throws {
        let format = try FrameFormat(
            start: [0x68], framing: .lengthPrefixed(.init(offset: 1, size: .four, lengthAdds: 65_536)), maxLength: 20)
        var framer = BinaryFramer(format)
        #expect(framer.push([0x68, 0xFF, 0xFF, 0xFF, 0xFF, 0x68, 0xFF, 0xFF, 0, 6], at: Self.at(0)).isEmpty)
        // 0xFFFF0006 + 65536 is still far too long: with 32 bits it would be 6.
        #expect(framer.overlong == 2)
        let negative = try FrameFormat(
            start: [0x68], framing: .lengthPrefixed(.init(offset: 1, size: .one, lengthAdds: -65_536)), maxLength: 20)
        #expect(Self.frames(negative, [0x68, 0, 0x68, 255, 1]).isEmpty)
    }

    @Test func exactlyTheLongestFrameIsFine() throws {
        let format = try FrameFormat(start: [1], framing: .startEnd(end: [3, 4]), maxLength: 6)
        #expect(Self.frames(format, [1, 7, 7, 7, 3, 4]) == [[1, 7, 7, 7, 3, 4]])
        var framer = BinaryFramer(format)
        #expect(framer.push([1, 7, 7, 7, 7, 3, 4, 1, 8, 3, 4], at: Self.at(0)) == [[1, 8, 3, 4]])
        #expect(framer.overlong == 1)
    }

    // MARK: Time

    @Test func halfAFrameIsGivenUp() throws {
        var framer = BinaryFramer(try Self.lengthFormat())
        let good = Self.lengthFrame([1, 2])
        #expect(framer.push([0xAA, 0x55, 200] + good, at: Self.at(0)).isEmpty)
        #expect(framer.push([0], at: Self.at(500)).isEmpty)
        #expect(framer.deadline == Self.at(1_500))
        #expect(framer.idle(now: Self.at(1_499)).isEmpty)
        // What a false start had hidden comes to light.
        #expect(framer.idle(now: Self.at(1_500)) == [good])
        #expect(framer.deadline == nil)
        #expect(framer.discardedBytes == 4)
        #expect(framer.idle(now: Self.at(9_999)).isEmpty)
    }

    @Test func nextPushGivesUpHalfAFrameToo() throws {
        let format = try FrameFormat(framing: .fixed(length: 4), timeout: .milliseconds(50))
        var framer = BinaryFramer(format)
        #expect(framer.push([1, 2, 3], at: Self.at(0)).isEmpty)
        #expect(framer.push([4, 5, 6, 7], at: Self.at(50)) == [[4, 5, 6, 7]])
        #expect(framer.discardedBytes == 3)
    }

    /// Without start bytes and a checksum, the tail of half a frame is told from a frame by nothing.
    @Test func nothingIsMadeUpOfHalfAFrame() throws {
        let format = try FrameFormat(framing: .lengthPrefixed(.init(offset: 0, size: .one)))
        var framer = BinaryFramer(format)
        #expect(framer.push([9, 2, 1, 2, 1], at: Self.at(0)).isEmpty)
        #expect(framer.idle(now: Self.at(1_000)).isEmpty)
        #expect(framer.discardedBytes == 5)
        let ended = try FrameFormat(framing: .startEnd(end: [0x0A], escape: .init(byte: 0x7D)), maxLength: 5)
        var endedFramer = BinaryFramer(ended)
        // Silence ends an escape and an overlong frame as well.
        #expect(endedFramer.push([1, 0x7D], at: Self.at(0)).isEmpty)
        #expect(endedFramer.push([2, 0x0A], at: Self.at(1_000)) == [[2, 0x0A]])
        #expect(endedFramer.push([1, 1, 1, 1, 1, 1, 1], at: Self.at(1_001)).isEmpty)
        #expect(endedFramer.deadline == Self.at(2_001))
        #expect(endedFramer.push([3, 0x0A], at: Self.at(2_001)) == [[3, 0x0A]])
    }

    @Test func theEndOfTimeDoesNotTrap() throws {
        var framer = BinaryFramer(try Self.lengthFormat())
        #expect(framer.push([0xAA], at: Instant(nanoseconds: .max)).isEmpty)
        #expect(framer.push([0x55], at: Instant(nanoseconds: .min)).isEmpty)
        #expect(framer.idle(now: Instant(nanoseconds: .max)).isEmpty)
    }

    // MARK: However the bytes come

    /// Formats whose checksum guards: nothing else than the frames can be found.
    static func guarded() throws -> [FrameFormat] {
        [
            try lengthFormat(),
            try FrameFormat(
                start: [0x7E], framing: .lengthPrefixed(.init(offset: 2, size: .two, order: .little, lengthAdds: 8)),
                check: .init(.crc32, checksumFrom: 2), maxLength: 300),
            try FrameFormat(
                framing: .lengthPrefixed(.init(offset: 0, size: .two, lengthAdds: 0)), check: .init(.crc32C),
                maxLength: 64),
            try FrameFormat(
                start: [0x02], framing: .startEnd(end: [0x03], escape: .init(byte: 0x10, mask: 0x20)),
                check: .init(.crc32, order: .little), maxLength: 200),
            try FrameFormat(
                start: [0x7E], framing: .startEnd(end: [0x7E], escape: .init(byte: 0x7D, mask: 0x20)),
                check: .init(.crc32, checksumFrom: 1), maxLength: 200),
            try FrameFormat(start: [0x16, 0x16], framing: .fixed(length: 12), check: .init(.crc32)),
            try FrameFormat(framing: .fixed(length: 9), check: .init(.crc32C, order: .little)),
        ]
    }

    /// A frame as it is on the line and as it is handed out.
    private static func random(_ format: FrameFormat, using random: inout SplitMix64) -> (sent: [UInt8], whole: [UInt8])
    {
        let width = format.check?.checksum.width ?? 0
        var payload = random.bytes(Int.random(in: 1...40, using: &random))
        var frame = format.start
        switch format.framing {
        case .fixed(let length): payload = random.bytes(length - frame.count - width)
        case .lengthPrefixed(let field):
            frame += random.bytes(field.offset - frame.count)
            let total = field.offset + field.size.rawValue + payload.count + width
            let little = (0..<field.size.rawValue).map {
                UInt8(truncatingIfNeeded: (total - field.lengthAdds) >> (8 * $0))
            }
            frame += field.order == .little ? little : little.reversed()
        case .startEnd, .gap: break
        }
        frame += payload
        if let check = format.check {
            frame += stored(check.checksum, check.order, frame.dropFirst(check.checksumFrom))
        }
        guard case .startEnd(let end, let escape) = format.framing, let escape else { return (frame, frame) }
        let body = Array(frame.dropFirst(format.start.count))
        return (format.start + escaped(body, escape.byte, escape.mask, format.start + end) + end, frame + end)
    }

    /// Bytes among which no frame is hidden. Before a flag that both begins and ends, an escape would hide it.
    private static func garbage(_ format: FrameFormat, using random: inout SplitMix64) -> [UInt8] {
        var bytes = random.bytes(Int.random(in: 0...60, using: &random))
        if case .startEnd(_, let escape) = format.framing { bytes.removeAll { $0 == escape?.byte } }
        return bytes
    }

    @Test(arguments: try guarded()) func everyFrameIsFoundAmongGarbage(format: FrameFormat) {
        for seed in 1...20 {
            var random = SplitMix64(seed: UInt64(seed))
            var stream: [UInt8] = []
            var expected: [[UInt8]] = []
            for _ in 0..<40 {
                stream += Self.garbage(format, using: &random)
                let (sent, whole) = Self.random(format, using: &random)
                stream += sent
                expected.append(whole)
            }
            var framer = BinaryFramer(format)
            var found: [[UInt8]] = []
            var rest = stream[...]
            var now: Int64 = 0
            while !rest.isEmpty {
                let portion = rest.prefix(Int.random(in: 1...50, using: &random))
                rest = rest.dropFirst(portion.count)
                found += framer.push(portion, at: Self.at(now))
                now += 1
            }
            found += framer.idle(now: Self.at(now + 1_000))
            #expect(found == expected, "seed \(seed)")
            #expect(framer.frames == UInt64(expected.count))
        }
    }

    @Test(arguments: try guarded()) func splitAtEveryByteBoundary(format: FrameFormat) {
        var random = SplitMix64(seed: 42)
        var stream: [UInt8] = []
        var expected: [[UInt8]] = []
        for _ in 0..<4 {
            stream += Self.garbage(format, using: &random)
            let (sent, whole) = Self.random(format, using: &random)
            stream += sent
            expected.append(whole)
        }
        for place in 0...stream.count {
            var framer = BinaryFramer(format)
            var found = framer.push(stream[..<place], at: Self.at(0))
            found += framer.push(stream[place...], at: Self.at(1))
            found += framer.idle(now: Self.at(2_000))
            #expect(found == expected, "split at \(place)")
        }
    }

    /// Damaged streams of a tiny alphabet, full of starts, ends and escapes: portions change nothing, every byte is
    /// either in a frame or discarded, and nothing traps.
    @Test func portionsChangeNothing() throws {
        let formats = try [
            FrameFormat(start: [1], framing: .startEnd(end: [2, 2], escape: .init(byte: 3, mask: 1)), maxLength: 9),
            FrameFormat(start: [1, 1], framing: .startEnd(end: [1, 2]), check: .init(.xor), maxLength: 12),
            FrameFormat(framing: .startEnd(end: [2, 1], escape: .init(byte: 3, mask: 0)), maxLength: 7),
            FrameFormat(framing: .startEnd(end: [2]), check: .init(.sum8), maxLength: 16),
            FrameFormat(start: [1, 2], framing: .lengthPrefixed(.init(offset: 2, size: .one, lengthAdds: 2))),
            FrameFormat(
                framing: .lengthPrefixed(.init(offset: 1, size: .two, lengthAdds: -255)), check: .init(.xor),
                maxLength: 40),
            FrameFormat(start: [1, 1, 2], framing: .fixed(length: 6), check: .init(.sum8, checksumFrom: 3)),
            FrameFormat(framing: .fixed(length: 3), check: .init(.xor, checksumFrom: 2)),
        ]
        for format in formats {
            for seed in 1...30 {
                var random = SplitMix64(seed: UInt64(seed))
                let stream = (0..<400).map { _ in UInt8.random(in: 0...3, using: &random) }
                var whole = BinaryFramer(format)
                let expected = whole.push(stream, at: Self.at(0)) + whole.idle(now: Self.at(5_000))
                var parts = BinaryFramer(format)
                var found: [[UInt8]] = []
                for byte in stream { found += parts.push([byte], at: Self.at(0)) }
                found += parts.idle(now: Self.at(5_000))
                #expect(found == expected, "\(format), seed \(seed)")
                #expect(parts.checksumErrors == whole.checksumErrors && parts.overlong == whole.overlong)
                #expect(parts.discardedBytes == whole.discardedBytes && parts.frames == whole.frames)
                if case .startEnd(_, .some) = format.framing { continue }
                #expect(Int(whole.discardedBytes) + expected.reduce(0) { $0 + $1.count } == stream.count)
            }
        }
    }

    /// The kept search for an end finds what a search from every start anew would find.
    @Test func endSearchAgreesWithANaiveOne() throws {
        let format = try FrameFormat(
            start: [1], framing: .startEnd(end: [2, 2], escape: .init(byte: 3, mask: 1)), check: .init(.xor),
            maxLength: 10)
        for seed in 1...200 {
            var random = SplitMix64(seed: UInt64(seed))
            let stream = (0..<120).map { _ in UInt8.random(in: 0...3, using: &random) }
            #expect(Self.frames(format, stream) == Self.naive(stream), "seed \(seed)")
        }
    }

    /// ``endSearchAgreesWithANaiveOne()``'s format, read straight from its description.
    static func naive(_ stream: [UInt8]) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        var head = 0
        search: while head < stream.count {
            if stream[head] == 1 {
                var body: [(byte: UInt8, isPlain: Bool)] = []
                var index = head + 1
                while index < min(stream.count, head + 10) {
                    if stream[index] == 3 {
                        guard index + 1 < min(stream.count, head + 10) else { break }
                        body.append((stream[index + 1] ^ 1, false))
                        index += 2
                    } else {
                        body.append((stream[index], true))
                        index += 1
                    }
                    guard body.count >= 2, body.suffix(2).allSatisfy({ $0.isPlain && $0.byte == 2 }) else { continue }
                    let frame = [1] + body.map(\.byte)
                    let content = frame.dropLast(2)
                    if content.count > 1, content.dropLast().reduce(0, ^) == content.last {
                        frames.append(frame)
                        head = index
                        continue search
                    }
                    break
                }
            }
            head += 1
        }
        return frames
    }

    // MARK: A million bytes

    static func heavy() throws -> [FrameFormat] {
        [
            try lengthFormat(),
            try FrameFormat(start: [0], framing: .lengthPrefixed(.init(offset: 1, size: .four)), maxLength: 65_536),
            try FrameFormat(start: [0], framing: .startEnd(end: [0x0D, 0x0A]), maxLength: 65_536),
            try FrameFormat(start: [0], framing: .startEnd(end: [1], escape: .init(byte: 2)), maxLength: 65_536),
            try FrameFormat(framing: .startEnd(end: [1, 1, 1, 1]), check: .init(.crc16ARC), maxLength: 65_536),
            try FrameFormat(start: [0, 0, 0, 0, 0, 0, 0, 1], framing: .fixed(length: 65_536), maxLength: 65_536),
            try FrameFormat(framing: .gap(.milliseconds(5)), maxLength: 65_536),
        ]
    }

    /// A stuck line and noise, in one piece and byte by byte, do not cost more than their bytes.
    @Test(.timeLimit(.minutes(1)), arguments: try heavy()) func aMillionBytesOfGarbage(format: FrameFormat) {
        var random = SplitMix64(seed: 9)
        for garbage in [[UInt8](repeating: 0, count: 1_000_000), random.bytes(1_000_000)] {
            var framer = BinaryFramer(format)
            _ = framer.push(garbage, at: Self.at(0))
            for byte in garbage.prefix(100_000) { _ = framer.push(CollectionOfOne(byte), at: Self.at(1)) }
            _ = framer.idle(now: Self.at(90_000))
            #expect(framer.deadline == nil)
        }
    }

    // MARK: Formats

    @Test func formatsThatCannotWorkAreRefused() {
        func refuses(_ part: String, _ make: () throws(FrameFormat.Failure) -> FrameFormat) {
            do throws(FrameFormat.Failure) {
                _ = try make()
                Issue.record("not refused: \(part)")
            } catch {
                #expect(error.description.contains(part), "\(error)")
            }
        }
        let nine = [UInt8](repeating: 1, count: 9)
        refuses("at most 8 start bytes") { () throws(FrameFormat.Failure) in
            try FrameFormat(start: nine, framing: .fixed(length: 20))
        }
        refuses("1 to 8 end bytes, found 0") { () throws(FrameFormat.Failure) in
            try FrameFormat(framing: .startEnd(end: []))
        }
        refuses("1 to 8 end bytes, found 9") { () throws(FrameFormat.Failure) in
            try FrameFormat(framing: .startEnd(end: nine))
        }
        refuses("escape byte") { () throws(FrameFormat.Failure) in
            try FrameFormat(framing: .startEnd(end: [1, 2], escape: .init(byte: 2)))
        }
        for maxLength in [Int.min, 0, 65_537, .max] {
            refuses("1 to 65536 bytes") { () throws(FrameFormat.Failure) in
                try FrameFormat(framing: .gap(.seconds(1)), maxLength: maxLength)
            }
        }
        for length in [Int.min, -1, 0, 1_025, .max] {
            refuses("a length of 1 to 1024") { () throws(FrameFormat.Failure) in
                try FrameFormat(framing: .fixed(length: length))
            }
        }
        refuses("do not fit into 3 bytes") { () throws(FrameFormat.Failure) in
            try FrameFormat(start: [1, 2], framing: .fixed(length: 3), check: .init(.crc16ARC))
        }
        for offset in [Int.min, -1, 0, 1_024, .max] {
            refuses("length field") { () throws(FrameFormat.Failure) in
                try FrameFormat(start: [1], framing: .lengthPrefixed(.init(offset: offset, size: .one)))
            }
        }
        for adds in [Int.min, 65_537, .max] {
            refuses("length field, found \(adds)") { () throws(FrameFormat.Failure) in
                try FrameFormat(framing: .lengthPrefixed(.init(offset: 0, size: .one, lengthAdds: adds)))
            }
        }
        refuses("at least 6 bytes, the longest may have 5") { () throws(FrameFormat.Failure) in
            try FrameFormat(
                framing: .lengthPrefixed(.init(offset: 0, size: .four)), check: .init(.crc16ARC), maxLength: 5)
        }
        for from in [Int.min, -1, 9, .max] {
            refuses("cover") { () throws(FrameFormat.Failure) in
                try FrameFormat(framing: .fixed(length: 9), check: .init(.xor, checksumFrom: from))
            }
        }
        refuses("gap longer than 0") { () throws(FrameFormat.Failure) in try FrameFormat(framing: .gap(.zero)) }
        refuses("timeout longer than 0") { () throws(FrameFormat.Failure) in
            try FrameFormat(framing: .fixed(length: 1), timeout: .seconds(-1))
        }
    }

    @Test func frameWithoutRoomForWhatTheChecksumCovers() throws {
        let format = try FrameFormat(
            start: [1], framing: .startEnd(end: [9]), check: .init(.xor, checksumFrom: 4), maxLength: 20)
        var framer = BinaryFramer(format)
        #expect(framer.push([1, 0, 9, 1, 2, 3, 0, 4, 5, 1, 9], at: Self.at(0)) == [[1, 2, 3, 0, 4, 5, 1, 9]])
        #expect(framer.checksumErrors == 1)
    }
}
