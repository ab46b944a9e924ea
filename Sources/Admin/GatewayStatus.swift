/// Everything `tidegate status` shows, as one snapshot. Ages are seconds on the boot clock, so that a wall clock that
/// jumped does not make a healthy link look old.
package struct GatewayStatus: Codable, Hashable, Sendable {
    /// The upstream link.
    package struct Link: Codable, Hashable, Sendable {
        /// `resolving`, `connecting`, `authenticated`, `confirmed`, `suspect`, `down` (until the next try), `starting`,
        /// `stopping`, `stopped` or `not configured`. Whether it is connected is what ``secondsSinceConfirmation`` says.
        package var state: String
        /// The broker has let us in.
        package var isUp: Bool { ["authenticated", "confirmed", "suspect"].contains(state) }
        package var url: String
        package var secondsInState: Double
        /// Since the upstream last confirmed anything end to end; absent before the first time.
        package var secondsSinceConfirmation: Double?
        package var inFlight: Int
        package var published: UInt64
        package var acknowledged: UInt64
        package var refused: UInt64
        package var reconnects: UInt64
        /// Messages that came from upstream.
        package var received: UInt64
        /// Messages that had been at this gateway before, and went no further.
        package var looped: UInt64
        /// Of the URL's host, the address that was last connected to.
        package var address: String?
        /// The MQTT version tried or spoken.
        package var version: String?
        /// Days until the certificates of the connection end: the gateway's own, and the broker's.
        package var certificateDays: Double?
        package var brokerCertificateDays: Double?
        /// Why the link is not up, and what to do about it; absent while it is.
        package var problem: String?

        package init(
            state: String, url: String, secondsInState: Double, secondsSinceConfirmation: Double?, inFlight: Int,
            published: UInt64, acknowledged: UInt64, refused: UInt64, reconnects: UInt64, received: UInt64 = 0,
            looped: UInt64 = 0, address: String? = nil, version: String? = nil, certificateDays: Double? = nil,
            brokerCertificateDays: Double? = nil, problem: String?
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
            self.received = received
            self.looped = looped
            self.address = address
            self.version = version
            self.certificateDays = certificateDays
            self.brokerCertificateDays = brokerCertificateDays
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
        /// Messages that the upstream will never take; kept beside the queue.
        package var setAside: Int64
        /// What came in over the last minutes.
        package var messagesPerSecond: Double
        package var bytesPerSecond: Double
        /// How long an outage may last, at that rate, before messages are lost; absent while nothing comes.
        package var secondsLeft: Double?
        /// How long what is stored takes to leave at the present rate; absent while it does not become less.
        package var secondsToDrain: Double?

        package init(
            name: String, messages: Int64, bytes: Int64, maximumBytes: Int64, oldestSeconds: Double?, dropped: Int64,
            setAside: Int64 = 0, messagesPerSecond: Double = 0, bytesPerSecond: Double = 0, secondsLeft: Double? = nil,
            secondsToDrain: Double? = nil
        ) {
            self.name = name
            self.messages = messages
            self.bytes = bytes
            self.maximumBytes = maximumBytes
            self.oldestSeconds = oldestSeconds
            self.setAside = setAside
            self.dropped = dropped
            self.messagesPerSecond = messagesPerSecond
            self.bytesPerSecond = bytesPerSecond
            self.secondsLeft = secondsLeft
            self.secondsToDrain = secondsToDrain
        }
    }

    package struct Sensor: Codable, Hashable, Sendable {
        /// One of its values.
        package struct Reading: Codable, Hashable, Sendable {
            /// Absent where the sensor has only one.
            package var metric: String?
            /// "21.4 Cel".
            package var value: String
            /// `good`, `uncertain`, `bad` or `stale`.
            package var quality: String
            /// Why the quality is not good.
            package var why: String?
            package var secondsSinceValue: Double

            package init(metric: String?, value: String, quality: String, why: String?, secondsSinceValue: Double) {
                self.metric = metric
                self.value = value
                self.quality = quality
                self.why = why
                self.secondsSinceValue = secondsSinceValue
            }
        }

        /// Something that the driver counts.
        package struct Counter: Codable, Hashable, Sendable {
            package var name: String
            package var value: UInt64

            package init(name: String, value: UInt64) {
                self.name = name
                self.value = value
            }
        }

        package var id: String
        package var driver: String
        package var topic: String
        /// `starting`, `running` or `failed`.
        package var state: String
        package var problem: String?
        package var samples: UInt64
        /// What came and could not be delivered.
        package var dropped: UInt64
        package var restarts: UInt64
        /// Absent where it takes no commands.
        package var commandTopic: String?
        package var commands: UInt64
        package var refusedCommands: UInt64
        package var lastRefusal: String?
        package var counters: [Counter]
        /// How far this board's clock was ahead of the time that the sensor last told, as a GPS does; in seconds.
        package var clockAheadSeconds: Double?
        /// The newest of its values.
        package var value: String?
        package var secondsSinceValue: Double?
        package var readings: [Reading]

        package init(
            id: String, driver: String, topic: String, state: String, problem: String? = nil, samples: UInt64 = 0,
            dropped: UInt64 = 0, restarts: UInt64 = 0, commandTopic: String? = nil, commands: UInt64 = 0,
            refusedCommands: UInt64 = 0, lastRefusal: String? = nil, counters: [Counter] = [],
            clockAheadSeconds: Double? = nil, readings: [Reading] = []
        ) {
            self.id = id
            self.driver = driver
            self.topic = topic
            self.state = state
            self.problem = problem
            self.samples = samples
            self.dropped = dropped
            self.restarts = restarts
            self.commandTopic = commandTopic
            self.commands = commands
            self.refusedCommands = refusedCommands
            self.lastRefusal = lastRefusal
            self.counters = counters
            self.clockAheadSeconds = clockAheadSeconds
            self.readings = readings
            let newest = readings.min { $0.secondsSinceValue < $1.secondsSinceValue }
            value = newest?.value
            secondsSinceValue = newest?.secondsSinceValue
        }
    }

    package struct Client: Codable, Hashable, Sendable {
        package var id: String
        /// Absent for one that nobody asked for its name.
        package var user: String?
        package var address: String
        package var version: String
        package var secondsConnected: Double
        package var received: UInt64
        package var sent: UInt64

        package init(
            id: String, user: String?, address: String, version: String, secondsConnected: Double, received: UInt64,
            sent: UInt64
        ) {
            self.id = id
            self.user = user
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
        /// What happened to the outbox's file since the start: one line each. Nothing that is wrong now.
        package var storeNotes: [String]?
        /// Bytes left on the disk, when they are so few that new messages take the place of old ones.
        package var shortOfSpace: Int64?

        package init(
            received: UInt64, forwarded: UInt64, waiting: Int, dropped: UInt64, undecodable: UInt64,
            lastFailure: String?, storeProblem: String?, shortOfSpace: Int64? = nil
        ) {
            self.shortOfSpace = shortOfSpace
            self.received = received
            self.forwarded = forwarded
            self.waiting = waiting
            self.dropped = dropped
            self.undecodable = undecodable
            self.lastFailure = lastFailure
            self.storeProblem = storeProblem
        }
    }

    /// The LAN listener as a whole; counts since the start.
    package struct Lan: Codable, Hashable, Sendable {
        package var users: Int
        /// Access rules.
        package var rules: Int
        /// Connected or not.
        package var sessions: Int
        package var subscriptions: Int
        package var retained: Int
        /// CONNECTs that were refused, for whatever reason, and among them failed logins and too many from one address.
        package var refused: UInt64
        package var refusedLogins: UInt64
        package var refusedAddresses: UInt64
        /// Publishes and subscriptions that no rule allows.
        package var denied: UInt64
        /// Subscriptions and retained messages for which there was no room.
        package var refusedSubscriptions: UInt64
        package var refusedRetained: UInt64
        /// Connections closed for breaking the protocol.
        package var violations: UInt64
        /// Connections closed because they never introduced themselves.
        package var silent: UInt64
        /// Messages for slow or absent clients that were given up on.
        package var dropped: UInt64
        /// What is wrong right now, and what to do about it.
        package var problem: String?
        /// What the access rules deny most, the most frequent first.
        package var denials: [Denial]?
        /// The topics that devices publish to most and that no forward rule takes.
        package var topicsWithoutRule: [TopicCount]?

        package struct Denial: Codable, Hashable, Sendable {
            /// Absent for clients that gave no user name.
            package var user: String?
            /// "publish to" or "subscribe to".
            package var action: String
            package var topic: String
            package var count: UInt64

            package init(user: String?, action: String, topic: String, count: UInt64) {
                self.user = user
                self.action = action
                self.topic = topic
                self.count = count
            }
        }

        package struct TopicCount: Codable, Hashable, Sendable {
            package var topic: String
            package var count: UInt64

            package init(topic: String, count: UInt64) {
                self.topic = topic
                self.count = count
            }
        }

        package init(
            users: Int, rules: Int, sessions: Int, subscriptions: Int, retained: Int, refused: UInt64,
            refusedLogins: UInt64, refusedAddresses: UInt64, denied: UInt64, refusedSubscriptions: UInt64,
            refusedRetained: UInt64, violations: UInt64, silent: UInt64, dropped: UInt64, problem: String?
        ) {
            self.users = users
            self.rules = rules
            self.sessions = sessions
            self.subscriptions = subscriptions
            self.retained = retained
            self.refused = refused
            self.refusedLogins = refusedLogins
            self.refusedAddresses = refusedAddresses
            self.denied = denied
            self.refusedSubscriptions = refusedSubscriptions
            self.refusedRetained = refusedRetained
            self.violations = violations
            self.silent = silent
            self.dropped = dropped
            self.problem = problem
        }
    }

    package var gateway: String
    package var version: String
    /// The gateway's own.
    package var processID: Int?
    /// What of the settings is not in use, and why.
    package var settingsProblems: [String]?
    package var uptimeSeconds: Double
    /// The wall clock is trusted; what is read while it is not gets its time later, where that is possible.
    package var clockIsTrusted: Bool
    /// RFC 3339, in UTC.
    package var clock: String
    /// Bytes that this process had written to the disk since its start; absent where the kernel does not say.
    package var flashBytes: UInt64?
    /// The same for a day, and for each message received, on average since the start.
    package var flashBytesPerDay: Double?
    package var flashBytesPerMessage: Double?
    /// Every part that the supervisor runs.
    package var parts: [Part] = []
    /// Where the LAN listener really listens.
    package var listening: [String]
    package var link: Link
    package var queues: [Queue]
    package var sensors: [Sensor]
    package var intake: Intake
    package var lan: Lan
    /// All connected clients' number; `clients` lists at most the first hundred.
    package var clientCount: Int
    package var clients: [Client]

    package init(
        gateway: String, version: String, uptimeSeconds: Double, clockIsTrusted: Bool = true, clock: String = "",
        listening: [String], link: Link, queues: [Queue], sensors: [Sensor], intake: Intake, lan: Lan,
        clientCount: Int, clients: [Client]
    ) {
        self.clockIsTrusted = clockIsTrusted
        self.clock = clock
        self.gateway = gateway
        self.version = version
        self.uptimeSeconds = uptimeSeconds
        self.listening = listening
        self.link = link
        self.queues = queues
        self.sensors = sensors
        self.intake = intake
        self.lan = lan
        self.clientCount = clientCount
        self.clients = clients
    }
}
