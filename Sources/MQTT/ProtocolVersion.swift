/// The protocol level a client asked for in CONNECT [MQTT-3.1.2-2].
package enum ProtocolVersion: UInt8, Hashable, Sendable, CaseIterable {
    case v3_1_1 = 4
    case v5_0 = 5
}
