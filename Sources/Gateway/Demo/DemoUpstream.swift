import Broker
import Logging
import NIOPosix
import Readings
import Synchronization

/// The demo's upstream broker: a second listener of our own, which the gateway reaches through libmosquitto like any
/// broker, and which can be taken away and brought back on the same port.
actor DemoUpstream {
    private let group: MultiThreadedEventLoopGroup
    private let time: any TimeSource
    private let logger: Logger
    private let desk: Desk
    private var server: BrokerServer?
    private(set) var port = 0

    init(
        group: MultiThreadedEventLoopGroup, time: any TimeSource, logger: Logger, ledger: DemoLedger, stateTopic: String
    ) {
        self.group = group
        self.time = time
        self.logger = logger
        desk = Desk(ledger: ledger, stateTopic: stateTopic)
    }

    func start() async throws(BrokerError) {
        let server = BrokerServer(
            configuration: BrokerConfiguration(), group: group, intake: desk, time: time, logger: logger)
        desk.serve(server)
        try await server.start()
        self.server = server
        let listener = try await server.open(Listener(.tcp(ListenAddress(host: "127.0.0.1", port: port))))
        port = listener.port ?? port
    }

    func stop() async {
        await server?.shutdown(deadline: .zero)
        server = nil
    }

    /// Writes down what arrives and acknowledges it at once.
    private final class Desk: Intake {
        private let ledger: DemoLedger
        private let stateTopic: String
        private let server = Mutex<BrokerServer?>(nil)

        init(ledger: DemoLedger, stateTopic: String) {
            self.ledger = ledger
            self.stateTopic = stateTopic
        }

        func serve(_ server: BrokerServer) { self.server.withLock { $0 = server } }

        func accept(_ batch: [Arrival]) -> IntakeVerdict {
            let deliveries = batch.compactMap { arrival -> DemoLedger.Delivery? in
                // The gateway's own birth message is not a reading.
                guard arrival.topic != stateTopic, case .payload(let bytes) = arrival.body else { return nil }
                return DemoLedger.Delivery(topic: arrival.topic, payload: bytes)
            }
            ledger.record(arrived: deliveries)
            let tokens = batch.compactMap(\.settle)
            if !tokens.isEmpty { server.withLock { $0 }?.settle(tokens) }
            return .accepted
        }
    }
}
