import UnixSignals

/// Waits for Ctrl-C or a polite kill.
enum TerminationSignal {
    static func wait() async {
        for await _ in await UnixSignalsSequence(trapping: .sigint, .sigterm) { return }
    }
}
