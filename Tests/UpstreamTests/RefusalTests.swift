import Glibc
import Outbox
import Readings
import Testing

@testable import Upstream

@Suite("Refusals")
struct RefusalTests {
    @Test(
        "CONNACK codes of both versions",
        arguments: [
            (1, .v311, .unsupportedVersion(.v311)), (0x84, .v5, .unsupportedVersion(.v5)),
            (2, .v311, .clientIdentifier), (0x85, .v5, .clientIdentifier),
            (3, .v311, .unavailable), (0x88, .v5, .unavailable),
            (4, .v311, .credentials), (0x86, .v5, .credentials),
            (5, .v311, .notAuthorized), (0x87, .v5, .notAuthorized),
            (0x89, .v5, .busy), (0x8A, .v5, .banned), (0x97, .v5, .quotaExceeded), (0x9C, .v5, .anotherServer),
            (0x9F, .v5, .connectionRate), (0x80, .v5, .other(0x80)), (77, .v311, .other(77)),
        ] as [(UInt8, WireVersion, ConnectRefusal)]
    )
    func connack(_ code: UInt8, _ version: WireVersion, _ expected: ConnectRefusal) {
        let refusal = ConnectRefusal(code: code, version: version)
        #expect(refusal == expected)
        let fault = LinkFault.refused(UpstreamAddress(transport: .tcp, host: "b"), refusal)
        #expect(fault.description.contains("mqtt://b"))
        #expect(!refusal.description.isEmpty && !fault.remedy.isEmpty)
    }

    @Test("PUBACK codes: for good, for now, and for now until patience runs out")
    func puback() {
        var poisonPolicy = PoisonMessagePolicy()
        let first = MessageIDs.make(1)
        let second = MessageIDs.make(2)
        for reason in [0x87, 0x90, 0x95, 0x99] as [UInt8] {
            #expect(poisonPolicy.judge(first, reason: reason) == .refused)
        }
        for _ in 1...20 { #expect(poisonPolicy.judge(first, reason: 0x97) == .postponed) }
        for _ in 1..<PoisonMessagePolicy.patience { #expect(poisonPolicy.judge(first, reason: 0x80) == .postponed) }
        #expect(poisonPolicy.judge(second, reason: 0x83) == .postponed)
        for _ in 1..<PoisonMessagePolicy.patience { #expect(poisonPolicy.judge(first, reason: 0x80) == .postponed) }
        #expect(poisonPolicy.judge(first, reason: 0x80) == .refused)
    }

    private static func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test("a closed connection counts when it is this message, and neither the line nor the broker")
    func closing() {
        var poisonPolicy = PoisonMessagePolicy(closePatience: .init(count: 4, time: .seconds(300)))
        let first = MessageIDs.make(1)
        let second = MessageIDs.make(2)
        func closed(
            _ id: MessageID, at seconds: Int64, after: Int64 = 1, code: Int32 = 0
        ) -> PoisonMessagePolicy.Verdict {
            poisonPolicy.judge(id, .broken(code: code), sent: Self.at(seconds - after), now: Self.at(seconds))
        }
        #expect(!poisonPolicy.needsProof(first))
        #expect(
            closed(first, at: 0) == .postponed && poisonPolicy.needsProof(first) && !poisonPolicy.needsProof(second))
        // Nothing else has been acknowledged since, or it took long, or nobody closed anything.
        for seconds in 1...400 { #expect(closed(first, at: Int64(seconds)) == .postponed) }
        poisonPolicy.acknowledged()
        #expect(!poisonPolicy.needsProof(first))
        for code in [ETIMEDOUT, EHOSTUNREACH, ENETDOWN] { #expect(closed(first, at: 400, code: code) == .postponed) }
        #expect(closed(first, at: 400, after: 3) == .postponed)
        #expect(poisonPolicy.judge(first, .keepAlive(.seconds(1)), sent: Self.at(1), now: Self.at(1)) == .postponed)
        // The second, the third and the fourth time, by a message of another stream in between.
        for (seconds, code) in [(500, ECONNRESET), (501, EPIPE)] as [(Int64, Int32)] {
            #expect(closed(first, at: seconds, code: code) == .postponed)
            poisonPolicy.acknowledged(second)
        }
        #expect(closed(first, at: 502, code: EPROTO) == .refused)
        #expect(!poisonPolicy.needsProof(first))
    }

    @Test("a closed connection needs its time, and each message has its own count")
    func closingTakesTime() {
        var poisonPolicy = PoisonMessagePolicy(closePatience: .init(count: 3, time: .seconds(300)))
        let ids = [MessageIDs.make(1), MessageIDs.make(2)]
        for seconds in 0...20 as ClosedRange<Int64> {
            for id in ids {
                let now = Self.at(seconds)
                #expect(poisonPolicy.judge(id, .broken(code: 0), sent: now, now: now) == .postponed)
                poisonPolicy.acknowledged()
            }
        }
        // One of them is taken after all.
        poisonPolicy.acknowledged(ids[0])
        let later = Self.at(300)
        #expect(poisonPolicy.judge(ids[0], .broken(code: 0), sent: later, now: later) == .postponed)
        #expect(poisonPolicy.judge(ids[1], .broken(code: 0), sent: later, now: later) == .refused)
    }

    @Test("DISCONNECT over a message counts; with reasons that may mean anything only right behind it")
    func disconnectReasons() {
        let id = MessageIDs.make(1)
        for (reason, after, expected) in [
            (0x95, 60, .refused), (0x87, 1, .refused), (0x80, 1, .refused), (0x83, 1, .refused), (0x87, 60, .postponed),
            (0x80, 60, .postponed), (0x8B, 1, .postponed), (0x89, 1, .postponed), (0x8E, 1, .postponed),
        ] as [(UInt8, Int64, PoisonMessagePolicy.Verdict)] {
            var poisonPolicy = PoisonMessagePolicy()
            var last = PoisonMessagePolicy.Verdict.postponed
            for _ in 1...PoisonMessagePolicy.patience {
                #expect(last == .postponed)
                last = poisonPolicy.judge(id, .disconnected(reason: reason), sent: Self.at(0), now: Self.at(after))
            }
            #expect(last == expected, "\(reason)")
        }
    }

    @Test("single message mode: after two hang-ups over the same message, as many go alone as were on their way")
    func singleMessageMode() {
        var singleMessageMode = SingleMessageMode()
        #expect(singleMessageMode.window(100) == 100)
        singleMessageMode.hungUp(oldest: MessageIDs.make(7), count: 3)
        singleMessageMode.hungUp(oldest: MessageIDs.make(8), count: 3)
        #expect(singleMessageMode.window(100) == 100)
        singleMessageMode.hungUp(oldest: MessageIDs.make(8), count: 3)
        for _ in 1...3 {
            #expect(singleMessageMode.window(100) == 1)
            singleMessageMode.settled()
        }
        #expect(singleMessageMode.window(100) == 100)
    }
}
