package import Readings

/// Registers to values, and values that are written to registers.
extension ModbusRegister {
    /// The value in `registers`, of which there are as many as its type takes; bits are 0 and 1.
    package func decode(_ registers: ArraySlice<UInt16>) -> Sample {
        guard registers.count == type.count, let first = registers.first else {
            return bad("the device sent \(registers.count) registers instead of \(type.count)")
        }
        let bytes = order.bytes(of: registers)
        let bits = bytes.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch type {
        case .bool: return Sample(metric: metric, value: .boolean(first != 0))
        case .bit(let bit): return Sample(metric: metric, value: .boolean(bits >> UInt64(bit) & 1 == 1))
        case .u16, .u32: return number(Int64(bits))
        case .s16: return number(Int64(Int16(truncatingIfNeeded: bits)))
        case .s32: return number(Int64(Int32(truncatingIfNeeded: bits)))
        case .s64: return number(Int64(bitPattern: bits))
        case .u64: return Int64(exactly: bits).map(number) ?? number(Double(bits))
        case .f32: return number(SignificantDigits.shortest(Float(bitPattern: UInt32(truncatingIfNeeded: bits))))
        case .f64: return number(Double(bitPattern: bits))
        case .bcd:
            var value: Int64 = 0
            for byte in bytes {
                guard byte >> 4 <= 9, byte & 15 <= 9 else { return bad("0x\(Self.hex(bytes)) is no BCD number") }
                value = value * 100 + Int64(byte >> 4) * 10 + Int64(byte & 15)
            }
            return number(value)
        case .string:
            let text = bytes.prefix { $0 != 0 }
            guard let valid = String(validating: text, as: UTF8.self) else {
                return bad("the text is not UTF-8: 0x\(Self.hex(bytes))")
            }
            var trimmed = valid[...]
            while trimmed.last == " " { trimmed.removeLast() }
            return Sample(metric: metric, value: .text(String(trimmed)))
        }
    }

    private func number(_ integer: Int64) -> Sample {
        guard scale == 1, offset == 0 else { return number(Double(integer)) }
        return Sample(metric: metric, value: .integer(integer), unit: unit)
    }

    private func number(_ number: Double) -> Sample {
        let value = SignificantDigits.round(number * scale + offset, to: 15)
        guard value.isFinite else { return bad("the device sent a value that is no number") }
        return Sample(metric: metric, value: .number(value), unit: unit)
    }

    private func bad(_ reason: String) -> Sample {
        Sample(metric: metric, value: .missing, quality: .bad, reason: reason)
    }

    private static func hex(_ bytes: [UInt8]) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
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
