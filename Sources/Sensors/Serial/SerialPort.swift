import Glibc

/// An open serial line, raw, non-blocking and ours alone (termios(3)). Closed when it goes.
struct SerialPort: ~Copyable {
    enum Parity: String, Hashable, Sendable {
        case none
        case even
        case odd
    }

    struct Format: Hashable, Sendable {
        var baud: Int
        var dataBits: Int
        var parity: Parity
        var stopBits: Int
    }

    /// Bits per second and termios' names for them.
    static let speeds: [Int: speed_t] = [
        50: speed_t(B50), 75: speed_t(B75), 110: speed_t(B110), 134: speed_t(B134), 150: speed_t(B150),
        200: speed_t(B200), 300: speed_t(B300), 600: speed_t(B600), 1_200: speed_t(B1200), 1_800: speed_t(B1800),
        2_400: speed_t(B2400), 4_800: speed_t(B4800),
        9_600: speed_t(B9600), 19_200: speed_t(B19200), 38_400: speed_t(B38400), 57_600: speed_t(B57600),
        115_200: speed_t(B115200), 230_400: speed_t(B230400), 460_800: speed_t(B460800), 500_000: speed_t(B500000),
        576_000: speed_t(B576000), 921_600: speed_t(B921600), 1_000_000: speed_t(B1000000),
        1_152_000: speed_t(B1152000), 1_500_000: speed_t(B1500000), 2_000_000: speed_t(B2000000),
        2_500_000: speed_t(B2500000), 3_000_000: speed_t(B3000000), 3_500_000: speed_t(B3500000),
        4_000_000: speed_t(B4000000),
    ]

    let descriptor: Int32

    init(path: String, format: Format) throws(SensorError) {
        let doing = "open the serial port \(path)"
        let busy = "another program has it; find it with: fuser -v \(path)"
        descriptor = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw SensorError(
                doing: doing, code: errno,
                remedies: [
                    ENOENT: "plug it in; see what is there with: ls -l /dev/serial/by-path /dev/ttyS* /dev/ttyUSB*",
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
        if !Self.isPseudoTerminal(descriptor) { _ = ioctl(descriptor, UInt(TIOCEXCL), 0) }
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0 else { throw SensorError(doing: doing, code: errno) }
        cfmakeraw(&settings)
        settings.c_cflag |= tcflag_t(CREAD | CLOCAL)
        settings.c_cflag &= ~(tcflag_t(CSIZE | PARENB | PARODD | CSTOPB) | tcflag_t(CRTSCTS))
        settings.c_cflag |= Self.characterSizes[format.dataBits] ?? tcflag_t(CS8)
        settings.c_iflag &= ~tcflag_t(INPCK | IXOFF | IXANY)
        settings.c_iflag |= tcflag_t(IGNBRK)
        if format.parity != .none {
            settings.c_cflag |= tcflag_t(PARENB)
            // A character with a parity error is read as NUL, which no decoder takes for a digit.
            settings.c_iflag |= tcflag_t(INPCK)
        }
        if format.parity == .odd { settings.c_cflag |= tcflag_t(PARODD) }
        if format.stopBits == 2 { settings.c_cflag |= tcflag_t(CSTOPB) }
        guard let speed = Self.speeds[format.baud] else {
            preconditionFailure("the settings let only known speeds pass")
        }
        guard cfsetspeed(&settings, speed) == 0, tcsetattr(descriptor, TCSANOW, &settings) == 0 else {
            throw SensorError(
                doing: "set \(path) to \(format.baud) baud", code: errno,
                remedies: [EINVAL: "the adapter does not do that speed or format; choose another"])
        }
        // tcsetattr(3) is content when anything at all could be set.
        var now = termios()
        guard tcgetattr(descriptor, &now) == 0, cfgetispeed(&now) == speed else {
            throw SensorError(
                doing: "set \(path) to \(format.baud) baud", reason: "the adapter does not do that speed",
                remedy: "choose another")
        }
        // What came before the speed was right.
        tcflush(descriptor, TCIFLUSH)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static let characterSizes: [Int: tcflag_t] = [
        5: tcflag_t(CS5), 6: tcflag_t(CS6), 7: tcflag_t(CS7), 8: tcflag_t(CS8),
    ]

    /// Unix 98 slaves have the major numbers 136…143 (Documentation/admin-guide/devices.txt of the kernel).
    private static func isPseudoTerminal(_ descriptor: Int32) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && (136...143).contains((status.st_rdev >> 8) & 0xFFF)
    }

    /// What waits, up to 4 KiB; empty when nothing does. Throws when the line is gone.
    func read(path: String) throws(SensorError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = Glibc.read(descriptor, &bytes, bytes.count)
            if count > 0 { return Array(bytes[..<count]) }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { return [] }
            throw SensorError(
                doing: "read from \(path)",
                reason: count == 0 ? "the line was hung up" : String(cString: strerror(errno)),
                remedy: "plug the adapter in again; it is opened as soon as it is there", isAbsent: true)
        }
    }
}
