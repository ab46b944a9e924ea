import Configuration
import Glibc

/// Passwords never stand on the command line, where every program on the machine can read them.
enum PasswordPrompt {
    private static let limit = 4_096

    /// The password for a user: typed twice without being shown, or the first line of standard input.
    static func read(for user: String) throws(GatewayError) -> String {
        guard isatty(STDIN_FILENO) == 1 else { return try line() }
        var shown = termios()
        tcgetattr(STDIN_FILENO, &shown)
        var hidden = shown
        hidden.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden)
        defer { tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown) }
        StandardError.print("password for \(user):")
        let first = try line()
        StandardError.print("again:")
        guard try line() == first else { throw mistake("the two are not the same") }
        return first
    }

    /// A password file's text.
    static func file(_ path: String) throws(GatewayError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw GatewayError(.io, doing: "read \(path)", reason: String(cString: strerror(errno)))
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= 1 << 20 {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0 { throw GatewayError(.io, doing: "read \(path)", reason: String(cString: strerror(errno))) }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw GatewayError(.usage, doing: "read \(path)", reason: "it is not text in UTF-8")
        }
        return text
    }

    private static func line() throws(GatewayError) -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while Glibc.read(STDIN_FILENO, &byte, 1) == 1, byte != UInt8(ascii: "\n") {
            bytes.append(byte)
            if bytes.count > limit { throw mistake("it is longer than \(limit) bytes") }
        }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw mistake("it is not text in UTF-8") }
        return text
    }

    private static func mistake(_ reason: String) -> GatewayError {
        GatewayError(.usage, doing: "read the password", reason: reason)
    }
}
