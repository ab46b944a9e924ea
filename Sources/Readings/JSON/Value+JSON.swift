extension Value {
    /// A JSON number, boolean or string; `nil` for null, arrays and objects. Integers of Int64 stay exact.
    package init?(_ json: JSONValue) {
        switch json.kind {
        case .integer:
            guard let integer = json.integer else { return nil }
            self = .integer(integer)
        case .number:
            guard let number = json.double else { return nil }
            self = .number(number)
        case .boolean:
            guard let boolean = json.boolean else { return nil }
            self = .boolean(boolean)
        case .string:
            guard let text = json.string else { return nil }
            self = .text(text)
        case .null, .array, .object: return nil
        }
    }
}
