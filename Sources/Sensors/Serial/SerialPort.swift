import CSerial
import Glibc
import Linux
import Readings

/// An open serial line, raw and non-blocking (termios(3)), for one owner. Closed when it goes.
package struct SerialPort: ~Copyable {
    package enum Parity: String, Hashable, Sendable {
        case none
        case even
        case odd
        case mark
        case space

        var letter: CChar {
            switch self {
            case .none: CChar(UInt8(ascii: "n"))
            case .even: CChar(UInt8(ascii: "e"))
            case .odd: CChar(UInt8(ascii: "o"))
            case .mark: CChar(UInt8(ascii: "m"))
            case .space: CChar(UInt8(ascii: "s"))
            }
        }
    }

    package enum Flow: String, Hashable, Sendable {
        case none
        case rtsCts = "rts-cts"
        case xonXoff = "xon-xoff"
    }

    /// The kernel switches an RS-485 driver's direction by RTS.
    package struct RS485: Hashable, Sendable {
        /// RTS is low while sending.
        package var isInverted = false
        package var before = Duration.zero
        package var after = Duration.zero
    }

    package struct Format: Hashable, Sendable {
        package var baud: Int
        package var dataBits = 8
        package var parity = Parity.none
        package var stopBits = 1
        package var flow = Flow.none
        package var rs485: RS485?

        package init(
            baud: Int, dataBits: Int = 8, parity: Parity = .none, stopBits: Int = 1, flow: Flow = .none,
            rs485: RS485? = nil
        ) {
            self.baud = baud
            self.dataBits = dataBits
            self.parity = parity
            self.stopBits = stopBits
            self.flow = flow
            self.rs485 = rs485
        }

        /// How long one character takes on the line, with its start, parity and stop bits.
        package var characterTime: Duration {
            let bits = 1 + dataBits + (parity == .none ? 0 : 1) + stopBits
            return .nanoseconds(Int64(bits) * 1_000_000_000 / Int64(max(baud, 1)))
        }

        /// "9600 8N1".
        package var description: String {
            "\(baud) \(dataBits)\(parity.rawValue.prefix(1).uppercased())\(stopBits)"
        }
    }

    /// What the driver counted since the port was last opened.
    package struct LineErrors: Hashable, Sendable {
        package var framing: UInt64
        package var parity: UInt64
        package var overrun: UInt64
        package var breaks: UInt64

        package init(framing: UInt64, parity: UInt64, overrun: UInt64, breaks: UInt64) {
            self.framing = framing
            self.parity = parity
            self.overrun = overrun
            self.breaks = breaks
        }
    }

    package let descriptor: Int32
    /// What was opened, for messages.
    package let path: String

    package init(_ settings: SerialSettings) throws(SensorError) {
        try self.init(path: try settings.identity.path(), format: settings.format)
    }

    package init(path: String, format: Format) throws(SensorError) {
        self.path = path
        let doing = "open the serial port \(path)"
        let busy = "another program has it; find it with: fuser -v \(path)"
        descriptor = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw SensorError(
                doing: doing, code: errno,
                remedies: [
                    ENOENT: "plug it in; see what is there with: tidegate sensor scan",
                    EACCES: DeviceAccess.remedy(for: path), EBUSY: busy,
                ])
        }
        // From here on deinit closes it.
        guard isatty(descriptor) == 1 else {
            throw SensorError(
                doing: doing, reason: "it is not a serial port", remedy: "name a tty, such as /dev/ttyUSB0")
        }
        // The lock keeps out who asks for it too, root included; the ioctl everybody else but root (ioctl_tty(2)). A
        // pty would stay exclusive after we closed it, for as long as its other side is open, and lock us out.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            throw SensorError(doing: doing, code: EBUSY, remedies: [EBUSY: busy])
        }
        if !cserial_is_pty(descriptor) { _ = ioctl(descriptor, UInt(TIOCEXCL), 0) }
        try configure(format)
        // What came before the speed was right.
        tcflush(descriptor, TCIFLUSH)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Sets another format on the open port.
    package func configure(_ format: Format) throws(SensorError) {
        var wanted = cserial_format(
            baud: UInt32(clamping: format.baud), data_bits: UInt8(clamping: format.dataBits),
            stop_bits: UInt8(clamping: format.stopBits), parity: format.parity.letter,
            flow: Int32(
                format.flow == .rtsCts
                    ? CSERIAL_FLOW_RTS_CTS : format.flow == .xonXoff ? CSERIAL_FLOW_XON_XOFF : CSERIAL_FLOW_NONE))
        guard cserial_configure(descriptor, &wanted) == 0 else {
            let doing = "set \(path) to \(format.description)"
            if errno == ERANGE {
                throw SensorError(
                    doing: doing, reason: "the port does not do that speed or format", remedy: "choose another")
            }
            throw SensorError(
                doing: doing, code: errno,
                remedies: [EINVAL: "the port does not do that speed or format; choose another"])
        }
        guard let rs485 = format.rs485 else { return }
        var direction = cserial_rs485(
            rts_on_send: !rs485.isInverted, rx_during_tx: false, before_ms: UInt32(clamping: rs485.before.milliseconds),
            after_ms: UInt32(clamping: rs485.after.milliseconds))
        guard cserial_set_rs485(descriptor, &direction) == 0 else {
            throw SensorError(
                doing: "let the kernel switch the direction of \(path)", reason: ErrnoText.last,
                remedy:
                    "this port's driver cannot; leave rs485 out when the adapter switches by itself, as most do on USB")
        }
    }

    /// What waits, up to 4 KiB; empty when nothing does. Throws when the line is gone.
    package func read() throws(SensorError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = Glibc.read(descriptor, &bytes, bytes.count)
            if count > 0 { return Array(bytes[..<count]) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { return [] }
            throw lost("read from", code: count == 0 ? nil : errno)
        }
    }

    /// Sends as much of `bytes` as the kernel takes now; returns how many. Throws when the line is gone.
    package func write(_ bytes: ArraySlice<UInt8>) throws(SensorError) -> Int {
        guard !bytes.isEmpty else { return 0 }
        while true {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 { return count }
            if errno == EINTR { continue }
            if errno == EAGAIN { return 0 }
            throw lost("write to", code: errno)
        }
    }

    /// Throws away what waits to be read.
    package func discardInput() { tcflush(descriptor, TCIFLUSH) }

    /// `nil` where the driver does not count, as on a pty.
    package func errors() -> LineErrors? {
        var errors = cserial_errors()
        guard cserial_count_errors(descriptor, &errors) == 0 else { return nil }
        return LineErrors(
            framing: UInt64(errors.framing), parity: UInt64(errors.parity), overrun: UInt64(errors.overrun),
            breaks: UInt64(errors.breaks))
    }

    private func lost(_ what: String, code: Int32?) -> SensorError {
        SensorError(
            doing: "\(what) \(path)", reason: code.map { ErrnoText.text($0) } ?? "the line was hung up",
            remedy: "plug the adapter in again; it is opened as soon as it is there", isAbsent: true)
    }
}

extension Duration {
    /// Whole milliseconds.
    var milliseconds: Int64 { wholeNanoseconds / 1_000_000 }
}
