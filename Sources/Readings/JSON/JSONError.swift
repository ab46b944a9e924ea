/// Why a text is not read as JSON, and at which byte.
package struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Reason: Hashable, Sendable {
        /// The text is longer than the given number of bytes.
        case tooLong(limit: Int)
        /// Arrays and objects stand inside each other in more than the given number of levels.
        case tooDeep(limit: Int)
        /// The text holds more than the given number of values.
        case tooManyValues(limit: Int)
        case empty
        /// The text ends before its value does; what it ends in, as in "an object".
        case endsInside(String)
        case textAfterValue
        case noValue
        case noMemberName
        case noColon
        case noCommaOrEnd(of: String)
        case commaBeforeEnd(of: String)
        case leadingZero
        case noDigit(after: String)
        case numberTooLarge
        case controlCharacter(UInt8)
        case unknownEscape
        case noHexadecimalDigit
        case loneSurrogate
        case notUTF8
    }

    /// Bytes before the place where the mistake was seen.
    package let offset: Int
    package let reason: Reason

    package init(offset: Int, reason: Reason) {
        self.offset = offset
        self.reason = reason
    }

    /// As in "a comma or the end of an object is missing, at byte 17".
    package var description: String { "\(reason), at byte \(offset)" }
}

extension JSONError.Reason: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tooLong(let limit): "the text has more than \(limit) bytes"
        case .tooDeep(let limit): "arrays and objects are nested more than \(limit) deep"
        case .tooManyValues(let limit): "the text has more than \(limit) values"
        case .empty: "there is no text"
        case .endsInside(let part): "the text ends inside \(part)"
        case .textAfterValue: "there is more text after the value"
        case .noValue: "a value is missing"
        case .noMemberName: "the name of a member, in double quotes, is missing"
        case .noColon: "the colon behind the name of a member is missing"
        case .noCommaOrEnd(let container): "a comma or the end of \(container) is missing"
        case .commaBeforeEnd(let container): "a comma stands before the end of \(container)"
        case .leadingZero: "a number begins with 0 and another digit"
        case .noDigit(let place): "a digit is missing after \(place) of a number"
        case .numberTooLarge: "a number is too large"
        case .controlCharacter(let byte): "the control character \(byte) stands in a string without an escape"
        case .unknownEscape: "a backslash in a string is followed by none of \"\\/bfnrtu"
        case .noHexadecimalDigit: "\\u in a string is not followed by four hexadecimal digits"
        case .loneSurrogate: "\\u in a string names one half of a surrogate pair without the other"
        case .notUTF8: "a string is not UTF-8"
        }
    }
}
