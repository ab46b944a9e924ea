import Broker
import Testing

@Suite struct AddressLimitsTests {
    private static func limits(connections: Int, rate: Int, loopback: Bool = false) -> AddressLimits {
        var configuration = AddressLimits.Configuration()
        configuration.connections = AddressLimits.Bound(connections, holdsForLoopback: loopback)
        configuration.rate = AddressLimits.Bound(rate, holdsForLoopback: loopback)
        return AddressLimits(configuration)
    }

    @Test func connectionsOfOneAddressAreBounded() {
        var limits = Self.limits(connections: 2, rate: 100)
        #expect(limits.opened("a", isLoopback: false, now: 0) == .welcome)
        #expect(limits.opened("a", isLoopback: false, now: 0) == .welcome)
        #expect(limits.opened("a", isLoopback: false, now: 0) == .tooMany)
        #expect(limits.opened("a", isLoopback: false, now: 0) == .tooMany)
        // As many refusals as places: then not even an answer.
        #expect(limits.opened("a", isLoopback: false, now: 0) == .notWorthAnAnswer)
        #expect(limits.opened("b", isLoopback: false, now: 0) == .welcome, "others are not disturbed")
        for _ in 0..<4 { limits.closed("a") }
        #expect(limits.opened("a", isLoopback: false, now: 0) == .welcome)
    }

    @Test func newConnectionsPerSecondAreBounded() {
        var limits = Self.limits(connections: 1_000, rate: 5)
        for _ in 0..<50 {
            #expect(limits.opened("a", isLoopback: false, now: 0) == .welcome)
            limits.closed("a")
        }
        #expect(limits.opened("a", isLoopback: false, now: 0) == .tooFast)
        limits.closed("a")
        // A fifth of a second brings one more.
        #expect(limits.opened("a", isLoopback: false, now: 210_000_000) == .welcome)
        #expect(limits.opened("a", isLoopback: false, now: 210_000_000) == .tooFast)
    }

    @Test func thisMachineIsBoundOnlyWhereSaid() {
        var free = Self.limits(connections: 1, rate: 1)
        for _ in 0..<100 { #expect(free.opened("127.0.0.1", isLoopback: true, now: 0) == .welcome) }
        for _ in 0..<100 { #expect(free.opened(nil, isLoopback: true, now: 0) == .welcome) }
        var bound = Self.limits(connections: 1, rate: 100, loopback: true)
        #expect(bound.opened("127.0.0.1", isLoopback: true, now: 0) == .welcome)
        #expect(bound.opened("127.0.0.1", isLoopback: true, now: 0) == .tooMany)
    }

    @Test func addressesAreForgotten() {
        var limits = Self.limits(connections: 10, rate: 10)
        for number in 0..<1_000 {
            _ = limits.opened("a\(number)", isLoopback: false, now: 0)
            if number > 0 { limits.closed("a\(number)") }
        }
        #expect(limits.count == 1_000)
        _ = limits.opened("b", isLoopback: false, now: 60_000_000_000)
        #expect(limits.count == 2, "only those with something open")
    }
}
