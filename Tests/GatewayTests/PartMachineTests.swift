import Readings
import TestSupport
import Testing

@testable import Gateway

@Suite struct PartMachineTests {
    private func instant(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }
    private let outside = PartFailure(.outside, "the port is in use", remedy: "stop the other broker")
    private let inside = PartFailure(.inside, "the part ended", remedy: nil)

    @Test func theFirstFailureIsFollowedByARestartAtOnceAndFurtherOnesByGrowingPauses() {
        var random = SplitMix64(seed: 1)
        var machine = PartMachine(now: instant(0))
        #expect(machine.fail(outside, now: instant(1), using: &random) == .restart(after: .zero))
        var earlier = Duration.zero
        for step in 2..<20 {
            machine.start(now: instant(Double(step)))
            guard case .restart(let pause) = machine.fail(outside, now: instant(Double(step)), using: &random) else {
                Issue.record("what lies outside never ends the gateway")
                return
            }
            #expect(pause > .zero && pause <= .seconds(12))
            if step < 6 { #expect(pause > earlier) }
            earlier = pause
            #expect(machine.state == .backingOff(until: instant(Double(step)) + pause))
        }
        #expect(machine.restarts == 19)
    }

    @Test func aPartThatFailsByItselfFiveTimesWithinAMinuteIsGivenUp() {
        var random = SplitMix64(seed: 2)
        var machine = PartMachine(now: instant(0))
        for second in 1...4 {
            #expect(machine.fail(inside, now: instant(Double(second)), using: &random) != .giveUp)
        }
        #expect(machine.fail(inside, now: instant(59), using: &random) == .giveUp)
        #expect(machine.state == .givenUp)
    }

    @Test func failuresMoreThanAMinuteApartDoNotAddUp() {
        var random = SplitMix64(seed: 3)
        var machine = PartMachine(now: instant(0))
        for number in 1...50 {
            #expect(machine.fail(inside, now: instant(Double(number) * 16), using: &random) != .giveUp)
        }
    }

    @Test func aPartThatRanWellStartsItsPausesAnewAndSaysHowLongItWasAway() {
        var random = SplitMix64(seed: 4)
        var machine = PartMachine(now: instant(0))
        #expect(machine.run(now: instant(0.1)) == nil)
        for second in 1...5 { _ = machine.fail(outside, now: instant(Double(second)), using: &random) }
        machine.start(now: instant(10))
        #expect(machine.run(now: instant(11)) == .seconds(10))
        #expect(machine.run(now: instant(12)) == nil)
        #expect(machine.failingSince == nil)
        #expect(machine.lastFailure == outside)
        #expect(machine.fail(outside, now: instant(60), using: &random) == .restart(after: .zero))
    }

    @Test func aPartThatFailsSoonAfterItsStartKeepsGrowingItsPauses() {
        var random = SplitMix64(seed: 5)
        var machine = PartMachine(now: instant(0))
        for second in 1...4 {
            _ = machine.run(now: instant(Double(second)))
            _ = machine.fail(outside, now: instant(Double(second) + 0.5), using: &random)
        }
        guard case .restart(let pause) = machine.fail(outside, now: instant(6), using: &random) else {
            Issue.record("expected a restart")
            return
        }
        #expect(pause > .seconds(2))
    }
}
