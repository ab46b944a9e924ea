import Readings
import TestSupport
import Testing

@testable import Upstream

@Suite("LinkMachine")
struct LinkMachineTests {
    static let policy = LinkMachine.Policy(
        resolveTimeout: .seconds(15), reachTimeout: .seconds(5), connectTimeout: .seconds(20),
        suspectAfter: .seconds(3), progressTimeout: .seconds(20), reconnectDelay: .seconds(1)...Duration.seconds(60),
        stableAfter: .seconds(30)
    )

    private func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    private func connecting(at seconds: Double, hasOthers: Bool = false) -> LinkMachine {
        var machine = LinkMachine(policy: Self.policy)
        _ = machine.start(now: at(seconds))
        machine.connecting(now: at(seconds), hasOthers: hasOthers)
        return machine
    }

    private func connected(at seconds: Double) -> LinkMachine {
        var machine = connecting(at: seconds)
        machine.accepted(now: at(seconds))
        return machine
    }

    @Test("pauses double, stay within their bounds and are jittered", arguments: [1, 7, 42, 1_234_567] as [UInt64])
    func backoff(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var machine = LinkMachine(policy: Self.policy)
        #expect(machine.start(now: at(0)) == .dial)
        machine.connecting(now: at(0), hasOthers: false)
        var now = at(0)
        var pauses: [Duration] = []
        for _ in 1...40 {
            machine.lost(now: now, using: &random)
            guard case .down(let until) = machine.state else {
                Issue.record("seed \(seed): \(machine.state)")
                return
            }
            pauses.append(until - now)
            #expect(machine.tick(now: until + .nanoseconds(-1), oldestUnacknowledged: nil) == .none, "seed \(seed)")
            #expect(machine.tick(now: until, oldestUnacknowledged: nil) == .dial, "seed \(seed)")
            machine.connecting(now: until, hasOthers: false)
            now = until
        }
        let bounds: [ClosedRange<Duration>] = [
            .seconds(1)...Duration.seconds(2), .seconds(2)...Duration.seconds(4), .seconds(4)...Duration.seconds(8),
            .seconds(8)...Duration.seconds(16), .seconds(16)...Duration.seconds(32),
        ]
        for (pause, bound) in zip(pauses, bounds) { #expect(bound.contains(pause), "seed \(seed): \(pauses)") }
        for pause in pauses.dropFirst(5) {
            #expect((.seconds(30)...Duration.seconds(60)).contains(pause), "seed \(seed): \(pauses)")
        }
        #expect(Set(pauses).count > 35, "seed \(seed): \(pauses)")
        #expect(machine.failures == 40)
    }

    @Test("a stable connection makes the next pause short again, an unstable one does not")
    func stability() {
        var random = SplitMix64(seed: 5)
        for (held, failures) in [(29.9, 5), (30.0, 1)] {
            var machine = connecting(at: 0)
            var now = at(0)
            for _ in 1...4 {
                machine.lost(now: now, using: &random)
                now = now + .seconds(100)
                _ = machine.tick(now: now, oldestUnacknowledged: nil)
                machine.connecting(now: now, hasOthers: false)
            }
            machine.accepted(now: now)
            machine.lost(now: now + .milliseconds(Int64(held * 1000)), using: &random)
            #expect(machine.failures == failures, "held for \(held) s")
        }
    }

    @Test("an attempt without an answer is given up at its deadline")
    func connectDeadline() {
        let start = connecting(at: 10)
        var machine = start
        #expect(machine.deadline(oldestUnacknowledged: nil) == at(30))
        #expect(machine.tick(now: at(29.9), oldestUnacknowledged: nil) == .none)
        #expect(machine.tick(now: at(30), oldestUnacknowledged: nil) == .giveUp(.noAnswer))
    }

    @Test("a message that waits too long takes the link down, an idle link stays")
    func progressDeadline() {
        var machine = connected(at: 0)
        #expect(machine.deadline(oldestUnacknowledged: nil) == nil)
        #expect(machine.tick(now: at(1000), oldestUnacknowledged: nil) == .none)
        #expect(machine.deadline(oldestUnacknowledged: at(1000)) == at(1003))
        #expect(machine.tick(now: at(1002), oldestUnacknowledged: at(1000)) == .none)
        #expect(machine.state == .authenticated(since: at(0)))
        #expect(machine.tick(now: at(1003), oldestUnacknowledged: at(1000)) == .none)
        #expect(machine.state == .suspect(since: at(0), last: nil) && machine.isUp)
        #expect(machine.deadline(oldestUnacknowledged: at(1000)) == at(1020))
        #expect(machine.tick(now: at(1019), oldestUnacknowledged: at(1000)) == .none)
        // Other confirmations do not help the message.
        machine.confirmed(now: at(1019))
        #expect(machine.state == .confirmed(since: at(0), last: at(1019)))
        #expect(machine.tick(now: at(1020), oldestUnacknowledged: at(1000)) == .giveUp(.stalled))
        #expect(machine.state == .confirmed(since: at(0), last: at(1019)))
    }

    @Test("a resolver that does not answer and an address that does not take the connection are given up in time")
    func resolvingAndReaching() {
        var random = SplitMix64(seed: 3)
        var machine = LinkMachine(policy: Self.policy)
        _ = machine.start(now: at(0))
        machine.resolving(now: at(0))
        #expect(machine.deadline(oldestUnacknowledged: nil) == at(15))
        #expect(machine.tick(now: at(14), oldestUnacknowledged: nil) == .none)
        #expect(machine.tick(now: at(15), oldestUnacknowledged: nil) == .giveUp(.unresolved))
        // The plan has another URL: there is no pause, and no failure.
        machine.lost(now: at(15), hasNext: true, using: &random)
        #expect(machine.tick(now: at(15), oldestUnacknowledged: nil) == .dial && machine.failures == 0)
        machine.connecting(now: at(15), hasOthers: true)
        #expect(machine.deadline(oldestUnacknowledged: nil) == at(20))
        #expect(machine.tick(now: at(20), oldestUnacknowledged: nil) == .checkReach)
        machine.reached()
        #expect(machine.tick(now: at(34), oldestUnacknowledged: nil) == .none)
        #expect(machine.tick(now: at(35), oldestUnacknowledged: nil) == .giveUp(.noAnswer))
        machine.lost(now: at(35), hasNext: false, using: &random)
        #expect(machine.failures == 1)
        // The last address has the whole time.
        machine = connecting(at: 0)
        #expect(machine.tick(now: at(19), oldestUnacknowledged: nil) == .none)
    }

    @Test("another connection takes over, and has to be confirmed anew")
    func handingOver() {
        var machine = connected(at: 0)
        machine.confirmed(now: at(5))
        machine.handedOver(now: at(9))
        #expect(machine.state == .authenticated(since: at(9)))
        _ = machine.stop(deadline: at(20))
        machine.handedOver(now: at(10))
        #expect(machine.state == .stopping(deadline: at(20)))
    }

    @Test("stopping waits for the acknowledgements, publishes the offline notice and ends")
    func stopping() {
        var machine = connected(at: 0)
        #expect(machine.stop(deadline: at(5)) == .none)
        #expect(machine.tick(now: at(1), oldestUnacknowledged: at(0.5)) == .none)
        #expect(machine.tick(now: at(2), oldestUnacknowledged: nil) == .publishOfflineNotice)
        #expect(machine.tick(now: at(3), oldestUnacknowledged: nil) == .none)
        #expect(machine.offlineNoticeAcknowledged() == .close)
        #expect(machine.state == .stopped)
    }

    @Test("stopping ends at its deadline, and a second order can only bring it forward")
    func stoppingDeadline() {
        var machine = connected(at: 0)
        _ = machine.stop(deadline: at(5))
        _ = machine.stop(deadline: at(9))
        #expect(machine.deadline(oldestUnacknowledged: at(0)) == at(5))
        #expect(machine.tick(now: at(4.9), oldestUnacknowledged: at(0)) == .none)
        #expect(machine.tick(now: at(5), oldestUnacknowledged: at(0)) == .close)

        machine = connected(at: 0)
        _ = machine.stop(deadline: at(5))
        #expect(machine.tick(now: at(1), oldestUnacknowledged: nil) == .publishOfflineNotice)
        #expect(machine.tick(now: at(5), oldestUnacknowledged: nil) == .close)
    }

    @Test("stopping without a connection ends at once; losing it while stopping ends, too")
    func stoppingWithoutConnection() {
        var random = SplitMix64(seed: 1)
        var machine = LinkMachine(policy: Self.policy)
        #expect(machine.stop(deadline: at(5)) == .close)
        machine = connecting(at: 0)
        #expect(machine.stop(deadline: at(5)) == .close)
        machine = connected(at: 0)
        _ = machine.stop(deadline: at(5))
        machine.lost(now: at(1), using: &random)
        #expect(machine.state == .stopped)
        machine.lost(now: at(2), using: &random)
        #expect(machine.state == .stopped)
    }

    @Test("any sequence of events keeps the bounds", arguments: 1...20 as ClosedRange<UInt64>)
    func randomEvents(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var machine = LinkMachine(policy: Self.policy)
        var now = at(0)
        _ = machine.start(now: now)
        for step in 0..<2000 {
            now = now + .milliseconds(Int64.random(in: 0...30_000, using: &random))
            let oldest = Bool.random(using: &random) ? now + .seconds(-Int64.random(in: 0...30, using: &random)) : nil
            switch Int.random(in: 0..<7, using: &random) {
            case 0: machine.accepted(now: now)
            case 1: machine.confirmed(now: now)
            case 2: machine.lost(now: now, hasNext: Bool.random(using: &random), using: &random)
            case 3: machine.handedOver(now: now)
            case 4: machine.reached()
            default:
                switch machine.tick(now: now, oldestUnacknowledged: oldest) {
                case .giveUp, .checkReach: machine.lost(now: now, using: &random)
                case .dial:
                    if Bool.random(using: &random) { machine.resolving(now: now) }
                    machine.connecting(now: now, hasOthers: Bool.random(using: &random))
                default: break
                }
            }
            switch machine.state {
            case .down(let until):
                #expect(until - now <= .seconds(60), "seed \(seed), step \(step)")
            case .connecting(let reach, let deadline):
                #expect(reach.map { $0 <= deadline } ?? true, "seed \(seed), step \(step)")
                #expect(deadline - now <= .seconds(20), "seed \(seed), step \(step)")
            case .authenticated(let since): #expect(since <= now, "seed \(seed), step \(step)")
            case .confirmed(let since, let last), .suspect(let since, let last?):
                #expect(since <= last && last <= now, "seed \(seed), step \(step)")
            case .suspect(let since, nil): #expect(since <= now, "seed \(seed), step \(step)")
            default: Issue.record("seed \(seed), step \(step): \(machine.state)")
            }
        }
    }
}
