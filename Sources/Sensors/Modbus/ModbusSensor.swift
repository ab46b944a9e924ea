import Readings
package import Settings

/// A device on a Modbus RTU line: meters, inverters, controllers. Several may share a port, each in a section of its own.
package struct ModbusSensor: SensorDriver {
    package static let name = "modbus"
    package static let summary =
        "a Modbus RTU device on a serial line; several may share one port, each in a section of its own."
    package static let takesCommands = true
    package static let keys: [Key] =
        SerialSettings.keys(baud: 9_600, parity: "none", dataBits: false) + [
            .integer("slave", in: 1...247, required: true, example: "1", "The device's address on the line."),
            .strings(
                "registers", required: true,
                example: "[\"voltage input 0 f32 V\", \"setpoint holding 40 s16 *0.1 Cel write 5..30\"]",
                "Its values: name, table (coil, discrete, input, holding), address, type (bool, u16, s16, u32, s32, u64, s64, f32, f64, bit:N, bcd:N, string:N), then *scale, +offset, unit, and write with the range that may be written. \"value\" names the only one."
            ),
            .boolean(
                "one_based", default: false,
                "true: addresses are counted from 1, as in the tables of many manuals. On the wire they count from 0."),
            .choice(
                "byte_order", ByteOrder.allCases.map(\.rawValue), default: "ABCD",
                "How numbers of several registers are laid out; a type may say its own, as in f32:CDAB."),
            .duration(
                "interval", in: .milliseconds(10)...(.seconds(86_400)), default: "10s", "Time between two rounds."),
            .duration(
                "timeout", in: .milliseconds(10)...(.seconds(30)), default: "500ms", "How long to wait for an answer."),
            .integer("retries", in: 0...10, default: 2, "Further tries before the device counts as dead."),
            .duration(
                "max_backoff", in: .seconds(1)...(.seconds(86_400)), default: "60s",
                "A dead device is asked once in a period, which doubles up to this."),
            .duration(
                "gap", in: .zero...(.seconds(1)), default: "0ms",
                "Silence before each request; never less than the standard's 3.5 characters. The longest of a port holds."
            ),
            .integer("max_registers", in: 1...125, default: 125, "Registers that the device answers in one request."),
            .integer(
                "max_gap", in: 0...100, default: 0,
                "Unused registers between two values that may be read along with them, to save requests."),
        ]

    let serial: SerialSettings
    let slave: Int
    let registers: [ModbusRegister]
    let pace: Duration
    let timeout: Duration
    let retries: Int
    let longestBackoff: Duration
    let gap: Duration
    let plan: ModbusReadPlan

    package init?(_ reader: TableReader) {
        guard let serial = SerialSettings(reader, dataBits: false), let slave = reader.integer("slave"),
            let lines = reader.strings("registers"), let isOneBased = reader.boolean("one_based"),
            let order = reader.choice("byte_order").flatMap(ByteOrder.init(rawValue:)),
            let interval = reader.duration("interval"), let timeout = reader.duration("timeout"),
            let retries = reader.integer("retries"), let backoff = reader.duration("max_backoff"),
            let gap = reader.duration("gap"), let limit = reader.integer("max_registers"),
            let between = reader.integer("max_gap")
        else { return nil }
        var registers: [ModbusRegister] = []
        var isUsable = !lines.isEmpty
        if lines.isEmpty { reader.error("registers: expected at least one value", at: "registers") }
        for line in lines {
            do throws(ModbusRegister.Failure) {
                let register = try ModbusRegister(parsing: line, isOneBased: isOneBased, order: order)
                if registers.contains(where: { $0.name == register.name }) {
                    reader.error("registers: there are two values called \"\(register.name)\"", at: "registers")
                    isUsable = false
                }
                if register.type.count > limit {
                    reader.error("registers: \"\(register.name)\" needs more than max_registers", at: "registers")
                    isUsable = false
                }
                registers.append(register)
            } catch {
                reader.error("registers: \(error)", at: "registers")
                isUsable = false
            }
        }
        if registers.count > 1, registers.contains(where: { $0.metric == nil }) {
            reader.error("registers: \"value\" names the only one; give each of several a name", at: "registers")
            isUsable = false
        }
        guard isUsable else { return nil }
        self.serial = serial
        self.slave = Int(slave)
        self.registers = registers
        pace = interval
        self.timeout = timeout
        self.retries = Int(retries)
        longestBackoff = backoff
        self.gap = gap
        plan = ModbusReadPlan(registers, limit: Int(limit), gap: Int(between))
    }

    package var interval: Duration? { pace }
    package func deviceFiles() -> [String] { serial.identity.files }

    package var claim: SensorClaim? {
        SensorClaim(resource: "the port \(serial.identity)", sharing: "Modbus, \(serial.format.description)")
    }

    package var commands: [String?] { registers.filter { $0.writable != nil }.map(\.metric) }

    package func run(_ context: SensorContext) async throws(SensorError) {
        let bus = try takeBus(context)
        defer { context.shared.release(busName) }
        let notices = bus.attend(
            ModbusSchedule.Device(
                id: context.id, slave: slave, plan: plan, interval: pace, timeout: timeout, retries: retries,
                longestBackoff: longestBackoff, gap: gap))
        var failure: SensorError?
        await withTaskGroup(of: SensorError?.self) { tasks in
            tasks.addTask {
                for await notice in notices {
                    if let error = take(notice, context) { return error }
                }
                return nil
            }
            if !commands.isEmpty {
                tasks.addTask {
                    while case .command = await context.wait() { write(context.commands.take(), to: bus, context) }
                    return nil
                }
            }
            failure = await tasks.next() ?? nil
            tasks.cancelAll()
        }
        await bus.leave(context.id)
        if let failure { throw failure }
    }

    private var busName: String { "modbus \(serial.identity)" }

    /// The line, shared by all devices on it. Its speed is that of the first of them; another's is a mistake.
    private func takeBus(_ context: SensorContext) throws(SensorError) -> ModbusBus {
        let bus = try context.shared.take(busName) { () throws(SensorError) in
            try ModbusBus(serial, context: context)
        }
        guard bus.settings == serial else {
            context.shared.release(busName)
            throw SensorError(
                doing: "share the port \(serial.identity)",
                reason: "another device on it is set to \(bus.settings.format.description), this one to "
                    + serial.format.description,
                remedy: "give all devices on one port the same speed and format")
        }
        return bus
    }

    private func take(_ notice: ModbusBus.Notice, _ context: SensorContext) -> SensorError? {
        switch notice {
        case .lost(let error): return error
        case .event(let event, let statistics):
            take(event, context)
            report(statistics, context)
            return nil
        }
    }

    private func take(_ event: ModbusSchedule.Event, _ context: SensorContext) {
        switch event {
        case .round(_, let results):
            var samples: [Sample] = []
            var blocks: [RegisterBlock] = []
            for (request, result) in results {
                for index in request.values {
                    let register = registers[index]
                    switch result {
                    case .success(let values):
                        let start = register.address - request.address
                        samples.append(register.decode(values[start..<(start + register.type.count)]))
                    case .failure(let failure):
                        samples.append(
                            Sample(metric: register.metric, value: .missing, quality: .bad, reason: "\(failure)"))
                    }
                }
                if case .success(let values) = result {
                    blocks.append(
                        RegisterBlock(table: request.table.rawValue, address: request.address, values: values))
                }
            }
            context.isOpen()
            context.emit(.samples(samples), raw: .registers(blocks))
        case .dead(_, let failure, _):
            context.failing(
                SensorError(
                    doing: "read device \(slave) on \(serial.identity)", reason: "\(failure)",
                    remedy: "check its power, wiring (A and B), address, and that it is set to "
                        + "\(serial.format.description); see who answers with: tidegate sensor scan --port \(serial.identity) --modbus"
                ))
        case .written(_, let index, let values):
            let sample = registers[index].decode(values[...])
            context.emit(.samples([sample]))
            context.commands.finish()
        case .writeFailed(_, let index, let failure):
            let register = registers[index]
            context.refuse(
                SensorCommand(metric: register.metric, payload: []), "\(register.name) was not written: \(failure)")
            context.commands.finish()
        }
    }

    private func report(_ statistics: ModbusSchedule.Statistics, _ context: SensorContext) {
        context.count("requests", statistics.requests)
        context.count("timeouts", statistics.timeouts)
        context.count("damaged answers", statistics.damaged)
        context.count("exceptions", statistics.exceptions)
        context.count("retries", statistics.retries)
        if statistics.strays > 0 { context.count("answers of others", statistics.strays) }
        if statistics.writes > 0 { context.count("writes", statistics.writes) }
    }

    private func write(_ commands: [SensorCommand], to bus: ModbusBus, _ context: SensorContext) {
        for command in commands {
            guard let refusal = write(command, to: bus, context) else { continue }
            context.refuse(command, refusal)
            context.commands.finish()
        }
    }

    /// - Returns: why the command cannot be carried out; `nil`: the line has it.
    private func write(_ command: SensorCommand, to bus: ModbusBus, _ context: SensorContext) -> String? {
        guard let index = registers.firstIndex(where: { $0.metric == command.metric && $0.writable != nil }) else {
            return "there is no such value"
        }
        guard let text = command.text else { return "expected text, such as 21.5 or on" }
        do throws(ModbusRegister.Refusal) {
            let values = try registers[index].encode(command: text)
            let register = registers[index]
            let isWritten = bus.write(
                context.id, number: index, table: register.table, address: register.address, values: values)
            return isWritten ? nil : "too many writes wait for the line"
        } catch {
            return "\(error)"
        }
    }
}
