import Admin
import Sensors

/// What happens in the demo, and when.
struct DemoStory: Sendable {
    let gateway: Gateway
    let upstream: DemoUpstream
    let ledger: DemoLedger
    let screen: DemoScreen
    let signals: ProcessSignals

    /// Tells the story once, or again and again until Ctrl-C, which also ends it early. The verdict is worth something only for `once`, where
    /// everything has come to rest at the end.
    func tell(once: Bool) async -> DemoLedger.Verdict {
        screen.open(once: once)
        let story = Task {
            repeat {
                await scene("the upstream is there: readings cross as they come", lasting: once ? 3 : 8)
                await upstream.stop()
                await scene("the upstream is gone: readings wait in the outbox, on disk", lasting: once ? 4 : 7)
                try? await upstream.start()
                await scene("the upstream is back: the outbox drains, in order", lasting: once ? 3 : 5)
            } while !once && !Task.isCancelled
        }
        let stopping = Task {
            await signals.untilStop()
            story.cancel()
        }
        await story.value
        stopping.cancel()
        if once, !signals.isStopping { await settle() }
        return ledger.verdict()
    }

    private func scene(_ title: String, lasting seconds: Int) async {
        guard !Task.isCancelled else { return }
        screen.title(title)
        for _ in 0..<(seconds * 2) where !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(500))
            await screen.tick()
        }
    }

    /// Silences the sensors and waits, 8 s at most, until all that was sent has arrived.
    private func settle() async {
        screen.title("the sensors stop: the last readings cross")
        gateway.sensors.close()
        for _ in 0..<80 {
            let status = await gateway.status()
            let queued = status.queues.reduce(0) { $0 + $1.messages }
            if queued == 0, status.intake.waiting == 0, ledger.verdict().missing == 0 { break }
            try? await Task.sleep(for: .milliseconds(100))
        }
        await screen.tick()
    }
}
