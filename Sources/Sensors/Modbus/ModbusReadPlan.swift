/// Which requests bring all values of a device: adjacent registers in one, within what the device can.
package struct ModbusReadPlan: Hashable, Sendable {
    package struct Request: Hashable, Sendable {
        package var table: ModbusTable
        /// As on the wire.
        package var address: Int
        /// Registers or bits.
        package var count: Int
        /// Which of the device's values it brings, by their place in the settings.
        package var values: [Int]

        package init(table: ModbusTable, address: Int, count: Int, values: [Int]) {
            self.table = table
            self.address = address
            self.count = count
            self.values = values
        }
    }

    package private(set) var requests: [Request]
    private let registers: [ModbusRegister]

    /// - Parameters:
    ///   - limit: registers, or bits, that the device answers at once; the standard's own bounds hold in any case.
    ///   - gap: registers between two values that are read along with them. Many devices refuse a request that touches a
    ///     register they do not have: 0 unless it is known to be fine.
    package init(_ registers: [ModbusRegister], limit: Int = 125, gap: Int = 0) {
        var requests: [Request] = []
        for table in ModbusTable.allCases {
            let most = table.isBits ? (limit == 125 ? 2_000 : min(limit, 2_000)) : min(limit, 125)
            let sorted = registers.indices.filter { registers[$0].table == table }
                .sorted { registers[$0].address < registers[$1].address }
            for index in sorted {
                let register = registers[index]
                let end = register.address + register.type.count
                if var last = requests.last, last.table == table, register.address <= last.address + last.count + gap,
                    max(end, last.address + last.count) - last.address <= most
                {
                    last.count = max(last.count, end - last.address)
                    last.values.append(index)
                    requests[requests.count - 1] = last
                } else {
                    requests.append(
                        Request(table: table, address: register.address, count: register.type.count, values: [index]))
                }
            }
        }
        self.requests = requests
        self.registers = registers
    }

    /// The same with `request` in two halves: between its values, not through one.
    func splitting(_ request: Request) -> Self {
        guard let place = requests.firstIndex(of: request), request.values.count > 1 else { return self }
        let middle = request.values.count / 2
        let halves = [request.values[..<middle], request.values[middle...]].map { values in
            let start = values.map { registers[$0].address }.min() ?? request.address
            let end = values.map { registers[$0].address + registers[$0].type.count }.max() ?? start + 1
            return Request(table: request.table, address: start, count: end - start, values: Array(values))
        }
        var plan = self
        plan.requests.replaceSubrange(place...place, with: halves)
        return plan
    }
}
