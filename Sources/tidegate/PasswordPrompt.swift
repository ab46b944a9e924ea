import Configuration
import Glibc
import Linux

/// Passwords never stand on the command line, where every program on the machine can read them.
enum PasswordPrompt {
    private static let limit = 4_096
    private static let fileLimit = 1 << 20

    /// The password for a user: typed twice without being shown, or the first line of standard input.
    static func read(for user: String) throws(GatewayError) -> String {
        guard isatty(STDIN_FILENO) == 1 else { return try line() }
        var shown = termios()
        tcgetattr(STDIN_FILENO, &shown)
        var hidden = shown
        // Without ISIG, Ctrl-C comes as a byte, and does not leave the terminal without an echo.
        hidden.c_lflag &= ~tcflag_t(ECHO | ISIG)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden)
        defer { tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown) }
        StandardError.print("password for \(user):")
        let first = try line()
        StandardError.print("again:")
        guard try line() == first else {
            throw mistake("the two that were typed differ", "type the same password twice")
        }
        return first
    }

    /// A password file's text.
    static func file(_ path: String) throws(GatewayError) -> String {
        let bytes: [UInt8]
        do throws(SystemCallError) {
            bytes = try SmallFile.read(path, limit: fileLimit)
        } catch {
            throw GatewayError(
                .io, doing: error.doing, reason: error.reason,
                remedy: error.remedy
                    ?? "name a password file of at most \(fileLimit) bytes, as mosquitto_passwd writes it")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw GatewayError(
                .usage, doing: "read \(path)", reason: "it is not text in UTF-8",
                remedy: "name a password file, as mosquitto_passwd writes it")
        }
        return text
    }

    private static func line() throws(GatewayError) -> String {
        var bytes: [UInt8] = []
        var byte: UInt8 = 0
        while Glibc.read(STDIN_FILENO, &byte, 1) == 1, byte != UInt8(ascii: "\n") {
            // Ctrl-C, Ctrl-\ and Ctrl-Z.
            if [3, 28, 26].contains(byte), isatty(STDIN_FILENO) == 1 {
                throw mistake("it was interrupted", "type it whole")
            }
            bytes.append(byte)
            if bytes.count > limit { throw mistake("it is longer than \(limit) bytes", "choose a shorter one") }
        }
        if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw mistake("it is not text in UTF-8", "use UTF-8 in the terminal or the file")
        }
        return text
    }

    private static func mistake(_ reason: String, _ remedy: String) -> GatewayError {
        GatewayError(.usage, doing: "read the password", reason: reason, remedy: remedy)
    }
}
