import Readings
import Testing

@testable import Upstream

@Suite("What comes from upstream")
struct ArrivalGateTests {
    private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    private func gate(_ filters: [String] = ["gw/cmd/#"], _ version: WireVersion = .v5) -> ArrivalGate {
        var gate = ArrivalGate(filters: filters, isOwn: { $0 == "here" })
        gate.connected(version, isSessionPresent: false, now: at(0))
        return gate
    }

    private func incoming(
        _ topic: String, _ payload: String = "x", retain: Bool = false, user: [(String, String)] = [],
        subscriptions: [UInt32] = []
    ) -> MosquittoEvents.Incoming {
        MosquittoEvents.Incoming(
            arrival: UpstreamArrival(
                topic: topic, payload: Array(payload.utf8), retain: retain,
                properties: .received(
                    isText: false, contentType: nil, responseTopic: nil, correlationData: nil,
                    user: user.map { .init($0.0, $0.1) })),
            subscriptions: subscriptions)
    }

    @Test("what no filter of ours matches is of an earlier configuration")
    func unwanted() {
        var gate = gate()
        #expect(gate.judge(incoming("gw/cmd/a"), now: at(1)) == .accepted)
        #expect(gate.judge(incoming("gw/old/a"), now: at(1)) == .unwanted)
    }

    @Test("of the copies for overlapping subscriptions the one for the first filter counts")
    func overlapping() {
        var gate = gate(["a/+/c", "a/b/+"])
        #expect(gate.identifier(of: "a/b/+") == 2)
        #expect(gate.judge(incoming("a/b/c", subscriptions: [2]), now: at(1)) == .repeated)
        #expect(gate.judge(incoming("a/b/c", subscriptions: [1]), now: at(1)) == .accepted)
        #expect(gate.judge(incoming("a/b/c", subscriptions: [2, 1]), now: at(1)) == .accepted)
        #expect(gate.judge(incoming("a/b/d", subscriptions: [2]), now: at(1)) == .accepted)
        // A broker that does not say.
        #expect(gate.judge(incoming("a/b/c"), now: at(1)) == .accepted)
        // It was kept since it came for the first filter of other settings.
        #expect(gate.judge(incoming("a/b/d", subscriptions: [1]), now: at(1)) == .accepted)
        #expect(gate.judge(incoming("a/b/d", subscriptions: [9]), now: at(1)) == .accepted)
        // The first one does not come at all.
        gate.wasRefused("a/+/c")
        #expect(gate.judge(incoming("a/b/c", subscriptions: [2]), now: at(1)) == .accepted)
    }

    @Test("what the broker may have kept is told from what is sent just now")
    func waited() {
        var gate = gate()
        #expect(!gate.mayHaveWaited(incoming("gw/cmd/a").arrival, now: at(1)))
        #expect(gate.mayHaveWaited(incoming("gw/cmd/a", retain: true).arrival, now: at(1)))
        gate.connected(.v5, isSessionPresent: true, now: at(20))
        #expect(gate.mayHaveWaited(incoming("gw/cmd/a").arrival, now: at(29)))
        #expect(!gate.mayHaveWaited(incoming("gw/cmd/a").arrival, now: at(31)))
    }

    @Test("what has been here before goes no further")
    func loops() {
        var gate = gate()
        #expect(gate.judge(incoming("gw/cmd/a", user: [("epoch", "there")]), now: at(1)) == .accepted)
        #expect(gate.judge(incoming("gw/cmd/a", user: [("epoch", "here")]), now: at(1)) == .looped)
        #expect(gate.judge(incoming("gw/cmd/a", user: [("hop", "here"), ("epoch", "there")]), now: at(1)) == .looped)
        // Through so many gateways nobody goes on purpose.
        let far = (0..<MessageProperties.hopLimit).map { ("hop", "\($0)") }
        #expect(gate.judge(incoming("gw/cmd/a", user: far), now: at(1)) == .accepted)
        #expect(gate.judge(incoming("gw/cmd/a", user: far + [("epoch", "there")]), now: at(1)) == .looped)
    }

