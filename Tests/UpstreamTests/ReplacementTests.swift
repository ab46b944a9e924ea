import Logging
import Outbox
import Readings
import Synchronization
import TestSupport
import Testing

@testable import Upstream

@Suite(
    "A link is replaced while the gateway runs", .serialized, .enabled(if: MosquittoProcess.isInstalled),
    .timeLimit(.minutes(5)))
struct ReplacementTests {
    /// Other settings each time: window, subscriptions, keep-alive, protocol.
    private func configuration(_ broker: MosquittoProcess, round: Int, folder: TemporaryDirectory)
        -> UpstreamConfiguration
    {
        var configuration = UpstreamConfiguration.test(
            port: broker.port, subscriptions: round % 2 == 0 ? ["gw/cmd/#"] : ["gw/cmd/#", "gw/round/\(round % 3)/#"])
        configuration.window = [20, 50, 5][round % 3]
        configuration.keepAlive = .seconds(5 + round % 7)
        configuration.subscriptionFile = folder["subscriptions"]
        return configuration
    }

    @Test(
        "200 replacements under load: nothing is lost or out of order, and only what was not acknowledged comes twice")
    func twoHundred() async throws {
        let broker = try await MosquittoProcess()
        defer { broker.stop() }
        let observer = try await broker.subscribe("gw/t", name: "cloud")
        let gateway = try Gateway(.test(port: broker.port))
        let isOver = Flag()
        let load = Task {
            var number = 0
            while !isOver.isSet {
                try await gateway.append(number + 1...number + 10)
                number += 10
                try await Task.sleep(for: .milliseconds(8))
            }
            return number
        }
        var previous: LinkSnapshot?
        for round in 0..<200 {
            let link = try gateway.replaceLink(
                configuration(broker, round: round, folder: gateway.folder), continuing: previous)
            let running = Task { try await link.run() }
            let before = previous?.acknowledged ?? 0
            try #require(await link.waitUntilUp(within: .seconds(30)), "\(link.snapshot())")
            try await eventually("it delivers", details: { "\(link.snapshot())" }) {
                link.snapshot().acknowledged > before
            }
            let isAbrupt = round % 5 == 4
            link.shutdown(deadline: KernelTime().now().instant + (isAbrupt ? .zero : .seconds(20)))
            try await running.value
            let snapshot = link.snapshot()
            #expect(isAbrupt || snapshot.state == .stopped)
            previous = snapshot
        }
        // What may come twice: on its way when a link was ended without waiting for it.
        let unacknowledged = previous.map { Int($0.published - $0.acknowledged) } ?? 0
        isOver.set()
        let count = try await load.value
        let last = try gateway.replaceLink(
            configuration(broker, round: 0, folder: gateway.folder), continuing: previous)
        let running = Task { try await last.run() }
        try await eventually("the outbox is empty", within: .seconds(60), details: { "\(last.snapshot())" }) {
            try await gateway.waiting() == 0
        }
        try await eventually("everything has come", details: { "\(observer.lines.count) of \(count)" }) {
            observer.messages.last?.payload == "\(count)"
        }
        // Filters that this link does not want were given up.
        try await eventually("the old filters are given up", details: { broker.log }) {
            broker.logged("Received UNSUBSCRIBE from gw")
        }
        last.shutdown(deadline: KernelTime().now().instant + .seconds(20))
        try await running.value

        let numbers = observer.messages.compactMap { Int($0.payload) }
        var firsts: [Int] = []
        for number in numbers where number > firsts.last ?? 0 { firsts.append(number) }
        #expect(firsts == Array(1...count))
        #expect(numbers.count - firsts.count <= unacknowledged, "\(unacknowledged) were not acknowledged")
        // The sequence is one.
        let sequences = observer.messages.compactMap { $0.properties["seq"].flatMap { Int($0) } }
        #expect(Set(sequences) == Set(1...count))
        #expect(Set(observer.messages.compactMap { $0.properties["epoch"] }).count == 1)
    }

    @Test("a link that cannot be reached, or has no usable key, ends when it is told to, and the next one delivers")
    func fromBadToGood() async throws {
        let broker = try await MosquittoProcess()
        defer { broker.stop() }
        let gateway = try Gateway(.test(port: broker.port))
        try await gateway.append(1...5)
        var bad = UpstreamConfiguration.test(port: broker.port)
        bad.addresses = [UpstreamAddress(transport: .tls, host: "127.0.0.1", port: broker.port)]
        bad.tls = .init(authorityFile: gateway.folder["none.pem"])
        let first = try gateway.replaceLink(bad)
        let running = Task { try await first.run() }
        try await eventually("it says what is wrong") {
            if case .file = first.snapshot().lastFault { true } else { false }
        }
        #expect(await !first.waitUntilUp(within: .milliseconds(100)))
        first.shutdown(deadline: KernelTime().now().instant + .seconds(20))
        try await running.value
        #expect(await !first.waitUntilUp(within: .seconds(60)))

        let second = try gateway.replaceLink(.test(port: broker.port))
        let again = Task { try await second.run() }
        #expect(await second.waitUntilUp(within: .seconds(20)))
        try await gateway.drained(of: second)
        second.shutdown(deadline: KernelTime().now().instant + .seconds(20))
        try await again.value
    }
}
