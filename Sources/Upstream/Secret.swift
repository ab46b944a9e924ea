/// Bytes that must not be seen: a password. Prints and mirrors as dots, so that it cannot slip into a log or an error.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    let bytes: [UInt8]

    /// - Parameter bytes: no byte may be zero, since libmosquitto takes C strings.
    package init?(_ bytes: [UInt8]) {
        guard !bytes.contains(0) else { return nil }
        self.bytes = bytes
    }

    /// The bytes themselves, for whoever must know them to keep them back.
    package var revealed: [UInt8] { bytes }

    package var description: String { "••••" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// Calls `body` with the bytes as a C string, and overwrites that copy afterwards.
    func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: bytes.count + 1) { copy in
            for (index, byte) in bytes.enumerated() { copy[index] = CChar(bitPattern: byte) }
            copy[bytes.count] = 0
            defer { copy.update(repeating: 0) }
            guard let base = copy.baseAddress else { preconditionFailure("a temporary of one byte or more has a base") }
            return body(UnsafePointer(base))
        }
    }
}
