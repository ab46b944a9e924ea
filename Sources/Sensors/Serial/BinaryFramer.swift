package import Readings

/// How a stream of bytes is cut into binary frames.
package struct FrameFormat: Hashable, Sendable {
    package enum Cut: Hashable, Sendable {
        /// A field of 1, 2 or 4 bytes at `offset` says how long the frame is; `adds` to it makes that the whole length,
        /// start and checksum included.
        case length(offset: Int, size: Int, isLittleEndian: Bool, adds: Int)
        /// Up to these bytes. Behind an escape byte the next one is taken literally, exclusive-or `mask`.
        case end([UInt8], escape: UInt8?, mask: UInt8)
        /// Always as long.
        case fixed(Int)
        /// A frame ends where the line is silent for this long.
        case gap(Duration)
    }

    package struct Guard: Hashable, Sendable {
        package var checksum: Checksum
        package var isLittleEndian: Bool
        /// The first byte that it covers; it covers all up to itself.
        package var from: Int

        package init(_ checksum: Checksum, isLittleEndian: Bool = false, from: Int = 0) {
            self.checksum = checksum
            self.isLittleEndian = isLittleEndian
            self.from = from
        }
    }

    /// What a frame begins with; may be empty.
    package var start: [UInt8]
    package var cut: Cut
    /// Stands at the frame's end, before the end bytes.
    package var check: Guard?
    /// Bytes of the longest frame.
    package var maximumLength: Int

    package init(start: [UInt8] = [], cut: Cut, check: Guard? = nil, maximumLength: Int = 1_024) {
        self.start = start
        self.cut = cut
        self.check = check
        self.maximumLength = maximumLength
    }
}

