import Glibc
import Logging
import Outbox
import Readings
import Synchronization
import TestSupport
import Testing

@testable import Upstream

@Suite("LinkLoopLock", .serialized)
struct LinkLoopLockTests {
    /// A link's loop without a thread: its turns are given by hand.
    private struct Rig {
        let gateway: Gateway
        let mailbox: LinkMailbox
        let loop: LinkLoop

        init(port: UInt16) throws {
            gateway = try Gateway(.test(port: port))
            mailbox = try LinkMailbox(changed: Signal())
            loop = LinkLoop(
                configuration: gateway.configuration, time: KernelTime(), isOwn: { _ in false }, mailbox: mailbox,
                snapshot: LinkSnapshotBox(LinkSnapshot(since: KernelTime().now().instant)),
                accepted: { _, receipt in receipt.confirm() },
                onReport: { _ in }, logger: Logger(label: "upstream"))
            loop.start()
        }

        /// Gives turns until the loop waits, and nothing is left to come of what `isOver` asks for.
        /// - Returns: what the loop waits for.
        func wait(until isOver: () -> Bool) throws -> LinkLoop.Wait {
            let end = KernelTime().now().instant + .seconds(20)
            while KernelTime().now().instant < end {
                guard var wait = loop.turn() else { throw TestFailure("the loop has stopped") }
                if isOver() { return wait }
                wait.poll()
                loop.resume(wait)
            }
            throw TestFailure("nothing has come of it: \(loop.machine.state)")
        }

        func order(_ numbers: ClosedRange<Int>) async throws {
            try await gateway.append(numbers)
            await gateway.outbox.attach()
            let claimed = try await gateway.outbox.claim(limit: 100, byteLimit: .max)
            try #require(claimed.count == numbers.count)
            mailbox.order(claimed, connection: try #require(mailbox.takeReport().connection))
        }
    }

    /// Whether the broker has seen the gateway's state, which is the first that goes out.
    private static func isConnected(_ loop: LinkLoop) -> Bool {
        loop.current?.isAnswered == true && loop.current?.birth == nil
    }

    @Test("what is ordered while the thread waits is on the wire when the order returns")
    func atOnce() async throws {
        let received = Mutex<[String]>([])
        let broker = try FakeBroker { connection, _, _ in
            connection.send(FakeBroker.connack())
            while let (type, body) = connection.receive() {
                guard type >> 4 == 3 else { continue }
                let (topic, identifier) = FakeBroker.publication(body)
                received.withLock { $0.append(topic) }
                connection.send(FakeBroker.puback(identifier))
            }
        }
        defer { broker.stop() }
        let rig = try Rig(port: broker.port)
        var wait = try rig.wait { Self.isConnected(rig.loop) }
        try await rig.order(1...3)
        #expect(rig.loop.sendAtOnce())
        // No turn is given until the broker has them all.
        try await eventually("the broker has them", details: { "\(received.withLock { $0 })" }) {
            received.withLock { $0 } == ["gw/$state", "gw/t", "gw/t", "gw/t"]
        }
        wait.poll()
        rig.loop.resume(wait)
        _ = try rig.wait { rig.loop.current?.inFlight.count == 0 }
        #expect(rig.mailbox.takeReport().settled.count == 3)
    }

    @Test("what fails then is left to the thread, which loses the connection over it")
    func failure() async throws {
        let broker = try FakeBroker { connection, number, _ in
            connection.send(FakeBroker.connack())
            guard let (_, body) = connection.receive() else { return }
            connection.send(FakeBroker.puback(FakeBroker.publication(body).identifier))
            if number > 0 { connection.serve() }
        }
        defer { broker.stop() }
        let rig = try Rig(port: broker.port)
        var wait = try rig.wait { Self.isConnected(rig.loop) }
        let socket = try #require(rig.loop.current?.client.socket)
        try await eventually("the broker has hung up") {
            var byte: UInt8 = 0
            return recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)) == 0
        }
        // The first writes to a connection that the peer has closed go through: TCP learns of it by the answer.
        var number = 0
        var isDone = true
        let end = KernelTime().now().instant + .seconds(10)
        while isDone, KernelTime().now().instant < end {
            number += 1
            try await rig.gateway.append(number...number)
            await rig.gateway.outbox.attach()
            let claimed = try await rig.gateway.outbox.claim(limit: 1, byteLimit: .max)
            rig.mailbox.order(claimed, connection: try #require(rig.loop.current?.number))
            isDone = rig.loop.sendAtOnce()
        }
        #expect(!isDone)
        #expect(rig.loop.current?.failure != nil)
        #expect(!rig.loop.sendAtOnce())
        wait.poll()
        rig.loop.resume(wait)
        _ = try rig.wait { rig.loop.current?.isAnswered == true && rig.loop.snapshot.connections == 2 }
        #expect(rig.loop.current?.failure == nil)
        #expect(rig.loop.current?.inFlight.count == 0)
    }
}
