package import Readings

/// Cuts a stream of bytes into binary frames. A value: bytes and time in, frames out.
///
/// A frame is handed out whole, with start bytes, length field, checksum and end bytes, and with escapes removed.
///
/// What turns out not to be a frame, by its checksum, its length or its silence, may have begun inside of data. So the
/// start is searched again from the second byte of it; only that one byte is lost. A frame with end bytes and without
/// start bytes begins behind the end of the one before: there the search goes on behind the next end.
///
/// Holds back at most one frame of the longest length and a portion of 4 KiB. Takes time in proportion to the bytes
/// pushed, times the length of frames for what looks like frames again and again and fails its checksum.
package struct BinaryFramer: Sendable {
    /// Frames handed out.
    package private(set) var frames: UInt64 = 0
    /// What looked like a frame and did not have the right checksum, or no room for it.
    package private(set) var checksumErrors: UInt64 = 0
    /// What began like a frame and was longer than the longest one.
    package private(set) var overlong: UInt64 = 0
    /// Bytes that became no part of a frame.
    package private(set) var discardedBytes: UInt64 = 0

    /// So many bytes are taken at once, so that a long push needs no long buffer.
    private static let portion = 4_096

    private let format: FrameFormat
    private var buffer: [UInt8] = []
    /// Where the frame begins that is waited for; what is before it is done with.
    private var head = 0
    private var lastByte: Instant?
    /// The rest of an overlong frame is coming, up to its end.
    private var isSkipping = false

    // The search for end bytes. It is kept from one false start to the next, so that no byte is searched twice: start
    // bytes are no escapes, so behind them an escape is read alike from wherever the search began.

    /// Up to here there is no end.
    private var cursor = 0
    /// The byte at the cursor is escaped.
    private var isEscaped = false
    /// From here up to the cursor no byte is escaped.
    private var plain = 0
    /// Behind the end bytes, when they were found.
    private var foundEnd: Int?

    package init(_ format: FrameFormat) { self.format = format }

    /// When ``idle(now:)`` has to be called unless bytes come before; `nil`: nothing is waited for.
    package var deadline: Instant? {
        guard let lastByte, head < buffer.count || isSkipping else { return nil }
        if case .gap(let gap) = format.framing { return lastByte + gap }
        return lastByte + format.timeout
    }

    /// The frames that `bytes`, which came at `now`, complete; and those that a silence before them ended.
    package mutating func push(_ bytes: some Sequence<UInt8>, at now: Instant) -> [[UInt8]] {
        var found = idle(now: now)
        var waiting = 0
        for byte in bytes {
            buffer.append(byte)
            waiting += 1
            if waiting == Self.portion {
                waiting = 0
                lastByte = now
                cut(into: &found)
            }
        }
        if waiting > 0 {
            lastByte = now
            cut(into: &found)
        }
        return found
    }

    /// The line has been silent until `now`. That ends a frame by a gap, and gives up a half one: the frames are those
    /// that a false start had hidden. Does nothing before the ``deadline``.
    package mutating func idle(now: Instant) -> [[UInt8]] {
        guard let deadline, now >= deadline else { return [] }
        var found: [[UInt8]] = []
        if case .gap = format.framing {
            endByGap(into: &found)
        } else if findsStarts {
            while head < buffer.count {
                discard(1)
                search(into: &found)
            }
        } else {
            discard(buffer.count - head)
        }
        isSkipping = false
        restartEndSearch(at: head)
        compact()
        return found
    }

    /// Whether a frame can be told from the tail of a broken one.
    private var findsStarts: Bool {
        if !format.start.isEmpty { return true }
        if case .startEnd = format.framing { return false }
        return format.check != nil
    }

    private mutating func cut(into found: inout [[UInt8]]) {
        if case .gap = format.framing {
            if !isSkipping, buffer.count - head > format.maxLength {
                overlong &+= 1
                isSkipping = true
            }
            if isSkipping { discard(buffer.count - head) }
        } else {
            search(into: &found)
        }
        compact()
    }

    private mutating func endByGap(into found: inout [[UInt8]]) {
        let frame = buffer[head...]
        // Nothing but the silence tells where a frame begins: a broken one is lost as a whole.
        if !frame.isEmpty, frame.starts(with: format.start), isRight(frame) {
            frames &+= 1
            found.append(Array(frame))
            head = buffer.count
        } else {
            discard(frame.count)
        }
    }

    /// Hands out all whole frames in the buffer, and leaves `head` at one that is not whole yet or at the end.
    private mutating func search(into found: inout [[UInt8]]) {
        while head < buffer.count, findStart() {
            switch candidate() {
            case .incomplete:
                // The end bytes may have begun.
                if isSkipping, case .startEnd(let end, _) = format.framing {
                    discard(max(0, cursor - end.count + 1 - head))
                }
                return
            case .impossible: discard(1)
            case .overlong:
                overlong &+= 1
                if case .startEnd = format.framing, format.start.isEmpty { isSkipping = true } else { discard(1) }
            case .whole(let size): take(size, into: &found)
            }
        }
    }

    private mutating func take(_ size: Int, into found: inout [[UInt8]]) {
        guard case .startEnd(let end, let escape) = format.framing else {
            let frame = buffer[head..<(head + size)]
            guard isRight(frame) else { return discard(1) }
            frames &+= 1
            found.append(Array(frame))
            head += size
            return
        }
        let body = buffer[(head + format.start.count)..<(head + size - end.count)]
        let frame = format.start + unescaped(body, escape)
        // Between the end of one frame and an equal start of the next there is no frame.
        guard !isSkipping, !body.isEmpty, isRight(frame[...]) else {
            discard(format.start.isEmpty ? size : 1)
            isSkipping = false
            return
        }
        frames &+= 1
        found.append(frame + end)
        head += size
    }

    private enum Candidate {
        /// More bytes are needed to tell.
        case incomplete
        /// No frame has this length.
        case impossible
        case overlong
        /// And how many bytes of the buffer it takes.
        case whole(size: Int)
    }

    /// What begins at `head`.
    private mutating func candidate() -> Candidate {
        let available = buffer.count - head
        switch format.framing {
        case .gap: return .incomplete
        case .fixed(let length): return available < length ? .incomplete : .whole(size: length)
        case .startEnd(let end, let escape): return findEnd(end, escape?.byte)
        case .lengthPrefixed(let field):
            let behind = field.offset + field.size.rawValue
            guard available >= behind else { return .incomplete }
            let value = field.order.number(buffer[(head + field.offset)..<(head + behind)])
            // 64 bits, so that it holds wherever an Int has 32.
            let length = Int64(value) + Int64(field.lengthAdds)
            guard length <= format.maxLength else { return .overlong }
            guard length >= behind + (format.check?.checksum.width ?? 0) else { return .impossible }
            return available < length ? .incomplete : .whole(size: Int(length))
        }
    }

    private mutating func findEnd(_ end: [UInt8], _ escape: UInt8?) -> Candidate {
        let body = head + format.start.count
        if let known = foundEnd {
            if body + end.count <= known { return .whole(size: known - head) }
            restartEndSearch(at: body)
        }
        if cursor < body { restartEndSearch(at: body) }
        plain = max(plain, body)
        while cursor < buffer.count {
            guard isSkipping || cursor - head < format.maxLength else { return .overlong }
            let byte = buffer[cursor]
            cursor += 1
            if isEscaped {
                isEscaped = false
                plain = cursor
            } else if byte == escape {
                isEscaped = true
            } else if byte == end.last, cursor - plain >= end.count,
                buffer[(cursor - end.count)..<cursor].elementsEqual(end)
            {
                foundEnd = cursor
                return .whole(size: cursor - head)
            }
        }
        return isSkipping || cursor - head < format.maxLength ? .incomplete : .overlong
    }

    private mutating func restartEndSearch(at index: Int) {
        cursor = index
        plain = index
        isEscaped = false
        foundEnd = nil
    }

    /// Moves `head` to the next start bytes, whole or as far as they have come. False: there are none yet.
    private mutating func findStart() -> Bool {
        guard let first = format.start.first else { return true }
        while head < buffer.count {
            let place = buffer[head...].firstIndex(of: first) ?? buffer.count
            discard(place - head)
            let there = buffer[head...].prefix(format.start.count)
            if there.elementsEqual(format.start) { return true }
            // Whether it is one the next bytes will tell.
            if there.count < format.start.count, format.start.starts(with: there) { return false }
            discard(1)
        }
        return false
    }

    private func unescaped(_ bytes: ArraySlice<UInt8>, _ escape: FrameFormat.Escape?) -> [UInt8] {
        guard let escape else { return Array(bytes) }
        var plain: [UInt8] = []
        plain.reserveCapacity(bytes.count)
        var isEscaped = false
        for byte in bytes {
            if isEscaped {
                plain.append(byte ^ escape.mask)
                isEscaped = false
            } else if byte == escape.byte {
                isEscaped = true
            } else {
                plain.append(byte)
            }
        }
        return plain
    }

    /// Whether `frame`, without end bytes, has the checksum it ought to have. Counts when not.
    private mutating func isRight(_ frame: ArraySlice<UInt8>) -> Bool {
        guard let check = format.check, !isSkipping else { return true }
        let width = check.checksum.width
        if frame.count >= max(format.start.count, check.checksumFrom) + width {
            let covered = frame.dropFirst(check.checksumFrom).dropLast(width)
            if UInt64(check.checksum.value(of: covered)) == check.order.number(frame.suffix(width)) { return true }
        }
        checksumErrors &+= 1
        return false
    }

    private mutating func discard(_ count: Int) {
        head += count
        discardedBytes &+= UInt64(count)
    }

    /// Gives up the room of what is done with; seldom enough that each byte is moved about once.
    private mutating func compact() {
        guard head == buffer.count || head >= max(Self.portion, buffer.count / 2) else { return }
        if head == buffer.count {
            buffer.removeAll(keepingCapacity: true)
        } else {
            buffer.removeFirst(head)
        }
        cursor = max(0, cursor - head)
        plain = max(0, plain - head)
        foundEnd = foundEnd.flatMap { $0 >= head ? $0 - head : nil }
        head = 0
    }
}