    @Test("with 3.1.1 each own message takes one equal message out of those that come, and no more")
    func echoes() {
        var gate = gate(["gw/#"], .v311)
        for number: Int32 in 1...2 { gate.sent("gw/t", Array("x".utf8), packetIdentifier: number, now: at(1)) }
        gate.sent("other", Array("x".utf8), packetIdentifier: 3, now: at(1))
        #expect(gate.judge(incoming("gw/t"), now: at(2)) == .looped)
        #expect(gate.judge(incoming("gw/t", "y"), now: at(2)) == .accepted)
        #expect(gate.judge(incoming("gw/t"), now: at(2)) == .looped)
        for number: Int32 in 1...3 { gate.acknowledged(number, now: at(2)) }
        // The cloud says it as well, and again.
        #expect(gate.judge(incoming("gw/t"), now: at(2)) == .accepted)
        #expect(gate.judge(incoming("gw/t"), now: at(2)) == .accepted)
        // No Local does it otherwise.
        gate.connected(.v5, isSessionPresent: false, now: at(70))
        gate.sent("gw/t", Array("x".utf8), packetIdentifier: 4, now: at(70))
        #expect(gate.judge(incoming("gw/t"), now: at(71)) == .accepted)
    }

    @Test("an echo that has not come soon after the PUBACK does not come: an equal message is the cloud's")
    func echoesThatDoNotCome() {
        var gate = gate(["gw/#"], .v311)
        gate.sent("gw/t", Array("on".utf8), packetIdentifier: 1, now: at(1))
        // A broker that is slow to answer is slow to send it back.
        #expect(gate.judge(incoming("gw/t", "off"), now: at(50)) == .accepted)
        gate.acknowledged(1, now: at(60))
        #expect(gate.judge(incoming("gw/t", "on"), now: at(64)) == .accepted)
        // While echoes of a topic come, those behind them may still come.
        for number: Int32 in 2...4 {
            gate.sent("gw/t", Array("\(number)".utf8), packetIdentifier: number, now: at(70))
            gate.acknowledged(number, now: at(70))
        }
        #expect(gate.judge(incoming("gw/t", "2"), now: at(72)) == .looped)
        #expect(gate.judge(incoming("gw/t", "3"), now: at(74)) == .looped)
        #expect(gate.judge(incoming("gw/t", "4"), now: at(78)) == .accepted)
    }

    @Test("a lost connection takes its echoes along, unless the broker keeps the session")
    func echoesOfAnotherConnection() {
        var gate = gate(["gw/#"], .v311)
        gate.sent("gw/t", Array("on".utf8), packetIdentifier: 1, now: at(1))
        gate.connected(.v311, isSessionPresent: false, now: at(2))
        #expect(gate.judge(incoming("gw/t", "on"), now: at(2)) == .accepted)
        gate.sent("gw/t", Array("on".utf8), packetIdentifier: 1, now: at(3))
        gate.connected(.v311, isSessionPresent: true, now: at(4))
        #expect(gate.judge(incoming("gw/t", "on"), now: at(5)) == .looped)
        gate.sent("gw/t", Array("on".utf8), packetIdentifier: 1, now: at(6))
        gate.connected(.v311, isSessionPresent: true, now: at(7))
        #expect(gate.judge(incoming("gw/t", "on"), now: at(11)) == .accepted)
    }

    @Test("a bounded number of own messages is waited for, the newest")
    func echoesAreBounded() {
        var gate = gate(["gw/#"], .v311)
        for number in 0..<20_000 {
            gate.sent("gw/t", Array("\(number)".utf8), packetIdentifier: Int32(number % 400), now: at(1))
        }
        #expect(gate.judge(incoming("gw/t", "0"), now: at(2)) == .accepted)
        #expect(gate.judge(incoming("gw/t", "19999"), now: at(2)) == .looped)
    }

