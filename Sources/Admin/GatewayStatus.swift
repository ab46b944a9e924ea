/// Everything `tidegate status` shows, as one snapshot. Ages are seconds on the boot clock, so that a wall clock that
/// jumped does not make a healthy link look old.
package struct GatewayStatus: Codable, Hashable, Sendable {
    /// The upstream link.
    package struct Link: Codable, Hashable, Sendable {
        /// `connected`, `connecting`, `waiting` (for the next try) or `stopped`.
        package var state: String
        package var url: String
        package var secondsInState: Double
        /// Since the upstream last confirmed anything end to end; absent before the first time.
        package var secondsSinceConfirmation: Double?
        package var inFlight: Int
        package var published: UInt64
        package var acknowledged: UInt64
        package var refused: UInt64
        package var reconnects: UInt64
        /// Why the link is not up, and what to do about it; absent while it is.
        package var problem: String?

        package init(
            state: String, url: String, secondsInState: Double, secondsSinceConfirmation: Double?, inFlight: Int,
            published: UInt64, acknowledged: UInt64, refused: UInt64, reconnects: UInt64, problem: String?
        ) {
            self.state = state
            self.url = url
            self.secondsInState = secondsInState
            self.secondsSinceConfirmation = secondsSinceConfirmation
            self.inFlight = inFlight
            self.published = published
            self.acknowledged = acknowledged
            self.refused = refused
            self.reconnects = reconnects
            self.problem = problem
        }
    }

    /// One delivery class's queue.
    package struct Queue: Codable, Hashable, Sendable {
        package var name: String
        package var messages: Int64
        package var bytes: Int64
        package var maximumBytes: Int64
        package var oldestSeconds: Double?
        package var dropped: Int64

        package init(
            name: String, messages: Int64, bytes: Int64, maximumBytes: Int64, oldestSeconds: Double?, dropped: Int64
        ) {
            self.name = name
            self.messages = messages
            self.bytes = bytes
            self.maximumBytes = maximumBytes
            self.oldestSeconds = oldestSeconds
            self.dropped = dropped
        }
    }

    package struct Sensor: Codable, Hashable, Sendable {
        package var id: String
        package var driver: String
        /// `starting`, `running` or `failed`.
        package var state: String
        package var problem: String?
        package var samples: UInt64
        package var restarts: UInt64
        package var value: String?
        package var secondsSinceValue: Double?

        package init(
            id: String, driver: String, state: String, problem: String?, samples: UInt64, restarts: UInt64,
            value: String?, secondsSinceValue: Double?
        ) {
            self.id = id
            self.driver = driver
            self.state = state
            self.problem = problem
            self.samples = samples
            self.restarts = restarts
            self.value = value
            self.secondsSinceValue = secondsSinceValue
        }
    }

    package struct Client: Codable, Hashable, Sendable {
        package var id: String
        package var address: String
        package var version: String
        package var secondsConnected: Double
        package var received: UInt64
        package var sent: UInt64

        package init(
            id: String, address: String, version: String, secondsConnected: Double, received: UInt64, sent: UInt64
        ) {
            self.id = id
            self.address = address
            self.version = version
            self.secondsConnected = secondsConnected
            self.received = received
            self.sent = sent
        }
    }

    /// What came in and what became of it, since the start.
    package struct Intake: Codable, Hashable, Sendable {
        package var received: UInt64
        package var forwarded: UInt64
        package var waiting: Int
        package var dropped: UInt64
        package var undecodable: UInt64
        package var lastFailure: String?
        /// Why messages cannot be stored right now.
        package var storeProblem: String?

        package init(
            received: UInt64, forwarded: UInt64, waiting: Int, dropped: UInt64, undecodable: UInt64,
            lastFailure: String?, storeProblem: String?
        ) {
            self.received = received
            self.forwarded = forwarded
            self.waiting = waiting
            self.dropped = dropped
            self.undecodable = undecodable
            self.lastFailure = lastFailure
            self.storeProblem = storeProblem
        }
    }

    package var gateway: String
    package var version: String
    package var uptimeSeconds: Double
    /// Where the LAN listener really listens.
    package var listening: [String]
    package var link: Link
    package var queues: [Queue]
    package var sensors: [Sensor]
    package var intake: Intake
    /// All connected clients' number; `clients` lists at most the first hundred.
    package var clientCount: Int
    package var clients: [Client]

    package init(
        gateway: String, version: String, uptimeSeconds: Double, listening: [String], link: Link, queues: [Queue],
        sensors: [Sensor], intake: Intake, clientCount: Int, clients: [Client]
    ) {
        self.gateway = gateway
        self.version = version
        self.uptimeSeconds = uptimeSeconds
        self.listening = listening
        self.link = link
        self.queues = queues
        self.sensors = sensors
        self.intake = intake
        self.clientCount = clientCount
        self.clients = clients
    }
}
