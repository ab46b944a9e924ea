/// Where the next connection attempt goes: which URL, which of its host's addresses, which MQTT version. Pure.
///
/// A round goes through the URLs in their order and through all addresses of each. A new round begins with the first
/// URL, unless the connection before was made and did not hold: then the others have their turn first.
struct DialPlan: Sendable {
    enum Step: Hashable, Sendable {
        /// Ask the resolver for the host's addresses, and tell ``resolved(_:)``.
        case resolve(UpstreamAddress)
        /// Connect to `host`, one of the addresses of the URL's host.
        case connect(UpstreamAddress, host: String)
    }

    private var urls: [UpstreamAddress]
    private var versions: [VersionPlan]
    /// Which URL it is the turn of.
    private(set) var position = 0
    /// How many URLs have had their turn in this round.
    private var tried = 0
    /// Of the URL's host, those that have not been tried in this round; `nil` before the resolver has answered.
    private var untried: [String]?
    private var current: String?
    /// The broker was asked in the other version already, at this address.
    private var hasSwitched = false

    init(urls: [UpstreamAddress], choice: UpstreamConfiguration.ProtocolChoice) {
        precondition(!urls.isEmpty, "an upstream has at least one URL")
        self.urls = urls
        versions = urls.map { _ in VersionPlan(choice) }
    }

    var url: UpstreamAddress { urls[position] }
    /// The version that the next attempt speaks.
    var version: WireVersion { versions[position].version }
    /// A round has more to try after the present attempt.
    var hasOthers: Bool { untried?.isEmpty == false || tried + 1 < urls.count }

    /// The URLs that go before the one of the present connection, for a trial.
    var preferred: [UpstreamAddress] { Array(urls[..<position]) }

    /// A plan for them alone.
    var forPreferred: DialPlan? {
        guard position > 0 else { return nil }
        var plan = self
        plan.urls = preferred
        plan.versions = Array(versions[..<position])
        (plan.position, plan.tried, plan.untried, plan.current, plan.hasSwitched) = (0, 0, nil, nil, false)
        return plan
    }

    /// Takes over what such a plan has found out about versions.
    mutating func learn(from plan: DialPlan) {
        for (index, version) in plan.versions.enumerated() where plan.urls[index] == urls[index] {
            versions[index] = version
        }
    }

    /// What to do now.
    mutating func next() -> Step {
        if untried == nil, url.isLiteral { untried = [url.host] }
        if untried?.isEmpty == false, let host = untried?.removeFirst() {
            current = host
            hasSwitched = false
            return .connect(url, host: host)
        }
        if let current { return .connect(url, host: current) }
        return .resolve(url)
    }

    /// The resolver has found the host's addresses, in its order of preference; at least one.
    ///
    /// The families take turns (RFC 8305, section 4): behind a router that announces one and loses its packets, the
    /// other one is not the last to be tried.
    mutating func resolved(_ hosts: [String]) {
        guard let first = hosts.first else { return }
        let isV6 = first.contains(":")
        var preferred = hosts.filter { $0.contains(":") == isV6 }[...]
        var others = hosts.filter { $0.contains(":") != isV6 }[...]
        var order: [String] = []
        while !preferred.isEmpty || !others.isEmpty {
            if let host = preferred.popFirst() { order.append(host) }
            if let host = others.popFirst() { order.append(host) }
        }
        untried = order
        current = nil
    }

    /// The attempt, or the question to the resolver, failed.
    /// - Returns: whether the round goes on.
    mutating func failed() -> Bool {
        current = nil
        if untried?.isEmpty == false { return true }
        untried = nil
        tried += 1
        position = (position + 1) % urls.count
        if tried < urls.count { return true }
        tried = 0
        position = 0
        return false
    }

    /// The connection that was made is gone.
    mutating func lost(wasStable: Bool) {
        (current, untried, tried) = (nil, nil, 0)
        position = wasStable ? 0 : (position + 1) % urls.count
    }

    /// A connection to a URL that goes before has taken over.
    mutating func handedOver(to url: UpstreamAddress) {
        position = urls.firstIndex(of: url) ?? position
        (current, untried, tried) = (nil, nil, 0)
    }

    /// The broker said that it does not know the version.
    /// - Returns: whether to try the other one at the same address.
    mutating func refusedVersion() -> Bool {
        defer { hasSwitched = true }
        return versions[position].refused() && !hasSwitched
    }

    /// The broker answered in the version spoken.
    mutating func answered() { versions[position].answered() }

    mutating func closedBeforeAnswer() { versions[position].closedBeforeAnswer() }
}

/// Which MQTT version to speak to one broker. Pure.
struct VersionPlan: Sendable {
    private let choice: UpstreamConfiguration.ProtocolChoice
    private(set) var version: WireVersion
    /// An answer has proved that `version` is understood.
    private var isKnown = false
    private var closes = 0

    init(_ choice: UpstreamConfiguration.ProtocolChoice) {
        self.choice = choice
        switch choice {
        case .automatic: version = .v5
        case .only(let version): self.version = version
        }
    }

    /// - Returns: whether there is another one to try.
    mutating func refused() -> Bool {
        isKnown = false
        change()
        return choice == .automatic
    }

    mutating func answered() {
        isKnown = true
        closes = 0
    }

    /// The connection was closed without a CONNACK, as some old brokers do on a version they do not know, and as
    /// proxies do when their broker is down. 5.0 gets two attempts for each of 3.1.1; a version that once was
    /// understood is kept.
    mutating func closedBeforeAnswer() {
        guard !isKnown else { return }
        closes += 1
        if version == .v311 || closes % 3 == 2 { change() }
    }

    private mutating func change() {
        guard choice == .automatic else { return }
        version = version == .v5 ? .v311 : .v5
    }
}
