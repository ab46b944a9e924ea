/// The protocol level a client asked for in CONNECT [MQTT-3.1.2-2].
package enum ProtocolVersion: UInt8, Hashable, Sendable, CaseIterable {
    /// MQTT 3.1, whose CONNECT names the protocol `MQIsdp`; otherwise treated as 3.1.1.
    case v3_1 = 3
    case v3_1_1 = 4
    case v5_0 = 5

    /// The protocol name that CONNECT gives with it.
    var protocolName: String { self == .v3_1 ? "MQIsdp" : "MQTT" }
}
