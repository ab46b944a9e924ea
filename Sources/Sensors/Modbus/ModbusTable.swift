/// The four tables of a Modbus device (MODBUS Application Protocol V1.1b3 §4.3).
package enum ModbusTable: String, Hashable, Sendable, CaseIterable {
    /// Single bits that can be written.
    case coil
    /// Single bits that cannot.
    case discrete
    /// Registers of 16 bits that cannot be written.
    case input
    /// Registers of 16 bits that can.
    case holding

    /// Whether its elements are bits.
    package var isBits: Bool { self == .coil || self == .discrete }
    package var isWritable: Bool { self == .coil || self == .holding }

    /// The most that one request may ask for (§6.1 to §6.4).
    package var requestLimit: Int { isBits ? 2_000 : 125 }
}
