import CLinux
import Glibc

/// What a signal means to this program. Without a meaning of its own, a signal would end the process without a stop.
package enum SignalMeaning: Hashable, Sendable {
    /// The process stops in order, as if it had been asked politely.
    case stop
    /// The settings are read again.
    case reload
    /// Nothing: the signal is noted in the log.
    case ignored

    /// The signals that are caught, with their meanings: all that would end the process by default, but those of a fault in
    /// the program itself (SIGSEGV, SIGABRT …), the limit on processor time, and SIGKILL, which nobody can catch.
    ///
    /// SIGQUIT stops as SIGTERM does: a core file of a gateway that was only to be stopped fills the card. SIGXFSZ is
    /// ignored, so that writing beyond a limit on file sizes fails with EFBIG instead. SIGPIPE is not here: libmosquitto's
    /// thread and NIO need it ignored, which happens elsewhere.
    /// - Parameter hangUp: what SIGHUP means.
    static func all(hangUp: SignalMeaning) -> [Int32: SignalMeaning] {
        var all: [Int32: SignalMeaning] = [
            SIGHUP: hangUp, SIGINT: .stop, SIGTERM: .stop, SIGQUIT: .stop,
            SIGUSR1: .ignored, SIGUSR2: .ignored, SIGALRM: .ignored, SIGVTALRM: .ignored, SIGPROF: .ignored,
            SIGIO: .ignored, SIGPWR: .ignored, SIGSTKFLT: .ignored, SIGXFSZ: .ignored,
        ]
        for number in clinux_first_realtime_signal()...clinux_last_realtime_signal() { all[number] = .ignored }
        return all
    }

    /// "SIGUSR1"; of a real-time signal "SIGRTMIN+2".
    static func name(_ number: Int32) -> String {
        let names: [Int32: String] = [
            SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGTERM: "SIGTERM", SIGQUIT: "SIGQUIT", SIGUSR1: "SIGUSR1",
            SIGUSR2: "SIGUSR2", SIGALRM: "SIGALRM", SIGVTALRM: "SIGVTALRM", SIGPROF: "SIGPROF", SIGIO: "SIGIO",
            SIGPWR: "SIGPWR", SIGSTKFLT: "SIGSTKFLT", SIGXFSZ: "SIGXFSZ",
        ]
        if let name = names[number] { return name }
        let first = clinux_first_realtime_signal()
        return number >= first ? "SIGRTMIN+\(number - first)" : "signal \(number)"
    }
}
