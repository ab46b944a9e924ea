import Logging
import MQTT
import NIOCore
import NIOSSL

/// From CONNECT to CONNACK (MQTT 5.0 §3.1, §3.2, §4.12): who it is, whether there is room, and which session is its.
extension BrokerCore {
    /// Counts and logs a CONNECT that is refused.
    private func refuse(
        _ reason: ReasonCode, _ detail: String, _ client: Client, _ connect: Connect, remedy: String? = nil
    ) -> MQTTError {
        counters.refused += 1
        let kind: Refusal?
        switch reason {
        case .serverShuttingDown: kind = nil
        case .badUserNameOrPassword, .notAuthorized, .badAuthenticationMethod, .clientIdentifierNotValid: kind = .login
        case .connectionRateExceeded: kind = client.verdict == .welcome ? .login : .limit
        default: kind = .limit
        }
        if let kind {
            note(
                kind, of: client, user: connect.userName, identifier: connect.clientIdentifier, reason: detail,
                group: "\(reason)", remedy: remedy)
        }
        return MQTTError(reason, detail)
    }

    func connect(_ connect: Connect, _ client: Client) throws(MQTTError) {
        if isStopping { throw refuse(.serverShuttingDown, "the server is shutting down", client, connect) }
        if let refusal = client.verdict.refusal { throw refuse(refusal.reason, refusal.detail, client, connect) }
        if connect.properties.authenticationMethod != nil {
            throw refuse(
                .badAuthenticationMethod, "no authentication method is supported [MQTT-4.12.0-1]", client, connect)
        }
        var identifier = connect.clientIdentifier
        if identifier.isEmpty {
            if connect.version != .v5_0, !connect.cleanStart || connect.version == .v3_1 {
                throw refuse(
                    .clientIdentifierNotValid, "an empty client identifier needs a clean session [MQTT-3.1.3-8]",
                    client, connect)
            }
            identifier = "auto-\(client.number)-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        }
        let deciding = Deciding(
            connect: connect, identifier: identifier, isAssigned: connect.clientIdentifier.isEmpty)
        let listener = client.listener.listener
        if let name = certificateName(of: client, at: listener) { return try admit(deciding, user: name, client) }
        guard let name = connect.userName else {
            guard listener.allowsAnonymous else {
                counters.refusedLogins += 1
                throw refuse(
                    .notAuthorized, "the client gives no user name, and anonymous clients are not served here", client,
                    connect, remedy: "tidegate device add NAME, and give the device that name and its password")
            }
            return try admit(deciding, user: nil, client)
        }
        guard let authenticator = configuration.authenticator else {
            guard listener.allowsAnonymous else {
                throw refuse(
                    .notAuthorized, "nobody can log in: there are no users", client, connect,
                    remedy: "tidegate device add NAME")
            }
            return try admit(deciding, user: nil, client)
        }
        let login = Login(
            userName: name, password: connect.password.map { Array($0.readableBytesView) } ?? [],
            clientIdentifier: identifier, address: client.addressKey ?? "local",
            allowsAnonymous: listener.allowsAnonymous, now: now)
        client.deciding = deciding
        let number = client.number
        let loop = loop
        let core = NIOLoopBound(self, eventLoop: loop)
        authenticator.decide(login) { verdict in
            if loop.inEventLoop {
                core.value.decided(number, verdict)
            } else {
                loop.execute {
                    core.value.decided(number, verdict)
                    core.value.endTurn()
                }
            }
        }
    }

    private func certificateName(of client: Client, at listener: Listener) -> String? {
        guard listener.userSource != .login,
            let certificate = try? client.channel.pipeline.syncOperations.nioSSL_peerCertificate()
        else { return nil }
        return listener.userSource.name(in: certificate)
    }

    /// The authenticator has made up its mind. The client may be gone by now.
    private func decided(_ number: UInt64, _ verdict: LoginVerdict) {
        guard let client = clients[number], let deciding = client.deciding else { return }
        client.deciding = nil
        do throws(MQTTError) {
            switch verdict {
            case .accepted(let user):
                let id = SessionID(client: deciding.identifier, user: user)
                // The client has come back on another connection already: nothing is to be taken over.
                if client.isGone, find(id)?.client != nil { return closed(client) }
                try admit(deciding, user: user, client)
            case .refused:
                counters.refusedLogins += 1
                throw refuse(.badUserNameOrPassword, "unknown user or wrong password", client, deciding.connect)
            case .throttled:
                counters.refusedLogins += 1
                throw refuse(
                    .connectionRateExceeded, "too many logins from this address failed: wait before the next",
                    client, deciding.connect)
            case .busy:
                throw refuse(.serverBusy, "too many logins are waiting: try again soon", client, deciding.connect)
            }
        } catch {
            close(client, for: error)
        }
        // Inside a read, what follows the CONNECT is taken by that read.
        guard !client.isReceiving else { return }
        if client.isGone { gone(client) } else if !client.isClosing { goOn(client) }
    }

    /// Lets a client in, if there is room for it.
    private func admit(_ deciding: Deciding, user: String?, _ client: Client) throws(MQTTError) {
        let connect = deciding.connect
        let identifier = deciding.identifier
        let id = SessionID(client: identifier, user: user)
        if let reason = configuration.accessPolicy?.refusal(user: user, client: identifier) {
            throw refuse(.clientIdentifierNotValid, reason, client, connect)
        }
        let old = find(id)
        if old?.client == nil, clients.count - pendingCount >= configuration.maximumClients {
            throw refuse(
                .serverBusy, "\(configuration.maximumClients) clients are connected, which is all that are served",
                client, connect, remedy: "max_connections in [lan]")
        }
        let expiry = expiry(of: connect)
        if expiry > 0, old == nil, sessions.count >= configuration.maximumSessions {
            throw refuse(
                .quotaExceeded, "\(sessions.count) sessions are kept, which is all that are", client, connect,
                remedy: "max_sessions in [lan]")
        }
        if let former = old?.client {
            // The new connection takes the session over [MQTT-3.1.4-3].
            close(former, for: MQTTError(.sessionTakenOver, "another connection uses the client identifier"))
        }
        let (session, isPresent) = open(id, cleanStart: connect.cleanStart)
        client.session = session
        session.client = client
        session.awayAt = nil
        session.permissions = configuration.accessPolicy?.permissions(user: user, client: identifier)
        pendingCount -= 1
        session.expiryInterval = expiry
        session.isKept = session.isKept || expiry > 0
        session.will = connect.will.map { will in
            var kept = will
            kept.payload = ByteBuffer(bytes: will.payload.readableBytesView)
            return kept
        }
        let connack = client.connection.accept(
            assignedClientIdentifier: deciding.isAssigned ? identifier : nil, sessionPresent: isPresent,
            sessionExpiryInterval: expiry, now: now)
        client.aliases = OutboundAliases(maximum: client.connection.clientTopicAliasMaximum)
        if session.isKept { record(.session(session.record(awaySince: nil))) }
        client.channel.pipeline.fireUserInboundEventTriggered(ClientAccepted())
        send(.connack(connack), to: client)
        session.outbound.resume(window: client.connection.sendWindow)
        pump(client)
        logger.debug("client connected", metadata: ["client": "\(identifier)", "address": "\(client.address)"])
    }

    /// How long the session is to outlive its connection, in seconds. A 3.1.1 client can only say "at once" and "never"
    /// (clean session).
    private func expiry(of connect: Connect) -> UInt32 {
        let asked =
            connect.version == .v5_0
            ? connect.properties.sessionExpiryInterval ?? 0 : connect.cleanStart ? 0 : UInt32.max
        return min(asked, configuration.maximumSessionExpiry)
    }

    // MARK: When accounts change

    /// Users or access rules are others now: a removed user's connections are closed and its sessions end, with what
    /// waits for them, so that a later user of the same name gets nothing of it. What every other session may do is
    /// looked up again.
    /// - Parameter removed: users that are no more.
    func accountsChanged(removed: Set<String>) {
        let removed = Set(removed.map { WireText($0) })
        for session in Array(sessions.values) {
            guard let user = session.user, removed.contains(WireText(user)) else { continue }
            if let client = session.client { close(client, for: MQTTError(.notAuthorized, "the user was removed")) }
            if sessions[session.number] != nil { finish(session) }
        }
        for session in sessions.values {
            session.permissions = configuration.accessPolicy?.permissions(
                user: session.user, client: session.identifier)
        }
        endTurn()
    }
}

extension AddressLimits.Verdict {
    /// What a CONNECT is refused with.
    var refusal: MQTTError? {
        switch self {
        case .welcome: nil
        case .tooMany, .notWorthAnAnswer:
            MQTTError(.quotaExceeded, "this address has as many connections as it may have")
        case .tooFast: MQTTError(.connectionRateExceeded, "this address connects too often: wait before the next")
        }
    }
}
