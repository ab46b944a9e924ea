import Readings
import Synchronization
import TestSupport
import Testing

@testable import Upstream

@Suite(
    "A message from upstream is acknowledged when the gateway has taken it over", .serialized, .timeLimit(.minutes(2)))
struct AcknowledgementTests {
    /// A QoS 1 PUBLISH to `gw/cmd/a`, for 5.0.
    private static func command(_ identifier: UInt8, _ payload: String) -> [UInt8] {
        let topic = Array("gw/cmd/a".utf8)
        let body = [0, UInt8(topic.count)] + topic + [0, identifier, 0] + Array(payload.utf8)
        return [0x32, UInt8(body.count)] + body
    }

    @Test("the link sends the PUBACK after the confirmation, and what goes up after that, in order")
    func pubackFollowsTheConfirmation() async throws {
        let isConfirmed = Flag()
        let isQuiet = Flag()
        let isOver = Flag()
        let seen = Mutex<[String]>([])
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            var isSent = false
            while !isOver.isSet {
                guard connection.isReadable(milliseconds: 500) else {
                    if isSent, !isConfirmed.isSet { isQuiet.set() }
                    continue
                }
                guard let (type, body) = connection.receive() else { return }
                switch type >> 4 {
                case 3:
                    let (topic, identifier) = FakeBroker.publication(body)
                    if topic == "gw/t" { seen.withLock { $0.append("\(isConfirmed.isSet) gw/t") } }
                    connection.send(FakeBroker.puback(identifier))
                case 4: seen.withLock { $0.append("\(isConfirmed.isSet) puback \(body[1])") }
                case 8:
                    connection.send([0x90, 4, body[0], body[1], 0, 1])
                    connection.send(Self.command(7, "on") + Self.command(8, "off"))
                    isSent = true
                case 12: connection.send([0xD0, 0])
                default: break
                }
            }
        }
        defer { broker.stop() }
        var configuration = UpstreamConfiguration.test(port: broker.port, subscriptions: ["gw/cmd/#"])
        configuration.progressTimeout = .seconds(60)
        configuration.canaryInterval = nil
        let gateway = try Gateway(configuration, confirmsAtOnce: false)
        try await gateway.run {
            try await eventually("both have come") { gateway.arrivals.all.count == 2 }
            try await gateway.append(1...1)
            try await eventually("the broker has waited for acknowledgements in vain") { isQuiet.isSet }
            isConfirmed.set()
            gateway.arrivals.confirm()
            try await gateway.drained()
            isOver.set()
        }
        #expect(seen.withLock { $0 } == ["true puback 7", "true puback 8", "true gw/t"])
    }

    @Test(
        "a broker delivers again what was not confirmed before the connection ended",
        .enabled(if: MosquittoProcess.isInstalled), arguments: [WireVersion.v5, .v311])
    func unconfirmedCommandsComeAgain(_ version: WireVersion) async throws {
        let broker = try await MosquittoProcess()
        defer { broker.stop() }
        var configuration = UpstreamConfiguration.test(port: broker.port, subscriptions: ["gw/cmd/#"])
        configuration.protocolChoice = .only(version)
        configuration.progressTimeout = .seconds(60)
        let first = try Gateway(configuration, confirmsAtOnce: false)
        await #expect(throws: Ended.self) {
            try await first.run {
                try await eventually("subscribed") { broker.logged("Sending SUBACK to gw") }
                for number in 1...5 { try broker.publish("gw/cmd/a", "\(number)") }
                try await eventually("the first has come") { !first.arrivals.all.isEmpty }
                // Ends without a confirmation, as a process does that is killed.
                throw Ended()
            }
        }
        let second = try Gateway(configuration)
        try await second.run {
            try await eventually("all come again", details: { broker.log }) {
                Set(second.arrivals.all.map { String(decoding: $0.payload, as: UTF8.self) })
                    == Set((1...5).map { "\($0)" })
            }
        }
        // And are done with.
        let third = try Gateway(configuration)
        try await third.run {
            try await third.connected()
            try broker.publish("gw/cmd/a", "last")
            try await eventually("the last has come") { !third.arrivals.all.isEmpty }
            #expect(third.arrivals.all.map(\.payload) == [Array("last".utf8)])
        }
    }

    private struct Ended: Error {}

    @Test("messages go up again when the gateway takes too long to confirm, and the broker is not blamed")
    func aLateGatewayDoesNotStopTheWayUp() async throws {
        let isOver = Flag()
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            connection.send(Self.command(7, "on"))
            connection.serve()
            isOver.set()
        }
        defer { broker.stop() }
        var configuration = UpstreamConfiguration.test(port: broker.port, subscriptions: ["gw/cmd/#"])
        configuration.progressTimeout = .seconds(3)
        let gateway = try Gateway(configuration, confirmsAtOnce: false)
        try await gateway.run {
            try await eventually("it has come") { !gateway.arrivals.all.isEmpty }
            try await gateway.append(1...3)
            try await gateway.drained()
            #expect(gateway.link.snapshot().reconnects == 0)
        }
    }
}

@Suite("The hold of acknowledgements")
struct AcknowledgementHoldTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test("it ends when the last receipt is confirmed, in whatever order")
    func confirmed() {
        var hold = AcknowledgementHold(patience: .seconds(4))
        #expect(hold.check(now: at(0)) == .confirmed)
        let receipts = (0..<3).map { _ in ArrivalReceipt(confirmed: {}) }
        for receipt in receipts { hold.add(receipt, now: at(10)) }
        #expect(hold.deadline == at(4_010))
        receipts[2].confirm()
        receipts[0].confirm()
        #expect(hold.check(now: at(20)) == .holding)
        receipts[1].confirm()
        #expect(hold.check(now: at(30)) == .confirmed)
        #expect(hold.deadline == nil)
    }

    @Test("after a late confirmation the patience is short, until one comes in time")
    func late() {
        var hold = AcknowledgementHold(patience: .seconds(4))
        hold.add(ArrivalReceipt(confirmed: {}), now: at(0))
        #expect(hold.check(now: at(3_999)) == .holding)
        #expect(hold.check(now: at(4_000)) == .late(isNew: true))
        #expect(hold.check(now: at(4_000)) == .confirmed)
        hold.add(ArrivalReceipt(confirmed: {}), now: at(5_000))
        #expect(hold.deadline == at(5_250))
        #expect(hold.check(now: at(5_250)) == .late(isNew: false))
        let receipt = ArrivalReceipt(confirmed: {})
        hold.add(receipt, now: at(6_000))
        receipt.confirm()
        #expect(hold.check(now: at(6_001)) == .confirmed)
        hold.add(ArrivalReceipt(confirmed: {}), now: at(7_000))
        #expect(hold.deadline == at(11_000))
    }

    @Test("a receipt tells of its confirmation once")
    func once() {
        let count = Atomic(0)
        let receipt = ArrivalReceipt(confirmed: { count.add(1, ordering: .relaxed) })
        receipt.confirm()
        receipt.confirm()
        #expect(count.load(ordering: .relaxed) == 1)
    }
}
