import Glibc
import Linux

/// Small files of the kernel's, and the folders that they are in. Reading one may take as long as a measurement.
enum SysfsFile {
    /// The first 4 KiB, without the line's end; `errno` when it cannot be read. Signals do not interrupt it.
    static func read(_ path: String) -> Result<String, Errno> {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return .failure(Errno(code: errno)) }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { buffer in
                Glibc.read(file, buffer.baseAddress?.advanced(by: count), buffer.count - count)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { return .failure(Errno(code: errno)) }
            if got == 0 { break }
            count += got
        }
        var text = String(decoding: bytes[..<count], as: UTF8.self)[...]
        while text.last?.isWhitespace == true { text.removeLast() }
        return .success(String(text))
    }

    struct Errno: Error, Hashable, Sendable {
        var code: Int32
        var reason: String { ErrnoText.text(code) }
    }

    /// The text, or `nil` when there is none.
    static func text(_ path: String) -> String? { try? read(path).get() }

    /// A number that the kernel prints; `nil` when there is none.
    static func number(_ path: String) -> Double? { text(path).flatMap { Double($0) } }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// What is in a folder, in the order of the names with their numbers counted: `temp2` before `temp10`.
    static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.map { (counted($0), $0) }.sorted { $0.0 < $1.0 }.map(\.1)
    }

    /// The name with its numbers as wide as they get.
    private static func counted(_ name: String) -> String {
        var key = ""
        var rest = name[...]
        while !rest.isEmpty {
            let digits = rest.prefix(while: \.isNumber)
            key += String(repeating: "0", count: max(0, 9 - digits.count)) + digits
            rest = rest.dropFirst(digits.count)
            let text = rest.prefix { !$0.isNumber }
            key += text
            rest = rest.dropFirst(text.count)
        }
        return key
    }
}
