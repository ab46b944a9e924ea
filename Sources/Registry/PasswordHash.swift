internal import CCrypt
internal import Readings

/// A password as it may be kept: one of the hashes below, with its salt and cost. Made here it is yescrypt; the two
/// others come from `mosquitto_passwd` and are only verified.
///
/// - `$y$…`: yescrypt of crypt(5), as in /etc/shadow.
/// - `$7$ITERATIONS$SALT$HASH`: PBKDF2-HMAC-SHA512, salt and 64 bytes of hash in base64 (mosquitto 2).
/// - `$6$SALT$HASH`: SHA-512 of password and salt, in base64 (mosquitto 1.6 and earlier). Not crypt(5)'s `$6$`.
///
/// Prints and mirrors as dots: a hash can be guessed at.
package struct PasswordHash: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible,
    CustomReflectable
{
    /// The longest password, in bytes: crypt(3)'s limit, kept for every format, so that nobody can make the gateway
    /// store or hash a longer one.
    package static let maximumPasswordBytes = Int(CCRYPT_PASSWORD_BYTES)
    /// Iterations of PBKDF2 that are still computed: about a second on a small board. `mosquitto_passwd` writes 101.
    package static let maximumIterations = 1_000_000
    /// Memory that a yescrypt hash may ask for, in bytes.
    package static let maximumMemory = 64 << 20
    /// The longest text of a hash, in bytes.
    package static let maximumTextBytes = Int(CCRYPT_TEXT_BYTES) - 1
    /// The cost of crypt(5) that a new hash gets: 16 MiB and some 20 ms on a desktop, four times that on a small board.
    package static let defaultCost = 5

    /// How a text was hashed, with what it takes to do it again.
    private enum Scheme: Hashable {
        case yescrypt
        case pbkdf2(iterations: Int32, salt: [UInt8], hash: [UInt8])
        case sha512(salt: [UInt8], hash: [UInt8])
    }

    private let scheme: Scheme
    /// The hash as it is stored. Keep it out of logs and errors.
    package let text: String

    private init(scheme: Scheme, text: String) {
        self.scheme = scheme
        self.text = text
    }

    package var description: String { "••••" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: []) }

    // MARK: Reading

    /// Reads a hash; the errors say what is wrong, never what was read.
    package init(parsing text: String) throws(PasswordHashError) {
        let bytes = Array(text.utf8)
        guard bytes.count <= Self.maximumTextBytes else { throw .tooLong }
        guard bytes.first == UInt8(ascii: "$") else { throw .notAHash }
        let fields = bytes.dropFirst().split(separator: UInt8(ascii: "$"), omittingEmptySubsequences: false)
        switch String(decoding: fields[0], as: UTF8.self) {
        case "y": self.init(scheme: try Self.yescrypt(fields), text: text)
        case "7": self.init(scheme: try Self.pbkdf2(fields), text: text)
        case "6": self.init(scheme: try Self.sha512(fields), text: text)
        default: throw .unknownFormat
        }
    }

    /// `y`, parameters, salt, hash. Of the parameters only those that crypt_gensalt(3) writes are taken: the flavour
    /// `j`, one character for the binary logarithm of N and one for r; memory is 128 · N · r bytes.
    private static func yescrypt(_ fields: [ArraySlice<UInt8>]) throws(PasswordHashError) -> Scheme {
        guard fields.count == 4, fields[1].count == 3, fields[1].first == UInt8(ascii: "j"),
            let logarithm = cryptDigit(fields[1][fields[1].startIndex + 1]),
            let blocks = cryptDigit(fields[1][fields[1].startIndex + 2])
        else { throw .malformed }
        guard logarithm < 30, (128 * (blocks + 1)) << (logarithm + 1) <= maximumMemory else { throw .tooCostly }
        guard (1...86).contains(fields[2].count), fields[3].count == 43,
            fields[2].allSatisfy({ cryptDigit($0) != nil }), fields[3].allSatisfy({ cryptDigit($0) != nil })
        else { throw .malformed }
        return .yescrypt
    }

    private static func pbkdf2(_ fields: [ArraySlice<UInt8>]) throws(PasswordHashError) -> Scheme {
        guard fields.count == 4, let salt = Base64.decode(fields[2]), let hash = Base64.decode(fields[3]),
            !salt.isEmpty, hash.count == Int(CCRYPT_SHA512_BYTES), !fields[1].isEmpty,
            fields[1].allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { throw .malformed }
        // A number that does not fit is above the limit.
        let iterations = Int32(String(decoding: fields[1], as: UTF8.self)) ?? .max
        guard iterations > 0 else { throw .malformed }
        guard iterations <= maximumIterations else { throw .tooCostly }
        return .pbkdf2(iterations: iterations, salt: salt, hash: hash)
    }

    private static func sha512(_ fields: [ArraySlice<UInt8>]) throws(PasswordHashError) -> Scheme {
        guard fields.count == 3, let salt = Base64.decode(fields[1]), let hash = Base64.decode(fields[2]),
            !salt.isEmpty, hash.count == Int(CCRYPT_SHA512_BYTES)
        else { throw .malformed }
        return .sha512(salt: salt, hash: hash)
    }

    /// The digits of crypt(5), in their order.
    private static let cryptDigits = Array("./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".utf8)

    private static func cryptDigit(_ character: UInt8) -> Int? { cryptDigits.firstIndex(of: character) }

    // MARK: Making and verifying

    /// A yescrypt hash of the password under a fresh salt. Blocks for tens to hundreds of milliseconds.
    /// - Parameter cost: 1 (1 MiB) to 7 (64 MiB), as in crypt(5).
    package static func make(_ password: [UInt8], cost: Int = defaultCost) throws(PasswordError) -> PasswordHash {
        guard !password.isEmpty else { throw .empty }
        guard password.count <= maximumPasswordBytes else { throw .tooLong }
        guard !password.contains(0) else { throw .containsNUL }
        precondition((1...7).contains(cost))
        let made = text { setting in
            ccrypt_yescrypt_setting(UInt(cost), setting)
        }.flatMap { setting in text { ccrypt_hash(password, password.count, setting, $0) } }
        guard let made else { throw .unavailable }
        return PasswordHash(scheme: .yescrypt, text: made)
    }

    /// Whether this is the password's hash. The time depends on the format, the cost and the password's length, not
    /// on how much is right. Blocks for up to a second at the highest cost.
    package func verify(_ password: [UInt8]) -> Bool {
        // No program makes a hash of a NUL; and HMAC, which pads its key with zeros, cannot tell it from none.
        guard password.count <= Self.maximumPasswordBytes, !password.contains(0) else { return false }
        switch scheme {
        case .yescrypt: return ccrypt_equals(password, password.count, text)
        case .pbkdf2(let iterations, let salt, let hash):
            return ccrypt_pbkdf2_sha512_equals(password, password.count, salt, salt.count, iterations, hash)
        case .sha512(let salt, let hash): return ccrypt_sha512_equals(password, password.count, salt, salt.count, hash)
        }
    }

    /// The C string that `body` writes; `nil` when it says that it could not.
    private static func text(_ body: (UnsafeMutablePointer<CChar>) -> Bool) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(CCRYPT_TEXT_BYTES)) { buffer in
            buffer.initialize(repeating: 0)
            guard let base = buffer.baseAddress, body(base) else { return nil }
            return String(cString: base)
        }
    }
}
