/// Why a text is no password hash that can be verified. Says nothing of the text.
package enum PasswordHashError: Error, Hashable, Sendable, CustomStringConvertible {
    /// It does not begin with `$`: a plain password, most likely.
    case notAHash
    /// A format that the gateway does not know.
    case unknownFormat
    /// The fields are not what the format says.
    case malformed
    /// Verifying it would take more time or memory than a login may cost.
    case tooCostly
    /// Longer than any hash is.
    case tooLong

    package var description: String {
        switch self {
        case .notAHash: "it is not a hash; `mosquitto_passwd -U FILE` hashes the plain passwords of a file"
        case .unknownFormat: "its format is none of $y$ (yescrypt), $7$ and $6$ (mosquitto_passwd)"
        case .malformed: "it is incomplete or damaged"
        case .tooCostly:
            "it asks for more than \(PasswordHash.maximumIterations) iterations or "
                + "\(PasswordHash.maximumMemory >> 20) MiB"
        case .tooLong: "it is longer than \(PasswordHash.maximumTextBytes) bytes"
        }
    }
}
