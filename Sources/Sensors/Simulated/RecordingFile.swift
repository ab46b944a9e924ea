import Glibc
import Synchronization

/// A file read line by line, in blocks of 64 KiB, however large it is. Reading blocks.
final class RecordingFile: Sendable {
    private struct State {
        var buffer: [UInt8] = []
        var head = 0
        var isAtEnd = false
    }

    /// A longer line is none.
    private static let lineLimit = 64 << 10
    private static let block = 64 << 10

    private let descriptor: Int32
    private let state = Mutex(State())

    init(path: String) throws(SensorError) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let code = errno
            throw SensorError(
                doing: "play the recording \(path)", code: code, remedies: [ENOENT: "check the path in file"])
        }
    }

    deinit { close(descriptor) }

    /// Up to 256 lines; empty at the end.
    func lines() -> [[UInt8]] {
        state.withLock { state in
            var lines: [[UInt8]] = []
            while lines.count < 256 {
                if let end = state.buffer[state.head...].firstIndex(of: 0x0A) {
                    lines.append(Array(state.buffer[state.head..<end]))
                    state.head = end + 1
                } else if state.isAtEnd {
                    if state.head < state.buffer.count { lines.append(Array(state.buffer[state.head...])) }
                    state.head = state.buffer.count
                    break
                } else {
                    fill(&state)
                }
            }
            return lines
        }
    }

    private func fill(_ state: inout State) {
        state.buffer.removeFirst(state.head)
        state.head = 0
        if state.buffer.count > Self.lineLimit { state.buffer.removeAll() }
        var block = [UInt8](repeating: 0, count: Self.block)
        var count = read(descriptor, &block, block.count)
        while count < 0, errno == EINTR { count = read(descriptor, &block, block.count) }
        if count <= 0 { state.isAtEnd = true } else { state.buffer += block[..<count] }
    }
}
