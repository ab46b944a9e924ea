/// Registers in every type and order that they could hold: for a manual that does not say, or is wrong.
package enum RegisterPreview {
    /// One line a register and type, those with the same start together. Floats that no meter would show are left out.
    package static func text(_ blocks: [RegisterBlock]) -> String {
        blocks.map(text).joined(separator: "\n")
    }

    private static func text(_ block: RegisterBlock) -> String {
        guard let table = ModbusTable(rawValue: block.table) else { return "" }
        var lines: [String] = []
        for (index, value) in block.values.enumerated() {
            let address = block.address + index
            if table.isBits {
                lines.append("\(block.table) \(address): \(value == 0 ? "false" : "true")")
                continue
            }
            var line = "\(block.table) \(address): 0x\(Hexadecimal.text(value))"
            line += "  u16 \(value)  s16 \(Int16(bitPattern: value))"
            if let text = ascii([value]) { line += "  \"\(text)\"" }
            lines.append(line)
            lines += wide(Array(block.values[index...].prefix(4)))
        }
        return lines.joined(separator: "\n")
    }

    private static func wide(_ registers: [UInt16]) -> [String] {
        var lines: [String] = []
        for order in ByteOrder.allCases where registers.count >= 2 {
            let bits = number(order.bytes(of: registers[..<2]))
            var line = "    \(order.rawValue)  u32 \(bits)"
            if bits > UInt64(Int32.max) { line += "  s32 \(Int32(truncatingIfNeeded: bits))" }
            let float = Float(bitPattern: UInt32(truncatingIfNeeded: bits))
            if isPlausible(Double(float)) { line += "  f32 \(float)" }
            if registers.count == 4 {
                let bits = number(order.bytes(of: registers[...]))
                if bits >> 32 != 0, bits < 1 << 53 { line += "  u64 \(bits)" }
                let double = Double(bitPattern: bits)
                if isPlausible(double) { line += "  f64 \(double)" }
            }
            lines.append(line)
        }
        return lines
    }

    private static func number(_ bytes: [UInt8]) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    private static func isPlausible(_ number: Double) -> Bool {
        number == 0 || number.isFinite && (1e-6...1e9).contains(abs(number))
    }

    private static func ascii(_ registers: [UInt16]) -> String? {
        let bytes = registers.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
        return bytes.allSatisfy { (0x21...0x7E).contains($0) } ? String(decoding: bytes, as: UTF8.self) : nil
    }
}
