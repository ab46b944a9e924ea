package import Readings

/// Registers to values, and values that are written to registers.
extension ModbusRegister {
    /// The value in `registers`, of which there are as many as its type takes; bits are 0 and 1.
    package func decode(_ registers: ArraySlice<UInt16>) -> Sample {
        let coded = CodedValue(metric: metric, coding: type.coding, scale: scale, offset: offset, unit: unit)
        guard registers.count == type.count else {
            return coded.bad("the device sent \(registers.count) registers instead of \(type.count)")
        }
        // A bit of a table of bits has no bytes to be in order.
        return coded.sample(of: type == .bool ? [registers.first == 0 ? 0 : 1] : order.bytes(of: registers))
    }

    /// Why a value cannot be written.
    package struct Refusal: Error, Hashable, Sendable, CustomStringConvertible {
        package var description: String
    }

    /// The registers, or the bit, to write for what a command says: a number in the value's own unit, or `on` and `off`
    /// for a coil.
    package func encode(command text: String) throws(Refusal) -> [UInt16] {
        guard let writable else { throw Refusal(description: "\(name) is not written to") }
        if type == .bool {
            switch text.lowercased() {
            case "on", "true", "1": return [1]
            case "off", "false", "0": return [0]
            default: throw Refusal(description: "expected on or off for \(name)")
            }
        }
        guard let number = Double(text), number.isFinite else {
            throw Refusal(description: "expected a number for \(name)")
        }
        guard writable.contains(number) else {
            throw Refusal(
                description: "\(name) may be from \(writable.lowerBound) to \(writable.upperBound), not \(text)")
        }
        let raw = (number - offset) / scale
        let bytes: [UInt8]?
        switch type {
        case .f32:
            let float = Float(raw)
            bytes = float.isFinite ? Self.bytes(UInt64(float.bitPattern), count: 4) : nil
        case .f64: bytes = Self.bytes(raw.bitPattern, count: 8)
        default: bytes = integerBytes(raw.rounded())
        }
        guard let bytes else { throw Refusal(description: "\(text) does not fit into the registers of \(name)") }
        return order.registers(of: bytes)
    }

    private func integerBytes(_ number: Double) -> [UInt8]? {
        switch type {
        case .u16: return UInt16(exactly: number).map { Self.bytes(UInt64($0), count: 2) }
        case .s16: return Int16(exactly: number).map { Self.bytes(UInt64(UInt16(bitPattern: $0)), count: 2) }
        case .u32: return UInt32(exactly: number).map { Self.bytes(UInt64($0), count: 4) }
        case .s32: return Int32(exactly: number).map { Self.bytes(UInt64(UInt32(bitPattern: $0)), count: 4) }
        case .u64: return UInt64(exactly: number).map { Self.bytes($0, count: 8) }
        case .s64: return Int64(exactly: number).map { Self.bytes(UInt64(bitPattern: $0), count: 8) }
        case .bcd(let registers):
            guard var rest = UInt64(exactly: number) else { return nil }
            var bytes: [UInt8] = []
            for _ in 0..<(registers * 2) {
                bytes.append(UInt8(rest / 10 % 10) << 4 | UInt8(rest % 10))
                rest /= 100
            }
            return rest == 0 ? bytes.reversed() : nil
        case .bool, .bit, .f32, .f64, .string: return nil
        }
    }

    /// The lowest `count` bytes, the highest of them first.
    private static func bytes(_ value: UInt64, count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
    }
}

extension RegisterType {
    fileprivate var coding: CodedValue.Coding {
        switch self {
        case .bool: .bit(0)
        case .bit(let bit): .bit(bit)
        case .u16, .u32, .u64: .unsigned
        case .s16, .s32, .s64: .signed
        case .f32, .f64: .float
        case .bcd: .bcd
        case .string: .text
        }
    }
}
