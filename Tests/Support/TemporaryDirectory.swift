import CLinux
package import Glibc

/// A fresh directory below `$TMPDIR` or /tmp, gone with everything in it when the value's last owner is.
package final class TemporaryDirectory: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    package let path: String

    /// - Parameter name: what its name begins with.
    package init(named name: String = "tidegate-test") throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/\(name).XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Failure(description: "no temporary directory in \(parent): \(String(cString: strerror(errno)))")
        }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { clinux_remove_tree(path) }

    /// The path of a file in it.
    package subscript(_ name: String) -> String { "\(path)/\(name)" }

    /// The names in it, sorted.
    package var names: [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// A file's bytes; `nil` when it is not there.
    package func bytes(of name: String) -> [UInt8]? { bytesOfFile(self[name]) }

    /// A file's whole lines so far; none when it is not there.
    package func lines(_ name: String) -> [String] {
        let bytes = bytes(of: name) ?? []
        guard let end = bytes.lastIndex(of: UInt8(ascii: "\n")) else { return [] }
        return bytes[..<end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
    }

    /// Writes a file, with `mode` as its permissions; returns its path.
    @discardableResult
    package func write(_ bytes: some Collection<UInt8>, to name: String, mode: mode_t = 0o644) throws -> String {
        let path = self[name]
        guard let file = fopen(path, "w") else {
            throw Failure(description: "cannot write \(path): \(String(cString: strerror(errno)))")
        }
        let contents = Array(bytes)
        fwrite(contents, 1, contents.count, file)
        fclose(file)
        chmod(path, mode)
        return path
    }

    /// Writes a text file.
    @discardableResult
    package func write(_ text: String, to name: String, mode: mode_t = 0o644) throws -> String {
        try write(Array(text.utf8), to: name, mode: mode)
    }
}

private func bytesOfFile(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return bytes
}

/// A whole text file, or what of it is there; empty when it is missing.
package func textOfFile(_ path: String) -> String {
    String(decoding: bytesOfFile(path) ?? [], as: UTF8.self)
}
