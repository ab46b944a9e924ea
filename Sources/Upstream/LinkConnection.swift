internal import Outbox
internal import Readings
internal import Synchronization

/// One client of libmosquitto's, and what is on its way through it. Not Sendable: whose turn of the link it is, uses it.
final class LinkConnection {
    let client: MosquittoClient
    /// The URL and the address of its host that the client connects to.
    let url: UpstreamAddress
    let host: String
    /// Names it to the link's task once the broker has let us in: no two connections of the process have the same, also
    /// when one thread has taken another's place.
    private(set) var number: UInt64 = 0
    private static let numbers = Atomic<UInt64>(0)
    /// How many messages may be on their way: often less than the configuration's window, since mosquitto's receive
    /// maximum is 20. The task claims ahead of it, so that the pipe stays full during a commit.
    var window = 0
    /// The last acknowledgement was: the whole window may be used.
    var isQuick = false
    var maximumPacketBytes: Int?
    var ready: [OutboxStore.Claimed] = []
    var inFlight = InFlight()
    var birth: (packetIdentifier: Int32, published: Instant)?
    var canary: (packetIdentifier: Int32, published: Instant)?
    /// When the last one was published, where the broker said no to it: it may close the connection next.
    var refusedCanary: Instant?
    var offlineNotice: Int32?
    var subscribing: [Int32: String] = [:]
    var unsubscribing: [Int32: String] = [:]
    /// When the broker last acknowledged anything.
    var lastAcknowledged: Instant
    /// When a batch was published last.
    var lastSent: Instant
    var nextKeepAlive: Instant
    /// What the broker gets no acknowledgement for yet.
    var hold: AcknowledgementHold
    /// What went wrong while another thread than the link's published: to be dealt with by that one.
    var failure: LinkFault?

    init(_ client: MosquittoClient, url: UpstreamAddress, host: String, holdPatience: Duration, now: Instant) {
        self.client = client
        self.url = url
        self.host = host
        lastAcknowledged = now
        lastSent = now
        nextKeepAlive = now + .seconds(1)
        hold = AcknowledgementHold(patience: holdPatience)
    }

    func takeNumber() { number = Self.numbers.wrappingAdd(1, ordering: .relaxed).newValue }

    /// The broker has let us in.
    var isAnswered: Bool { client.events.answer?.code == 0 }

    /// Since when nothing that waits for a PUBACK has got one; `nil` while nothing waits.
    func oldestUnacknowledged(now: Instant) -> Instant? {
        let waiting = [inFlight.oldest?.published, birth?.published, canary?.published].compactMap(\.self)
        guard let oldest = waiting.min() else { return ready.isEmpty ? nil : now }
        return max(oldest, lastAcknowledged)
    }
}
