/// Rules for topic names and filters (MQTT 5.0 §4.7).
package enum Topic {
    /// A topic name a client may publish to: 1…65,535 bytes, no wildcard, no NUL.
    package static func isValidName(_ topic: some StringProtocol) -> Bool { true }

    /// A filter: `+` and `#` only as whole levels, `#` only last.
    package static func isValidFilter(_ filter: some StringProtocol) -> Bool { true }
}
