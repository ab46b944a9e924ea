import Gateway
import Testing

@Suite struct PulseTests {
    static func pulse(turns: UInt64? = 1, rounds: UInt64 = 1, waiting: Int = 0, storeFails: Bool = false) -> Pulse {
        Pulse(linkTurns: turns, ingestRounds: rounds, waiting: waiting, storeFails: storeFails, text: "")
    }

    @Test(
        arguments: [
            (pulse(turns: 1), pulse(turns: 2), nil),
            (pulse(turns: 1), pulse(turns: 1), "upstream"),
            // Not connected: resolving a name may block the link's thread, which is no reason to restart.
            (pulse(turns: nil), pulse(turns: nil), nil),
            (pulse(turns: 1), pulse(turns: nil), nil),
            (pulse(turns: 1, rounds: 5, waiting: 3), pulse(turns: 2, rounds: 5, waiting: 3), "ingest"),
            (pulse(turns: 1, rounds: 5, waiting: 3), pulse(turns: 2, rounds: 6, waiting: 3), nil),
            (pulse(turns: 1, rounds: 5, waiting: 0), pulse(turns: 2, rounds: 5, waiting: 9), nil),
            (pulse(turns: 1, rounds: 5, waiting: 3), pulse(turns: 2, rounds: 5, waiting: 3, storeFails: true), nil),
        ] as [(Pulse, Pulse, String?)])
    func namesThePartThatStandsStill(earlier: Pulse, now: Pulse, expected: String?) {
        #expect(now.stuckPart(since: earlier) == expected)
    }
}
