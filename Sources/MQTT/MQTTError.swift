/// Why a packet or a peer's behaviour ends a connection, in the standard's terms.
package struct MQTTError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What a 5.0 peer is told in CONNACK or DISCONNECT.
    package var reason: ReasonCode
    /// What was wrong, naming packet and field: "PUBLISH topic name holds a wildcard [MQTT-3.3.2-2]".
    package var detail: String

    package init(_ reason: ReasonCode, _ detail: String) {
        self.reason = reason
        self.detail = detail
    }

    package var description: String { detail }
}
