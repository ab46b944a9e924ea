/// What the next connection attempt tries: which address, which IP family, which MQTT version. Pure.
struct DialPlan: Sendable {
    private let addresses: [UpstreamAddress]
    private let choice: UpstreamConfiguration.ProtocolChoice
    /// The version that the next attempt speaks.
    private(set) var version: WireVersion
    /// An answer has proved that `version` is understood.
    private var isVersionKnown = false
    private var closes = 0

    init(addresses: [UpstreamAddress], choice: UpstreamConfiguration.ProtocolChoice) {
        precondition(!addresses.isEmpty, "an upstream has at least one address")
        self.addresses = addresses
        self.choice = choice
        switch choice {
        case .automatic: version = .v5
        case .only(let version): self.version = version
        }
    }

    /// Addresses take turns as failures add up.
    func address(failures: Int) -> UpstreamAddress { addresses[failures % addresses.count] }

    /// Whether to leave IPv6 aside this time. libmosquitto tries one address of a name without blocking, IPv6 first:
    /// behind a router that announces IPv6 and loses its packets it would never get through.
    func isIPv4Only(failures: Int) -> Bool {
        !address(failures: failures).isIPv6Literal && failures / addresses.count % 2 == 1
    }

    /// The broker said that it does not know the version.
    mutating func refusedVersion() {
        isVersionKnown = false
        switchVersion()
    }

    /// The broker answered in the version spoken.
    mutating func answered() {
        isVersionKnown = true
        closes = 0
    }

    /// The connection was closed without a CONNACK, as some old brokers do on a version they do not know, and as
    /// proxies do when their broker is down. 5.0 gets two attempts for each of 3.1.1; a version that once was
    /// understood is kept.
    mutating func closedBeforeAnswer() {
        guard !isVersionKnown else { return }
        closes += 1
        if version == .v311 || closes % 3 == 2 { switchVersion() }
    }

    private mutating func switchVersion() {
        guard choice == .automatic else { return }
        version = version == .v5 ? .v311 : .v5
    }
}
