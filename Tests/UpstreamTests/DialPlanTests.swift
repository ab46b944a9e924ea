import Testing

@testable import Upstream

@Suite("DialPlan")
struct DialPlanTests {
    private let a = UpstreamAddress(transport: .tcp, host: "a")
    private let b = UpstreamAddress(transport: .tcp, host: "b")
    private let c = UpstreamAddress(transport: .tcp, host: "2001:db8::1")

    @Test("addresses take turns, and every second round leaves IPv6 aside unless it is asked for by number")
    func addresses() {
        let plan = DialPlan(addresses: [a, b, c], choice: .automatic)
        #expect((0..<7).map { plan.address(failures: $0) } == [a, b, c, a, b, c, a])
        #expect(
            (0..<7).map { plan.isIPv4Only(failures: $0) } == [false, false, false, true, true, false, false]
        )
    }

    @Test("a refused version changes to the other at once, unless one is prescribed")
    func refused() {
        var plan = DialPlan(addresses: [a], choice: .automatic)
        #expect(plan.version == .v5)
        plan.refusedVersion()
        #expect(plan.version == .v311)
        plan.refusedVersion()
        #expect(plan.version == .v5)
        for version in [WireVersion.v5, .v311] {
            var plan = DialPlan(addresses: [a], choice: .only(version))
            plan.refusedVersion()
            for _ in 1...5 { plan.closedBeforeAnswer() }
            #expect(plan.version == version)
        }
    }

    @Test("silent closes try 3.1.1 one time in three, until a version was understood")
    func closed() {
        var plan = DialPlan(addresses: [a], choice: .automatic)
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
