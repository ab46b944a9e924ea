import CModbus
import Glibc
import Linux
import Readings

/// A serial line with libmodbus on it. Its calls block for as long as a timeout, so they are made on a thread of their
/// own.
///
/// Unchecked: used by one thread at a time, which the bus sees to.
final class ModbusPort: @unchecked Sendable {
    private let port: SerialPort
    private let context: OpaquePointer
    private let frameGap: Duration

    /// Opens the port. libmodbus is given the open descriptor instead of a path: identity, lock and any speed are the
    /// port's own.
    init(_ settings: SerialSettings) throws(SensorError) {
        port = try SerialPort(settings)
        frameGap = settings.format.modbusFrameGap
        // It waits with select(2), which has no place for higher descriptors.
        guard port.descriptor < 1_024 else {
            throw SensorError(
                doing: "use \(port.path) for Modbus", reason: "too many files and connections are open",
                remedy: "lower max_connections in [lan]")
        }
        guard let context = modbus_new_rtu(port.path, 9_600, CChar(UInt8(ascii: "N")), 8, 1) else {
            throw SensorError(doing: "use \(port.path) for Modbus", code: errno)
        }
        self.context = context
        modbus_set_socket(context, port.descriptor)
        // Between two characters of one answer; USB adapters deliver in portions of up to 16 ms.
        modbus_set_byte_timeout(context, 0, UInt32(clamping: max(50_000, frameGap.wholeNanoseconds / 1_000)))
    }

    // Not modbus_close, which would set the line to a state that libmodbus never saw.
    deinit { modbus_free(context) }

    /// Asks, and waits for the answer. Registers, or bits as 0 and 1; a write answers with nothing.
    /// Throws when nothing can be done on the line any more.
    func perform(_ job: ModbusSchedule.Job) throws(SensorError) -> Result<[UInt16], ModbusFailure> {
        let timeout = max(1, job.timeout.wholeNanoseconds / 1_000)
        modbus_set_response_timeout(context, UInt32(clamping: timeout / 1_000_000), UInt32(timeout % 1_000_000))
        modbus_set_slave(context, Int32(job.slave))
        // A late answer to an earlier question.
        port.discardInput()
        errno = 0
        switch job.operation {
        case .read(let table, let address, let count):
            var registers = [UInt16](repeating: 0, count: max(count, 1))
            let received: Int32
            if table.isBits {
                var bits = [UInt8](repeating: 0, count: max(count, 1))
                received =
                    table == .coil
                    ? modbus_read_bits(context, Int32(address), Int32(count), &bits)
                    : modbus_read_input_bits(context, Int32(address), Int32(count), &bits)
                registers = bits.map { UInt16($0) }
            } else {
                received =
                    table == .holding
                    ? modbus_read_registers(context, Int32(address), Int32(count), &registers)
                    : modbus_read_input_registers(context, Int32(address), Int32(count), &registers)
            }
            return received == Int32(count) ? .success(registers) : .failure(try failure(code: errno))
        case .write(let table, let address, let values):
            let written: Int32
            if table == .coil {
                written = modbus_write_bit(context, Int32(address), values.first == 0 ? 0 : 1)
            } else if values.count == 1 {
                written = modbus_write_register(context, Int32(address), values[0])
            } else {
                written = modbus_write_registers(context, Int32(address), Int32(values.count), values)
            }
            return written > 0 ? .success([]) : .failure(try failure(code: errno))
        }
    }

    private func failure(code: Int32) throws(SensorError) -> ModbusFailure {
        let base = Int32(cmodbus_exception_base)
        switch code {
        case ETIMEDOUT: return .noAnswer
        case Int32(cmodbus_other_slave):
            settle()
            return .otherSlave
        case (base + 1)...Int32(cmodbus_exception_last): return .exception(Int(code - base))
        case base...:
            settle()
            return .damagedAnswer
        case EINTR, EAGAIN: return .noAnswer
        default:
            throw SensorError(
                doing: "use the Modbus line \(port.path)",
                reason: code == 0 || code == ECONNRESET ? "the line was hung up" : ErrnoText.text(code),
                remedy: "plug the adapter in again; it is opened as soon as it is there", isAbsent: true)
        }
    }

    /// Reads until the line is silent: the rest of a damaged frame must not become the beginning of the next answer.
    private func settle() {
        let silence = Int32(clamping: max(10, frameGap.milliseconds + 1))
        var rest = [UInt8](repeating: 0, count: 512)
        // A device that never stops talking is not waited for longer.
        for _ in 0..<20 {
            var entry = pollfd(fd: port.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, silence) > 0, entry.revents & Int16(POLLIN) != 0,
                read(port.descriptor, &rest, rest.count) > 0
            else { return }
        }
    }
}
