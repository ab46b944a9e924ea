import Testing

@testable import Upstream

@Suite("DialPlan")
struct DialPlanTests {
    private let a = UpstreamAddress(transport: .tcp, host: "a")
    private let b = UpstreamAddress(transport: .tcp, host: "b")
    private let c = UpstreamAddress(transport: .tcp, host: "2001:db8::1")

    @Test("a round goes through all addresses of all URLs, without asking for what is an address already")
    func round() {
        var plan = DialPlan(urls: [a, c], choice: .automatic)
        #expect(plan.next() == .resolve(a) && plan.hasOthers)
        plan.resolved(["192.0.2.1", "192.0.2.2"])
        #expect(plan.next() == .connect(a, host: "192.0.2.1") && plan.hasOthers)
        #expect(plan.failed() == true)
        #expect(plan.next() == .connect(a, host: "192.0.2.2") && plan.hasOthers)
        #expect(plan.failed() == true)
        #expect(plan.next() == .connect(c, host: "2001:db8::1") && !plan.hasOthers)
        #expect(plan.preferred == [a])
        #expect(plan.failed() == false)
        // The next round asks again: addresses change.
        #expect(plan.next() == .resolve(a))
        // A name that cannot be found does not stop the others.
        #expect(plan.failed() == true)
        #expect(plan.next() == .connect(c, host: "2001:db8::1"))
    }

    @Test("the families of addresses take turns, the resolver's first choice first")
    func families() {
        var plan = DialPlan(urls: [a], choice: .automatic)
        _ = plan.next()
        plan.resolved(["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1"])
        var order: [DialPlan.Step] = []
        repeat { order.append(plan.next()) } while plan.failed()
        #expect(order == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"].map { .connect(a, host: $0) })
    }

    @Test("after a connection that held the first URL is tried first, after one that did not the next one")
    func afterwards() {
        for (wasStable, next) in [(true, a), (false, b)] {
            var plan = DialPlan(urls: [a, b], choice: .automatic)
            _ = plan.next()
            plan.resolved(["192.0.2.1"])
            _ = plan.next()
            plan.answered()
            plan.lost(wasStable: wasStable)
            #expect(plan.next() == .resolve(next))
            // Either way the round has both.
            #expect(plan.failed() == true)
            #expect(plan.next() == .resolve(next == a ? b : a))
            #expect(plan.failed() == false)
        }
    }

    @Test("a plan for the URLs that go before knows their versions, and what it finds out is kept")
    func preferred() {
        var plan = DialPlan(urls: [c, b], choice: .automatic)
        #expect(plan.forPreferred == nil)
        #expect(plan.next() == .connect(c, host: "2001:db8::1"))
        #expect(plan.failed() == true)
        var preferred = plan.forPreferred
        #expect(preferred?.next() == .connect(c, host: "2001:db8::1") && preferred?.version == .v5)
        #expect(preferred?.refusedVersion() == true)
        #expect(preferred?.next() == .connect(c, host: "2001:db8::1") && preferred?.version == .v311)
        #expect(preferred?.failed() == false)
        if let preferred { plan.learn(from: preferred) }
        #expect(plan.version == .v5 && plan.forPreferred?.version == .v311)
        plan.handedOver(to: c)
        #expect(plan.version == .v311)
    }

    @Test("a refused version is followed by the other at the same address, once, unless one is prescribed")
    func refused() {
        var plan = DialPlan(urls: [c], choice: .automatic)
        #expect(plan.next() == .connect(c, host: "2001:db8::1") && plan.version == .v5)
        #expect(plan.refusedVersion() == true)
        #expect(plan.next() == .connect(c, host: "2001:db8::1") && plan.version == .v311)
        #expect(plan.refusedVersion() == false)
        for version in [WireVersion.v5, .v311] {
            var plan = DialPlan(urls: [c], choice: .only(version))
            _ = plan.next()
            #expect(plan.refusedVersion() == false)
            for _ in 1...5 { plan.closedBeforeAnswer() }
            #expect(plan.version == version)
        }
    }

    @Test("each broker is spoken to in its own version")
    func versions() {
        var plan = DialPlan(urls: [c, c], choice: .automatic)
        _ = plan.next()
        _ = plan.refusedVersion()
        plan.answered()
        #expect(plan.version == .v311)
        plan.lost(wasStable: false)
        #expect(plan.version == .v5)
    }

    @Test("silent closes try 3.1.1 one time in three, until a version was understood")
    func closed() {
        var plan = DialPlan(urls: [a], choice: .automatic)
        var versions: [WireVersion] = []
        for _ in 0..<7 {
            versions.append(plan.version)
            plan.closedBeforeAnswer()
        }
        #expect(versions == [.v5, .v5, .v311, .v5, .v5, .v311, .v5])
        plan.answered()
        for _ in 0..<7 { plan.closedBeforeAnswer() }
        #expect(plan.version == .v5)
    }
}
