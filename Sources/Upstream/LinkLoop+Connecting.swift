internal import CMosquitto
internal import Glibc
internal import Logging
internal import Readings

/// From the next address to a connection that is subscribed.
extension LinkLoop {
    func dial() {
        let now = time.now().instant
        snapshot.address = plan.url
        snapshot.version = plan.version
        switch plan.next() {
        case .resolve(let url):
            machine.resolving(now: now)
            attempt { () throws(LinkFault) in try resolver.lookUp(url.host) }
        case .connect(let url, let host):
            machine.connecting(now: now, hasOthers: plan.hasOthers)
            attempt { () throws(LinkFault) in current = try connect(url, host: host, version: plan.version) }
        }
        publishSnapshot()
    }

    /// Begins a connection to one address.
    /// - Parameter isRenewal: it is made for the sake of the certificates in the files.
    func connect(
        _ url: UpstreamAddress, host: String, version: WireVersion, isRenewal: Bool = false
    ) throws(LinkFault) -> LinkConnection {
        logger.debug(
            "connecting to the upstream",
            metadata: ["url": "\(url.withPort)", "address": "\(host)", "version": "\(version)"])
        var tls: ClientTLS?
        if url.transport == .tls {
            let prepared = try isRenewal ? self.tls.renewed() : self.tls.client()
            let seconds = time.now().unixNanoseconds / 1_000_000_000
            try prepared.expect(configuration.tls.serverName ?? url.host, unixSeconds: seconds)
            tls = prepared
        }
        let client = try MosquittoClient(
            configuration, address: url, version: version,
            identifier: configuration.clientIdentifier.isEmpty
                ? assignedIdentifier ?? "" : configuration.clientIdentifier, tls: tls)
        let connection = LinkConnection(
            client, url: url, host: host, holdPatience: configuration.holdPatience, now: time.now().instant)
        do throws(LinkFault) {
            try client.connect(configuration, host: host)
        } catch {
            note(error, of: connection)
            throw error
        }
        return connection
    }

    /// The broker has answered the CONNECT of `connection`.
    /// - Throws: when it said no.
    func check(_ answer: MosquittoEvents.Answer, _ client: MosquittoClient) throws(LinkFault) {
        guard answer.code == 0 else {
            throw .refused(client.address, ConnectRefusal(code: answer.code, version: client.version))
        }
        guard answer.supportsQoS1 else { throw .refused(client.address, .qosNotSupported) }
    }

    /// `connection` is the one that there is, from now on.
    func begin(_ connection: LinkConnection, _ answer: MosquittoEvents.Answer) throws(LinkFault) {
        let client = connection.client
        plan.answered()
        if let tls = client.tls { self.tls.accepted(tls) }
        client.ignoreLog()
        if let socket = client.socket {
            let timeout = configuration.progressTimeout + .seconds(5)
            cmosquitto_user_timeout(socket, UInt32(clamping: timeout.wholeNanoseconds / 1_000_000))
        }
        let now = time.now().instant
        connection.takeNumber()
        connection.lastAcknowledged = now
        connection.window = max(1, min(configuration.window, answer.receiveMaximum ?? .max))
        connection.maximumPacketBytes = answer.maximumPacketBytes
        if let identifier = answer.assignedIdentifier { assignedIdentifier = identifier }
        current = connection
        trialPlan.connected(now: now)
        snapshot.address = connection.url
        snapshot.version = client.version
        snapshot.peer = connection.host
        snapshot.connections += 1
        snapshot.certificateExpiry = client.tls?.expiry
        snapshot.brokerCertificateExpiry = client.serverExpiry
        snapshot.refusedSubscriptions = []
        connection.birth = (try publishState(LinkState.online, on: connection), now)
        try subscribe(connection, answer)
        var metadata: Logger.Metadata = [
            "url": "\(client.address.withPort)", "address": "\(connection.host)", "version": "\(client.version)",
        ]
        if let downSince { metadata["was_down"] = "\((now - downSince).roundedText)" }
        logger.notice("the upstream link is up", metadata: metadata)
        (upSince, downSince) = (now, nil)
        toldFaults = [:]
        publishReport { $0.connection = connection.number }
    }

    /// Subscribes to what the settings want, and gives up what earlier settings wanted.
    private func subscribe(_ connection: LinkConnection, _ answer: MosquittoEvents.Answer) throws(LinkFault) {
        gate.connected(
            connection.client.version, isSessionPresent: answer.isSessionPresent, now: time.now().instant)
        let broker = "\(configuration.clientIdentifier)@\(connection.url)"
        let known = answer.isSessionPresent ? subscriptionFile.filters(of: broker) : []
        let stale = known.filter { !gate.filters.contains($0) }
        // Before the broker is asked: whatever happens then, the file names all that it may hold.
        subscriptionFile.set(gate.filters + stale, of: broker)
        for filter in stale { connection.unsubscribing[try connection.client.unsubscribe(filter)] = filter }
        for filter in gate.filters {
            let identifier = answer.supportsSubscriptionIdentifiers ? gate.identifier(of: filter) : nil
            connection.subscribing[try connection.client.subscribe(filter, identifier: identifier)] = filter
        }
    }

    /// The broker has taken back a filter of earlier settings.
    func unsubscribed(_ packetIdentifier: Int32, on connection: LinkConnection) {
        guard let filter = connection.unsubscribing.removeValue(forKey: packetIdentifier) else { return }
        logger.info("gave up an upstream subscription of earlier settings", metadata: ["filter": "\(filter)"])
        let broker = "\(configuration.clientIdentifier)@\(connection.url)"
        if connection.unsubscribing.isEmpty { subscriptionFile.set(gate.filters, of: broker) }
    }

    /// What a failure says about the files and versions that the next attempt uses.
    func note(_ fault: LinkFault, of connection: LinkConnection) {
        if case .tls = fault, let tls = connection.client.tls { self.tls.refused(tls, fault) }
    }
}
