import Glibc
import Linux

/// Tells systemd how the service is doing: sd_notify(3), a datagram to the socket named in `NOTIFY_SOCKET`.
///
/// Written here because the protocol is one datagram, and libsystemd would be a dependency of every board that does
/// not run it. Says nothing, at no cost, where there is no such socket.
package struct SystemdNotifier: Sendable {
    private let path: String?
    /// How often systemd wants to hear from us: half of `WatchdogSec=`; `nil` when no watchdog is set for this process.
    package let watchdogInterval: Duration?

    package init(environment: (String) -> String? = { getenv($0).map { String(cString: $0) } }) {
        path = environment("NOTIFY_SOCKET").flatMap { $0.isEmpty ? nil : $0 }
        let isOurs = environment("WATCHDOG_PID").flatMap { pid_t($0) }.map { $0 == getpid() } ?? true
        watchdogInterval = environment("WATCHDOG_USEC").flatMap { Int64($0) }
            .flatMap { isOurs && $0 > 0 ? .microseconds($0 / 2) : nil }
    }

    /// Sends assignments such as `READY=1`, one per element. Failures are ignored: systemd then acts on its own.
    package func send(_ assignments: String...) {
        guard let path else { return }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        guard let address = try? UnixSocketAddress(path) else { return }
        let text = assignments.joined(separator: "\n")
        _ = address.withSockaddr { pointer, length in
            text.withCString { sendto(descriptor, $0, strlen($0), Int32(MSG_NOSIGNAL), pointer, length) }
        }
    }
}
