internal import CMosquitto

/// A list of MQTT 5.0 properties as libmosquitto takes it; freed with its owner unless it is taken.
struct PropertyList: ~Copyable {
    private var list: OpaquePointer?
    /// What the library said first, should it not take one.
    private var result = MOSQ_ERR_SUCCESS.intValue

    init() {}

    deinit {
        var list = list
        mosquitto_property_free_all(&list)
    }

    mutating func add(_ kind: mqtt5_property, _ value: UInt8) {
        note(mosquitto_property_add_byte(&list, Int32(kind.rawValue), value))
    }

    mutating func add(_ kind: mqtt5_property, _ value: UInt32) {
        note(mosquitto_property_add_int32(&list, Int32(kind.rawValue), value))
    }

    mutating func add(variable value: UInt32, _ kind: mqtt5_property) {
        note(mosquitto_property_add_varint(&list, Int32(kind.rawValue), value))
    }

    mutating func add(_ kind: mqtt5_property, _ value: String) {
        note(mosquitto_property_add_string(&list, Int32(kind.rawValue), value))
    }

    mutating func add(_ kind: mqtt5_property, _ value: [UInt8]) {
        note(
            value.withUnsafeBytes {
                mosquitto_property_add_binary(
                    &list, Int32(kind.rawValue), $0.baseAddress, UInt16(clamping: $0.count))
            })
    }

    /// A user property.
    mutating func add(_ name: String, _ value: String) {
        note(mosquitto_property_add_string_pair(&list, Int32(MQTT_PROP_USER_PROPERTY.rawValue), name, value))
    }

    private mutating func note(_ result: Int32) {
        if self.result == MOSQ_ERR_SUCCESS.intValue { self.result = result }
    }

    /// The list, which is the caller's to free then.
    mutating func take() throws(LinkFault) -> OpaquePointer? {
        try check()
        defer { list = nil }
        return list
    }

    /// Calls `body` with the list.
    func with<R>(_ body: (OpaquePointer?) throws(LinkFault) -> R) throws(LinkFault) -> R {
        try check()
        return try body(list)
    }

    private func check() throws(LinkFault) {
        guard result != MOSQ_ERR_SUCCESS.intValue else { return }
        throw .library(doing: "set the properties of a packet", reason: String(cString: mosquitto_strerror(result)))
    }
}
