import Glibc

/// An open serial line, raw and non-blocking (termios(3)). Closed when it goes.
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
        300: speed_t(B300), 600: speed_t(B600), 1_200: speed_t(B1200), 2_400: speed_t(B2400), 4_800: speed_t(B4800),
        9_600: speed_t(B9600), 19_200: speed_t(B19200), 38_400: speed_t(B38400), 57_600: speed_t(B57600),
        115_200: speed_t(B115200), 230_400: speed_t(B230400), 460_800: speed_t(B460800), 500_000: speed_t(B500000),
        921_600: speed_t(B921600), 1_000_000: speed_t(B1000000),
    ]

    let descriptor: Int32

    init(path: String, format: Format) throws(SensorError) {
        let doing = "open the serial port \(path)"
        descriptor = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw SensorError(
                doing: doing, code: errno,
                remedies: [
                    ENOENT: "plug it in; see what is there with: ls -l /dev/serial/by-path /dev/ttyS* /dev/ttyUSB*",
                    EACCES: "add the gateway's user to the port's group: usermod -aG dialout tidegate",
                    EBUSY: "another program has it for itself; find it with: fuser -v \(path)",
                ])
        }
        // From here on deinit closes it.
        guard isatty(descriptor) == 1 else {
            throw SensorError(
                doing: doing, reason: "it is not a serial port", remedy: "name a tty, such as /dev/ttyUSB0")
        }
        _ = ioctl(descriptor, UInt(TIOCEXCL), 0)
        var settings = termios()
        guard tcgetattr(descriptor, &settings) == 0 else { throw SensorError(doing: doing, code: errno) }
        cfmakeraw(&settings)
        settings.c_cflag |= tcflag_t(CREAD | CLOCAL)
        settings.c_cflag &= ~tcflag_t(CSIZE | PARENB | PARODD | CSTOPB)
        settings.c_cflag |= tcflag_t(format.dataBits == 7 ? CS7 : CS8)
        if format.parity != .none { settings.c_cflag |= tcflag_t(PARENB) }
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
        tcflush(descriptor, TCIFLUSH)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

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
