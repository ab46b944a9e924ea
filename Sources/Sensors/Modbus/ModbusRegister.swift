package import Readings

/// One value of a Modbus device: where it is, how it is coded, what it means.
///
/// Written in one line of settings, as the meter's manual has it in one row of a table:
///
///     voltage input 0 f32 V
///     temperature holding 40 s16 *0.1 Cel
///     setpoint holding 41 s16 *0.1 Cel write 5..30
///     counter holding 100 u32:CDAB
///     alarm discrete 3
package struct ModbusRegister: Hashable, Sendable {
    /// The metric; `value` stands for the device's only or main one.
    package var name: String
    package var table: ModbusTable
    /// Of the first register or bit, as on the wire: from 0.
    package var address: Int
    package var type: RegisterType
    package var order: ByteOrder
    package var scale: Double
    package var offset: Double
    package var unit: Unit?
    /// What may be written, after scaling; `nil`: nothing.
    package var writable: ClosedRange<Double>?

    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        package var description: String
    }

    /// The metric as readings carry it.
    package var metric: String? { name == "value" ? nil : name }

    /// Parses one line of settings.
    /// - Parameters:
    ///   - isOneBased: addresses are written as in tables that count from 1.
    ///   - order: unless the type says another, as in `f32:CDAB`.
    package init(parsing text: String, isOneBased: Bool = false, order: ByteOrder = .abcd) throws(Failure) {
        func failure(_ reason: String) -> Failure { Failure(description: "\"\(text)\": \(reason)") }
        var words = text.split(whereSeparator: \.isWhitespace)[...]
        guard let name = words.popFirst(), !name.contains(where: { "+#/$".contains($0) }), name.utf8.count <= 64 else {
            throw failure("expected a name without + # / and $ first, as in \"voltage input 0 f32 V\"")
        }
        guard let tableName = words.popFirst(), let table = ModbusTable(rawValue: String(tableName)) else {
            throw failure("expected coil, discrete, input or holding behind the name")
        }
        guard let addressText = words.popFirst(), let written = Self.integer(addressText) else {
            throw failure("expected an address behind \"\(tableName)\", such as 40 or 0x28")
        }
        let address = isOneBased ? written - 1 : written
        let last = isOneBased ? 65_536 : 65_535
        guard (0...65_535).contains(address) else {
            throw failure("the address must be from \(isOneBased ? 1 : 0) to \(last)")
        }
        self.name = String(name)
        self.table = table
        self.address = address
        self.order = order
        type = table.isBits ? .bool : .u16
        scale = 1
        offset = 0
        if let word = words.first, let parsed = try Self.type(word, order: order, failure: failure) {
            (type, self.order) = parsed
            words.removeFirst()
        }
        guard table.isBits == (type == .bool) else {
            throw failure(
                table.isBits
                    ? "a \(table.rawValue) is a bool" : "a register is no bool: name one of its bits, as in bit:0")
        }
        guard address + type.count <= 65_536 else { throw failure("it does not fit behind the last register") }
        try parse(words, failure: failure)
    }

    /// What stands behind the type: scale, offset, unit, `write`.
    private mutating func parse(_ rest: ArraySlice<Substring>, failure: (String) -> Failure) throws(Failure) {
        var words = rest
        while let word = words.popFirst() {
            if word == "write" {
                guard table.isWritable else { throw failure("a table of type \(table.rawValue) cannot be written") }
                if case .string = type { throw failure("text cannot be written") }
                if case .bit = type {
                    throw failure("a bit of a register cannot be written: others would change with it")
                }
                writable = -Double.greatestFiniteMagnitude...Double.greatestFiniteMagnitude
                if let range = words.first, let bounds = Self.range(range) {
                    writable = bounds
                    words.removeFirst()
                }
            } else if word.first == "*", let number = Self.number(word.dropFirst()), number != 0 {
                scale = number
            } else if word.first == "+" || word.first == "-", let number = Self.number(word) {
                offset = number
            } else if unit == nil, word.utf8.count <= 32, !word.contains(".."), word.first != "*", word.first != "+" {
                unit = Unit(String(word))
            } else {
                throw failure("\"\(word)\" is no scale (*0.1), offset (+5), unit or write 5..30")
            }
        }
        if type == .bool, scale != 1 || offset != 0 { throw failure("a bool cannot be scaled") }
    }

    private static func type(
        _ word: Substring, order: ByteOrder, failure: (String) -> Failure
    ) throws(Failure) -> (RegisterType, ByteOrder)? {
        if let type = RegisterType(word) { return (type, order) }
        guard let colon = word.lastIndex(of: ":") else {
            // Looks like a type, so it is not taken for a unit.
            let isNearlyOne =
                word.count <= 4 && "usfb".contains(word.first ?? " ") && word.dropFirst().allSatisfy(\.isNumber)
            if isNearlyOne, word.count > 1 {
                throw failure("\"\(word)\" is none of u16 s16 u32 s32 u64 s64 f32 f64 bit:N bcd:N string:N")
            }
            return nil
        }
        guard let type = RegisterType(word[..<colon]),
            let order = ByteOrder(rawValue: String(word[word.index(after: colon)...]))
        else {
            throw failure(
                "\"\(word)\" is none of u16 s16 u32 s32 u64 s64 f32 f64 bit:N bcd:N string:N, with :ABCD :DCBA :BADC or :CDAB"
            )
        }
        return (type, order)
    }

    private static func integer(_ text: Substring) -> Int? {
        text.hasPrefix("0x") ? Int(text.dropFirst(2), radix: 16) : Int(text)
    }

    private static func number(_ text: Substring) -> Double? {
        guard let number = Double(text), number.isFinite else { return nil }
        return number
    }

    /// "5..30".
    private static func range(_ text: Substring) -> ClosedRange<Double>? {
        guard let dots = text.range(of: "..") else { return nil }
        guard let lower = number(text[..<dots.lowerBound]), let upper = number(text[dots.upperBound...]), lower <= upper
        else { return nil }
        return lower...upper
    }
}

extension Substring {
    /// Where `text` first stands.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