    @Test("a command that is retained, and equal to the last one, is taken for a stored one only once")
    func equalRetainedCommands() {
        var gate = gate()
        #expect(gate.judge(incoming("gw/cmd/a", "on", retain: true), now: at(1)) == .accepted)
        #expect(gate.judge(incoming("gw/cmd/a", "on", retain: true), now: at(2)) == .accepted)
        gate.connected(.v5, isSessionPresent: false, now: at(100))
        #expect(gate.judge(incoming("gw/cmd/a", "on", retain: true), now: at(101)) == .unchanged)
        #expect(gate.judge(incoming("gw/cmd/a", "on", retain: true), now: at(102)) == .accepted)
    }

    @Test("a retained message that a new session brings again is news only when it has changed")
    func retained() {
        var gate = gate()
        #expect(gate.judge(incoming("gw/cmd/a", "1", retain: true), now: at(1)) == .accepted)
        gate.connected(.v5, isSessionPresent: false, now: at(100))
        #expect(gate.judge(incoming("gw/cmd/a", "1", retain: true), now: at(101)) == .unchanged)
        #expect(gate.judge(incoming("gw/cmd/b", "1", retain: true), now: at(101)) == .accepted)
        // Somebody says it again: that is news, and so it is where it comes without the flag, as with 3.1.1.
        #expect(gate.judge(incoming("gw/cmd/a", "1", retain: true), now: at(150)) == .accepted)
        #expect(gate.judge(incoming("gw/cmd/a", "2"), now: at(151)) == .accepted)
        // Where the session is still there nothing that is stored comes.
        gate.connected(.v5, isSessionPresent: true, now: at(160))
        #expect(gate.judge(incoming("gw/cmd/a", "2", retain: true), now: at(161)) == .accepted)
        gate.connected(.v311, isSessionPresent: true, now: at(200))
        #expect(gate.judge(incoming("gw/cmd/a", "2", retain: true), now: at(201)) == .unchanged)
        #expect(gate.judge(incoming("gw/cmd/a", "3", retain: true), now: at(201)) == .accepted)
    }
}

@Suite("Renewed certificates")
struct RenewalChoiceTests {
    private func fingerprint(_ path: String) -> TLSFingerprint { TLSFingerprint(of: [path]) }

    @Test("files that were refused are left alone until they are others, or what was good is so no more")
    func choice() {
        let (a, b, c) = (fingerprint("/etc/passwd"), fingerprint("/etc/group"), fingerprint("/etc/hosts"))
        var choice = CertificateChoice()
        #expect(!choice.keepsGood(a))
        choice.accepted(a)
        #expect(choice.keepsGood(a) && !choice.keepsGood(b))
        // Two looks: half a pair is no news.
        #expect(!choice.hasNews(a) && !choice.hasNews(b))
        #expect(choice.hasNews(b) == true)
        choice.refused(b)
        #expect(!choice.hasNews(b) && choice.keepsGood(b))
        _ = choice.hasNews(c)
        #expect(choice.hasNews(c) && !choice.keepsGood(c))
        choice.goodWasRefused()
        #expect(!choice.keepsGood(b))
    }
}

@Suite("TrialPlan")
struct TrialPlanTests {
    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test("URLs that go before are looked at after a while, all of them, and then after another while")
    func returning() {
        let a = UpstreamAddress(transport: .tcp, host: "a")
        let b = UpstreamAddress(transport: .tcp, host: "192.0.2.9")
        var plan = TrialPlan(returnAfter: .seconds(300))
        #expect(plan.due == nil)
        plan.connected(now: at(10))
        #expect(plan.due == at(310))
        plan.begin(DialPlan(urls: [a, b], choice: .automatic))
        #expect(plan.due == nil)
        #expect(plan.next(now: at(310), resolveTimeout: .seconds(15)) == .resolve(a))
        #expect(plan.due == at(325))
        plan.resolved(["192.0.2.1"])
        #expect(plan.next(now: at(311), resolveTimeout: .seconds(15)) == .connect(a, host: "192.0.2.1"))
        #expect(plan.failed(now: at(312)) == true)
        #expect(plan.next(now: at(312), resolveTimeout: .seconds(15)) == .connect(b, host: "192.0.2.9"))
        #expect(plan.failed(now: at(313)) == false)
        #expect(plan.due == at(613))
        plan.connected(now: at(700))
        #expect(plan.due == at(1000) && plan.dial == nil)
    }
}
