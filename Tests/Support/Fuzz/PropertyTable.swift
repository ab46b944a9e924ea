/// Table 2-4 of MQTT 5.0 once more, for tests: which property stands where, and what its value may be.
package enum PropertyTable {
    package enum Holder: Sendable, CaseIterable {
        case connect, will, connack, publish, acknowledgement, subscribe, suback, unsubscribe, disconnect, auth
    }

    package enum Value: Sendable {
        /// 0 or 1.
        case flag
        case two, twoNotZero, four, fourNotZero, variableNotZero, text, topicName, data, pair
    }

    package struct Row: Sendable {
        package var identifier: UInt8
        package var value: Value
        package var holders: [Holder]
    }

    package static let rows: [Row] = [
        Row(identifier: 0x01, value: .flag, holders: [.publish, .will]),
        Row(identifier: 0x02, value: .four, holders: [.publish, .will]),
        Row(identifier: 0x03, value: .text, holders: [.publish, .will]),
        Row(identifier: 0x08, value: .topicName, holders: [.publish, .will]),
        Row(identifier: 0x09, value: .data, holders: [.publish, .will]),
        Row(identifier: 0x0B, value: .variableNotZero, holders: [.publish, .subscribe]),
        Row(identifier: 0x11, value: .four, holders: [.connect, .connack, .disconnect]),
        Row(identifier: 0x12, value: .text, holders: [.connack]),
        Row(identifier: 0x13, value: .two, holders: [.connack]),
        Row(identifier: 0x15, value: .text, holders: [.connect, .connack, .auth]),
        Row(identifier: 0x16, value: .data, holders: [.connect, .connack, .auth]),
        Row(identifier: 0x17, value: .flag, holders: [.connect]),
        Row(identifier: 0x18, value: .four, holders: [.will]),
        Row(identifier: 0x19, value: .flag, holders: [.connect]),
        Row(identifier: 0x1A, value: .text, holders: [.connack]),
        Row(identifier: 0x1C, value: .text, holders: [.connack, .disconnect]),
        Row(identifier: 0x1F, value: .text, holders: [.connack, .acknowledgement, .suback, .disconnect, .auth]),
        Row(identifier: 0x21, value: .twoNotZero, holders: [.connect, .connack]),
        Row(identifier: 0x22, value: .two, holders: [.connect, .connack]),
        Row(identifier: 0x23, value: .twoNotZero, holders: [.publish]),
        Row(identifier: 0x24, value: .flag, holders: [.connack]),
        Row(identifier: 0x25, value: .flag, holders: [.connack]),
        Row(identifier: 0x26, value: .pair, holders: Holder.allCases),
        Row(identifier: 0x27, value: .fourNotZero, holders: [.connect, .connack]),
        Row(identifier: 0x28, value: .flag, holders: [.connack]),
        Row(identifier: 0x29, value: .flag, holders: [.connack]),
        Row(identifier: 0x2A, value: .flag, holders: [.connack]),
    ]

    package static func row(_ identifier: UInt8) -> Row? { rows.first { $0.identifier == identifier } }

    /// Whether it may stand there more than once; for PUBLISH, from a server.
    package static func mayRepeat(_ identifier: UInt8, in holder: Holder) -> Bool {
        identifier == 0x26 || identifier == 0x0B && holder == .publish
    }
}
