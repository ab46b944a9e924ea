/// Cuts a stream of bytes into text lines. A value: bytes in, lines out.
package struct LineFramer: Sendable {
    private let delimiter: [UInt8]
    private let maximumLength: Int
    private var line: [UInt8] = []
    private var isOverlong = false
    /// The port may have been opened in the middle of a line: what comes before the first delimiter is no whole line.
    private var isPartial: Bool

    /// Lines dropped because they were longer than the maximum.
    package private(set) var overlong: UInt64 = 0

    /// - Parameters:
    ///   - delimiter: what ends a line; not empty.
    ///   - maximumLength: bytes, the delimiter not counted; longer lines are dropped up to their end.
    ///   - skipsFirst: drop what comes before the first delimiter.
    package init(delimiter: [UInt8], maximumLength: Int, skipsFirst: Bool) {
        precondition(!delimiter.isEmpty, "a line ends with something")
        self.delimiter = delimiter
        self.maximumLength = maximumLength
        isPartial = skipsFirst
    }

    /// The lines that `bytes` complete; empty ones are left out, and a CR before an LF is part of the delimiter.
    package mutating func push(_ bytes: some Sequence<UInt8>) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        for byte in bytes {
            line.append(byte)
            if line.count >= delimiter.count, line.suffix(delimiter.count).elementsEqual(delimiter) {
                line.removeLast(delimiter.count)
                if delimiter == [0x0A], line.last == 0x0D { line.removeLast() }
                if isOverlong || line.count > maximumLength {
                    overlong += 1
                } else if !isPartial, !line.isEmpty {
                    lines.append(line)
                }
                isPartial = false
                isOverlong = false
                line.removeAll(keepingCapacity: true)
            } else if line.count > maximumLength + delimiter.count {
                // Only what may be the beginning of the delimiter is kept.
                isOverlong = true
                line.removeFirst(line.count - delimiter.count)
            }
        }
        return lines
    }
}
