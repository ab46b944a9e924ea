internal import CMosquitto
internal import Readings

/// Which of the messages that come from upstream are for us, and new. Pure: time is a parameter.
///
/// It keeps out what an earlier configuration subscribed to, second copies where subscriptions overlap, our own
/// messages that come back, and retained messages that a new session brings once more though nothing has changed.
struct ArrivalGate: Sendable {
    enum Verdict: Hashable, Sendable {
        case accepted
        /// On no filter of ours.
        case unwanted
        /// The same message comes, or has come, for another subscription.
        case repeated
        /// It has been here before: a loop.
        case looped
        /// A retained message that is as it was.
        case unchanged
        /// The gateway's own state or canary: with 3.1.1 a broker sends them back, or has stored them.
        case own
    }

    /// Retained messages that come so soon after the subscription are taken for stored ones.
    private static let replayTime = Duration.seconds(10)
    /// Messages that come so soon after a session was taken up again are taken for those that it kept.
    private static let queueTime = Duration.seconds(10)
    /// Topics whose last message is remembered; what exceeds it is always new.
    private static let topicLimit = 10_000

    /// What to subscribe to, in the order of the settings.
    let filters: [String]
    /// Where the gateway publishes its state and its canary.
    private let ownTopics: Set<String>
    /// Whether an epoch is one of this gateway's.
    private let isOwn: @Sendable (String) -> Bool

    // Of the present connection.
    private var version = WireVersion.v5
    /// Until when retained messages are taken for stored ones.
    private var replayEnd = Instant(nanoseconds: .min)
    private var queueEnd = Instant(nanoseconds: .min)
    private var refused: Set<Int> = []

    /// Each topic's last message.
    private var last: [String: Int] = [:]
    /// How many messages of each topic have come on this connection, while retained ones are taken for stored ones.
    private var replayed: [String: Int] = [:]
    private var echoes = EchoFilter()

    /// - Parameter isOwn: whether an epoch is one of this gateway's.
    init(filters: [String], ownTopics: Set<String> = [], isOwn: @escaping @Sendable (String) -> Bool) {
        self.filters = filters
        self.ownTopics = ownTopics
        self.isOwn = isOwn
    }

    // MARK: Connections

    /// - Parameter isSessionPresent: the broker knows our subscriptions. With 5.0 it then sends nothing that is stored.
    mutating func connected(_ version: WireVersion, isSessionPresent: Bool, now: Instant) {
        self.version = version
        replayEnd = isSessionPresent && version == .v5 ? now : now + Self.replayTime
        queueEnd = isSessionPresent ? now + Self.queueTime : now
        refused = []
        replayed = [:]
        echoes.connected(isSessionPresent: isSessionPresent && version == .v311, now: now)
    }

    /// Whether it may be older than its arrival. Retained messages say so themselves, as the version has it.
    func mayHaveWaited(_ arrival: UpstreamArrival, now: Instant) -> Bool { arrival.retain || now < queueEnd }

    /// The broker does not let us subscribe to it: what it would match comes, if at all, for another one.
    mutating func wasRefused(_ filter: String) {
        if let position = filters.firstIndex(of: filter) { refused.insert(position) }
    }

    /// Its number on the wire (5.0 §3.8.2.1.2).
    func identifier(of filter: String) -> UInt32? { filters.firstIndex(of: filter).map { UInt32($0 + 1) } }

    // MARK: Messages

    /// A message of ours has gone out. Matters only to 3.1.1, which has no No Local.
    mutating func sent(_ topic: String, _ payload: [UInt8], packetIdentifier: Int32, now: Instant) {
        guard version == .v311, position(of: topic) != nil else { return }
        echoes.sent(topic, key: Self.key(topic, payload), packetIdentifier: packetIdentifier, now: now)
    }

    /// The broker has acknowledged a message of ours.
    mutating func acknowledged(_ packetIdentifier: Int32, now: Instant) {
        echoes.acknowledged(packetIdentifier, now: now)
    }

    mutating func judge(_ incoming: MosquittoEvents.Incoming, now: Instant) -> Verdict {
        let arrival = incoming.arrival
        guard let position = position(of: arrival.topic) else { return .unwanted }
        if isRepeated(incoming, position) { return .repeated }
        if version == .v311, ownTopics.contains(arrival.topic) { return .own }
        if arrival.properties?.hasPassed(isOwn) == true { return .looped }
        let key = Self.key(arrival.topic, arrival.payload)
        if version == .v311, echoes.isEcho(arrival.topic, key: key, now: now) { return .looped }
        if arrival.retain, isReplay(arrival.topic, now: now), last[arrival.topic] == key { return .unchanged }
        if last[arrival.topic] != nil || last.count < Self.topicLimit { last[arrival.topic] = key }
        return .accepted
    }

    /// Whether it came for another filter than the first that it matches, so that another copy comes for that one.
    ///
    /// A number that says nothing of the kind is of earlier settings: the broker has kept the message since then.
    private func isRepeated(_ incoming: MosquittoEvents.Incoming, _ position: Int) -> Bool {
        guard !incoming.subscriptions.isEmpty, !incoming.subscriptions.contains(UInt32(position + 1)) else {
            return false
        }
        return incoming.subscriptions.contains { number in
            let other = Int(number) - 1
            return filters.indices.contains(other) && matches(other, incoming.arrival.topic)
        }
    }

    /// The first filter that the topic matches and that we are subscribed to.
    private func position(of topic: String) -> Int? { filters.indices.first { matches($0, topic) } }

    private func matches(_ position: Int, _ topic: String) -> Bool {
        guard !refused.contains(position) else { return false }
        var matches = false
        return mosquitto_topic_matches_sub(filters[position], topic, &matches) == MOSQ_ERR_SUCCESS.intValue && matches
    }

    /// Whether the broker has stored a retained message and sends it for a new subscription: once for each that matches,
    /// before what is published now.
    private mutating func isReplay(_ topic: String, now: Instant) -> Bool {
        guard now < replayEnd, replayed[topic] != nil || replayed.count < Self.topicLimit else { return false }
        let count = replayed[topic, default: 0]
        replayed[topic] = count + 1
        return count < filters.indices.count { matches($0, topic) }
    }

    private static func key(_ topic: String, _ payload: [UInt8]) -> Int {
        var hasher = Hasher()
        hasher.combine(topic)
        payload.withUnsafeBytes { hasher.combine(bytes: $0) }
        return hasher.finalize()
    }
}