/// Cuts a stream of bytes into binary frames. A value: bytes and time in, frames out.
///
/// A frame is handed out whole, from its start to its end, with escapes taken out. Whatever does not become a frame, a wrong
/// checksum above all, is searched for another start from its second byte on: what looked like a start may have been data.
package struct BinaryFramer: Sendable {
    package private(set) var frames: UInt64 = 0
    package private(set) var checksumErrors: UInt64 = 0
    /// Starts whose frame was too long, or impossible.
    package private(set) var overlong: UInt64 = 0
    /// Bytes that were no part of a frame.
    package private(set) var discarded: UInt64 = 0

    /// A frame that has begun and does not go on for so long is given up.
    private static let patience = Duration.seconds(1)

    private let format: FrameFormat
    private var buffer: [UInt8] = []
    private var head = 0
    private var lastByte: Instant?
    /// Of a frame without end in gap framing: the rest of it.
    private var isSkipping = false

    package init(_ format: FrameFormat) { self.format = format }

    /// When ``idle(now:)`` is to be called at the latest; `nil`: nothing has begun.
    package var deadline: Instant? {
        guard let lastByte, head < buffer.count || isSkipping else { return nil }
        if case .gap(let gap) = format.cut { return lastByte + gap }
        return lastByte + Self.patience
    }

    /// The frames that `bytes`, which came at `now`, complete.
    package mutating func push(_ bytes: some Sequence<UInt8>, at now: Instant) -> [[UInt8]] {
        var found = idle(now: now)
        buffer += bytes
        lastByte = now
        if case .gap = format.cut {
            if buffer.count - head > format.maximumLength {
                if !isSkipping { overlong += 1 }
                isSkipping = true
                discard(buffer.count - head)
            }
        } else {
            while let frame = next() { found.append(frame) }
        }
        compact()
        return found
    }

    /// The line has been silent until `now`: the end of a frame by a gap, or of the hope for one that has begun.
    package mutating func idle(now: Instant) -> [[UInt8]] {
        guard let deadline, now >= deadline else { return [] }
        var found: [[UInt8]] = []
        if case .gap = format.cut {
            let frame = Array(buffer[head...])
            head = buffer.count
            if !isSkipping, !frame.isEmpty {
                if frame.starts(with: format.start), isWhole(frame[...]) {
                    frames += 1
                    found.append(frame)
                } else {
                    discarded += UInt64(frame.count)
                }
            }
            isSkipping = false
        } else {
            // What was a start may have been data.
            while head < buffer.count {
                discard(1)
                while let frame = next() { found.append(frame) }
            }
        }
        compact()
        return found
    }

    private mutating func discard(_ count: Int) {
        head += count
        discarded += UInt64(count)
    }

    private mutating func compact() {
        guard head > 4_096 || head == buffer.count else { return }
        buffer.removeFirst(head)
        head = 0
    }

    /// The next whole frame in the buffer; `nil`: more is needed.
    private mutating func next() -> [UInt8]? {
        while head < buffer.count {
            guard findStart() else { return nil }
            switch candidate() {
            case .incomplete: return nil
            case .impossible:
                overlong += 1
                discard(1)
            case .frame(let frame, let size):
                // The end bytes stand behind the checksum.
                if isWhole(guarded(frame)) {
                    head += size
                    frames += 1
                    return frame
                }
                discard(1)
            }
        }
        return nil
    }

    private enum Candidate {
        case incomplete
        case impossible
        /// And how many bytes of the buffer it took.
        case frame([UInt8], size: Int)
    }

    private func candidate() -> Candidate {
        let available = buffer.count - head
        switch format.cut {
        case .gap: return .incomplete
        case .fixed(let length): return sized(length, available: available)
        case .length(let offset, let size, let isLittleEndian, let adds):
            guard available >= offset + size else { return .incomplete }
            let field = buffer[(head + offset)..<(head + offset + size)]
            let value = (isLittleEndian ? Array(field.reversed()) : Array(field)).reduce(0) { $0 << 8 | Int($1) }
            return sized(value + adds, available: available)
        case .end(let end, let escape, let mask):
            var frame = Array(buffer[head..<(head + format.start.count)])
            var index = head + format.start.count
            var isEscaped = false
            while index < buffer.count {
                let byte = buffer[index]
                index += 1
                if isEscaped {
                    frame.append(byte ^ mask)
                    isEscaped = false
                } else if byte == escape {
                    isEscaped = true
                } else {
                    frame.append(byte)
                    if frame.count >= format.start.count + end.count, byte == end.last,
                        frame.suffix(end.count).elementsEqual(end)
                    {
                        return .frame(frame, size: index - head)
                    }
                }
                if frame.count > format.maximumLength { return .impossible }
            }
            return .incomplete
        }
    }

    private func sized(_ length: Int, available: Int) -> Candidate {
        let least = max(1, format.start.count + (format.check?.checksum.width ?? 0))
        guard length >= least, length <= format.maximumLength else { return .impossible }
        guard available >= length else { return .incomplete }
        return .frame(Array(buffer[head..<(head + length)]), size: length)
    }

    /// Moves to the next place where a frame may start; false when there is none whole.
    private mutating func findStart() -> Bool {
        guard let first = format.start.first else { return true }
        while head < buffer.count {
            guard let place = buffer[head...].firstIndex(of: first) else {
                discard(buffer.count - head)
                return false
            }
            discard(place - head)
            let there = buffer[head...].prefix(format.start.count)
            if there.count < format.start.count { return false }
            if there.elementsEqual(format.start) { return true }
            discard(1)
        }
        return false
    }

    private func guarded(_ frame: [UInt8]) -> ArraySlice<UInt8> {
        if case .end(let end, _, _) = format.cut { frame.dropLast(end.count) } else { frame[...] }
    }

    private mutating func isWhole(_ frame: ArraySlice<UInt8>) -> Bool {
        guard let check = format.check else { return true }
        let width = check.checksum.width
        guard frame.count >= check.from + width else {
            checksumErrors += 1
            return false
        }
        let stored = frame.suffix(width)
        let value = (check.isLittleEndian ? Array(stored.reversed()) : Array(stored)).reduce(UInt32(0)) {
            $0 << 8 | UInt32($1)
        }
        let isRight = check.checksum.value(of: frame.dropFirst(check.from).dropLast(width)) == value
        if !isRight { checksumErrors += 1 }
        return isRight
    }
}
