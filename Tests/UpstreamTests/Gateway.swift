import Logging
import Outbox
import Readings
import Synchronization
import TestSupport
import Testing

@testable import Upstream

/// An outbox and a link on it: what the tests run.
final class Gateway: Sendable {
    let configuration: UpstreamConfiguration
    let folder: TemporaryDirectory
    let outbox: OutboxStore
    let link: UpstreamLink
    let arrivals: Arrivals
    private let task = Mutex<Task<Void, any Error>?>(nil)

    /// What `accepted` was called with.
    final class Arrivals: Sendable {
        private let list = Mutex<[UpstreamArrival]>([])
        /// Of those that were not confirmed; `nil` where all are confirmed at once.
        private let receipts: Mutex<[ArrivalReceipt]?>

        init(confirmsAtOnce: Bool) { receipts = Mutex(confirmsAtOnce ? nil : []) }

        var all: [UpstreamArrival] { list.withLock { $0 } }

        func add(_ arrivals: [UpstreamArrival], _ receipt: ArrivalReceipt) {
            list.withLock { $0.append(contentsOf: arrivals) }
            let isConfirmed = receipts.withLock { receipts in
                receipts?.append(receipt)
                return receipts == nil
            }
            if isConfirmed { receipt.confirm() }
        }

        /// Confirms those that have come, and what comes from now on.
        func confirm() {
            let waiting = receipts.withLock { receipts in
                defer { receipts = nil }
                return receipts ?? []
            }
            for receipt in waiting { receipt.confirm() }
        }
    }

    private let wake = Wake()

    private final class Wake: Sendable {
        let link = Mutex<UpstreamLink?>(nil)

        func callAsFunction() { link.withLock { $0 }?.wake() }
    }

    init(
        _ configuration: UpstreamConfiguration, time: any TimeSource = KernelTime(), confirmsAtOnce: Bool = true,
        logger: Logger? = nil
    ) throws {
        self.configuration = configuration
        folder = try TemporaryDirectory()
        let wake = wake
        let arrivals = Arrivals(confirmsAtOnce: confirmsAtOnce)
        outbox = try OutboxStore(
            configuration: OutboxStore.Configuration(
                path: folder["outbox.db"], classes: [.telemetry: ClassLimits(), .alarm: ClassLimits()],
                time: time, boot: BootID("boot-1")
            ) { "gw/$gap/\($0.name)" },
            settled: { _ in }, available: { wake() }
        )
        var usual = Logger(label: "upstream")
        usual.logLevel = .debug
        link = try UpstreamLink(
            configuration: configuration, outbox: outbox, time: time, accepted: { arrivals.add($0, $1) },
            logger: logger ?? usual
        )
        self.arrivals = arrivals
        wake.link.withLock { $0 = link }
    }

    /// Another link on the same outbox, which is the one that messages wake from now on.
    func replaceLink(_ configuration: UpstreamConfiguration, continuing previous: LinkSnapshot? = nil) throws
        -> UpstreamLink
    {
        let arrivals = arrivals
        let link = try UpstreamLink(
            configuration: configuration, outbox: outbox, time: KernelTime(), continuing: previous,
            accepted: { arrivals.add($0, $1) }, logger: Logger(label: "upstream"))
        wake.link.withLock { $0 = link }
        return link
    }

    /// Runs the link while `body` does, then shuts it down.
    func run<R>(_ body: () async throws -> R) async throws -> R {
        let running = Task { try await link.run() }
        do {
            let result = try await body()
            link.shutdown(deadline: KernelTime().now().instant + .seconds(5))
            try await running.value
            return result
        } catch {
            link.shutdown(deadline: KernelTime().now().instant)
            try await running.value
            throw error
        }
    }

    func append(_ numbers: ClosedRange<Int>, topic: String = "gw/t", class name: DeliveryClass = .telemetry)
        async throws
    {
        let time = KernelTime().now()
        try await outbox.append(
            numbers.map {
                OutboxStore.Entry(
                    message: Message(topic: topic, payload: Array("\($0)".utf8), deliveryClass: name, time: time)
                )
            }
        )
    }

    func waiting() async throws -> Int64 { try await outbox.backlog().reduce(0) { $0 + Int64($1.count) } }

    var setAside: Int64 { get async throws { try await outbox.backlog().reduce(0) { $0 + $1.setAside } } }

    func connected() async throws {
        try await eventually("the link is connected", details: { "\(link.snapshot())" }) {
            link.snapshot().state.isUp
        }
    }

    func drained(of link: UpstreamLink? = nil, within limit: Duration = .seconds(20)) async throws {
        let link = link ?? self.link
        try await eventually("the outbox is empty", within: limit, details: { "\(link.snapshot())" }) {
            try await waiting() == 0
        }
    }
}

extension DeliveryClass {
    static let alarm = DeliveryClass("alarm")
}

extension UpstreamConfiguration {
    /// Impatient, so that tests are quick.
    static func test(port: UInt16, subscriptions: [String] = []) -> Self {
        var configuration = Self(
            addresses: [UpstreamAddress(transport: .tcp, host: "127.0.0.1", port: port)], clientIdentifier: "gw",
            stateTopic: "gw/$state", subscriptions: subscriptions
        )
        configuration.reconnectDelay = .milliseconds(50)...Duration.milliseconds(400)
        configuration.connectTimeout = .seconds(5)
        configuration.progressTimeout = .seconds(5)
        return configuration
    }
}
