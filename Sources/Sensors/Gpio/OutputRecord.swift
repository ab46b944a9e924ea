import Glibc
package import Linux
import Readings

/// An output's changes to come, in a small file: they outlive the gateway and the line keeper, should both be killed, and
/// a file of another boot tells that a power cut fell into a pulse.
///
/// One line of text, always as long, so that a single write replaces it. A write survives the death of the process at
/// once; ``sync()`` makes it survive a power cut.
package struct OutputRecord: Hashable, Sendable {
    package enum Content: Hashable, Sendable {
        /// Nothing is to come.
        case none
        /// Written since this boot: its instants hold.
        case ofThisBoot(OutputChanges)
        /// Written before the board started anew: its instants mean nothing.
        case ofAnotherBoot(OutputChanges)
    }

    package let path: String
    private let boot: String

    /// - Parameters:
    ///   - name: of the output.
    ///   - boot: which boot it is.
    package init(directory: String, name: String, boot: String = Boot.identifier ?? "-") {
        path = "\(directory)/output-\(FileName.escaped(name))"
        self.boot = boot
    }

    /// What the file says; one that is damaged says nothing.
    package func read() -> Content {
        guard let bytes = try? SmallFile.read(path, limit: 256), let text = String(validating: bytes, as: UTF8.self)
        else { return .none }
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count == 6, words[5] == "end", let pulseEnd = Self.change(words[1], words[2]),
            let safe = Self.change(words[3], words[4])
        else { return .none }
        let changes = OutputChanges(pulseEnd: pulseEnd, safe: safe)
        if changes.isEmpty { return .none }
        return words[0] == boot ? .ofThisBoot(changes) : .ofAnotherBoot(changes)
    }

    /// Replaces what the file says.
    package func write(_ changes: OutputChanges) throws(SystemCallError) {
        let text = "\(boot) \(Self.words(changes.pulseEnd)) \(Self.words(changes.safe)) end\n"
        let bytes = Array(text.utf8)
        let doing = "write \(path)"
        let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
        guard file >= 0 else { throw SystemCallError(doing: doing, code: errno) }
        defer { close(file) }
        let count = pwrite(file, bytes, bytes.count, 0)
        guard count == bytes.count else { throw SystemCallError(doing: doing, code: count < 0 ? errno : ENOSPC) }
    }

    /// Nothing is to come.
    package func remove() { unlink(path) }

    /// Makes the last ``write(_:)`` or ``remove()`` survive a power cut. Best effort; blocks for as long as the disk takes.
    package func sync() {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        if file >= 0 {
            fdatasync(file)
            close(file)
        }
        Folder.sync(of: path)
    }

    private static let disk = try? BlockingThread(name: "output records")

    /// The same on a thread of its own; without one, as the kernel does it by itself.
    func syncSoon() { Self.disk?.post { sync() } }

    /// Twenty digits and the value, so that each record is as long as any other.
    private static func words(_ change: OutputChanges.Change?) -> String {
        let digits = "\(change?.at.nanoseconds ?? 0)"
        return String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits
            + (change?.value == true ? " on_" : " off")
    }

    /// `nil`: damaged; a `nil` inside: not to come.
    private static func change(_ at: Substring, _ value: Substring) -> OutputChanges.Change?? {
        guard let nanoseconds = Int64(at), nanoseconds >= 0, ["on_", "off"].contains(value) else { return .none }
        return nanoseconds == 0
            ? .some(nil) : .some(.init(at: Instant(nanoseconds: nanoseconds), value: value == "on_"))
    }
}
