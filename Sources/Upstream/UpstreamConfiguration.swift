internal import Readings

/// The MQTT version spoken on a connection.
package enum WireVersion: String, Hashable, Sendable, CustomStringConvertible {
    case v5 = "5.0"
    case v311 = "3.1.1"

    package var description: String { rawValue }
}

/// Where the upstream is and how to speak to it.
package struct UpstreamConfiguration: Hashable, Sendable {
    /// Which MQTT version to speak.
    package enum ProtocolChoice: Hashable, Sendable {
        /// 5.0, and 3.1.1 with a broker that does not know it.
        case automatic
        /// One version only.
        case only(WireVersion)
    }

    /// Who to trust and who to be on `mqtts://` connections. The broker's certificate is always checked, its name too.
    package struct TLS: Hashable, Sendable {
        package enum Version: Hashable, Sendable {
            case v12
            case v13
        }

        /// PEM file of the authorities to trust; `nil` for the system's.
        package var authorityFile: String?
        /// PEM file of the client's certificate (chain), with `keyFile`.
        package var certificateFile: String?
        /// PEM file of the client's private key, without a passphrase.
        package var keyFile: String?
        /// The name that the broker's certificate must be for, and that is asked for (SNI); `nil` for the URL's host.
        package var serverName: String?
        /// The protocol to ask for (ALPN, RFC 7301), 1…255 bytes; `nil` for none.
        package var alpn: String?
        /// The oldest version that is spoken.
        package var minimumVersion = Version.v12

        var paths: [String] { [authorityFile, certificateFile, keyFile].compactMap(\.self) }

        package init(authorityFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil) {
            self.authorityFile = authorityFile
            self.certificateFile = certificateFile
            self.keyFile = keyFile
        }
    }

    /// When a message has to go over which the broker closes the connection without a word: at the `count`th time, and
    /// not before `time` has passed since the first.
    package struct ClosePatience: Hashable, Sendable {
        package var count = 20
        package var time = Duration.seconds(300)

        package init(count: Int = 20, time: Duration = .seconds(300)) { (self.count, self.time) = (count, time) }
    }

    /// At least one; several are tried in turn, starting with the first after every stable connection.
    package var addresses: [UpstreamAddress]
    /// Connected to a later one for this long, those before it are tried beside the connection that there is.
    package var returnAfter = Duration.seconds(300)
    /// Must stay the same across restarts: the broker keeps commands for it while we are away. At most 65,535 bytes;
    /// empty: the broker gives one (5.0 only), which is kept while the process lives.
    package var clientIdentifier: String
    package var username: String?
    package var password: Secret?
    package var tls = TLS()
    package var protocolChoice = ProtocolChoice.automatic
    package var closePatience = ClosePatience()
    /// Retained `online` and `offline` are published here (birth and will). A valid topic name.
    package var stateTopic: String
    /// Topic filters to receive, the more important ones first: of those that overlap, the first counts. With none, no
    /// session is kept on the broker.
    package var subscriptions: [String]
    /// A file that keeps which filters the broker was last asked for, so that those of earlier settings are given up;
    /// `nil` for none.
    package var subscriptionFile: String?

    /// Messages claimed from the outbox and not removed yet, 1…65,535: the most that a crash can duplicate. On the
    /// network there are no more of them than this and than the broker's receive maximum.
    package var window = 400
    /// While acknowledgements take long, no more are: what is urgent would wait behind them.
    private static let slowWindow = 100
    /// As long as this, on the way and back.
    static let slowLatency = Duration.milliseconds(50)
    /// What of a window may be used.
    /// - Parameter isQuick: the last acknowledgement was.
    static func usable(_ window: Int, isQuick: Bool) -> Int { isQuick ? window : min(window, slowWindow) }
    /// Bytes of the topics and payloads of those; a larger message still goes, alone.
    package var windowBytes = 4 << 20
    /// 5 s…65,535 s. A broker that falls silent on an idle link is noticed within twice this.
    package var keepAlive = Duration.seconds(10)
    /// How long the resolver may take. One that blocks for longer stops nothing but this attempt.
    package var resolveTimeout = Duration.seconds(15)
    /// How long one of several addresses may take to accept the connection.
    package var reachTimeout = Duration.seconds(5)
    /// From the start of an attempt to the broker's CONNACK.
    package var connectTimeout = Duration.seconds(20)
    /// With something on its way, no PUBACK for this long makes the link suspect.
    package var suspectAfter = Duration.seconds(3)
    /// With something on its way, no PUBACK for this long takes the link down.
    package var progressTimeout = Duration.seconds(10)
    /// When nothing has been acknowledged for this long, a message of no account is published to ``canaryTopic``, so
    /// that a broker, or a line, that is there no more is noticed; `nil` for never. An idle link that is half open is
    /// noticed within this and ``progressTimeout``.
    package var canaryInterval: Duration? = .seconds(5)
    /// A valid topic name.
    package var canaryTopic: String
    /// Shortest and longest pause between attempts, jitter included.
    package var reconnectDelay = Duration.seconds(1)...Duration.seconds(60)
    /// A connection that held this long counts as stable: the next pause is short again.
    package var stableAfter = Duration.seconds(30)
    /// How long the broker keeps our subscriptions and commands while we are away (5.0 only; a 3.1.1 broker decides).
    package var sessionExpiry = Duration.seconds(3600)
    /// The largest packet we accept from the broker (announced with 5.0; with 3.1.1 a larger message is discarded).
    package var maximumIncomingBytes = 1 << 20
    /// Messages and bytes per second of a backlog, at most; `nil` for as much as the upstream takes.
    package var replayRate: Double?
    package var replayBandwidth: Double?
    /// How often the files of certificates are looked at while the link is up.
    package var certificateInterval = Duration.seconds(5)
    /// The link's thread hangs in a call for this long: another one takes its place.
    package var stuckAfter = Duration.seconds(30)
    /// What ``UpstreamLink/run()`` gives the messages in flight when its task is cancelled.
    package var drainTimeout = Duration.seconds(2)

    /// How long the gateway may take to confirm what came from upstream before it is acknowledged all the same: while it
    /// is held back, nothing goes up, and the broker's silence is not to blame.
    var holdPatience: Duration { min(.seconds(4), progressTimeout / 2) }

    var machinePolicy: LinkMachine.Policy {
        LinkMachine.Policy(
            resolveTimeout: resolveTimeout, reachTimeout: reachTimeout, connectTimeout: connectTimeout,
            suspectAfter: min(suspectAfter, progressTimeout), progressTimeout: progressTimeout,
            reconnectDelay: reconnectDelay, stableAfter: stableAfter)
    }

    var replayLimits: ReplayGovernor.Limits {
        ReplayGovernor.Limits(messagesPerSecond: replayRate, bytesPerSecond: replayBandwidth)
    }

    package init(
        addresses: [UpstreamAddress], clientIdentifier: String, stateTopic: String, subscriptions: [String] = []
    ) {
        precondition(!addresses.isEmpty, "an upstream has at least one address: the settings require it")
        self.addresses = addresses
        self.clientIdentifier = clientIdentifier
        self.stateTopic = stateTopic
        canaryTopic = "\(stateTopic)/canary"
        self.subscriptions = subscriptions
    }
}
