/// Who a reading comes from: a sensor's `id` from the settings, or the MQTT client identifier of a LAN device.
///
/// Client identifiers are chosen by devices: up to 65,535 bytes of any UTF-8 without NUL. Nothing may build a path
/// or a statement from one.
package struct DeviceID: Hashable, Sendable, CustomStringConvertible {
    package var name: String

    package init(_ name: String) { self.name = name }

    package var description: String { name }
}
