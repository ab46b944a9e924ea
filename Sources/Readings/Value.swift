/// What a sensor measured or a device said, once decoded.
package enum Value: Hashable, Sendable {
    /// A measured quantity. Never NaN or infinite: drivers and decoders report those as a failed decode.
    case number(Double)
    /// A count or a raw register.
    case integer(Int64)
    /// A contact, a relay, a yes or no.
    case boolean(Bool)
    /// Anything that is not a number: a state's name, a tag.
    case text(String)
    /// There is none: the source answered that it has no value, or what it sent is damaged. Never of good quality.
    case missing

    /// The value as a number, for arithmetic; `nil` for booleans and text.
    package var asDouble: Double? {
        switch self {
        case .number(let value): value
        case .integer(let value): Double(value)
        case .boolean, .text, .missing: nil
        }
    }
}
