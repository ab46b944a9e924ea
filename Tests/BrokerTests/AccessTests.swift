import Broker
import MQTT
import NIOCore
import Readings
import Registry
import Synchronization
import TestSupport
import Testing

private final class Access: Permissions {
    private let access: ClientAccess
    let isProvisional: Bool

    init(_ access: ClientAccess, isProvisional: Bool) {
        self.access = access
        self.isProvisional = isProvisional
    }

    func mayPublish(_ topic: String) -> Bool { access.mayPublish(topic) }
    func mayReceive(_ topic: String) -> Bool { access.mayReceive(topic) }
    func maySubscribe(_ filter: String) -> Bool { access.maySubscribe(filter) }
}

/// Users with passwords, looked up at once or when the test says so, and real access rules.
private final class Doorkeeper: Authenticator, AccessPolicy {
    private let users: [String: String]
    private let state: Mutex<(rules: AccessRules, waits: Bool, waiting: [Waiting])>

    private struct Waiting: Sendable {
        let verdict: LoginVerdict
        let completion: @Sendable (LoginVerdict) -> Void
    }

    init(_ users: [String: String], rules: [AccessRule] = [], waits: Bool = false, isClosed: Bool = false) {
        self.users = users
        state = Mutex((AccessRules(rules, isClosed: isClosed), waits, []))
    }

    func decide(_ login: Login, completion: @escaping @Sendable (LoginVerdict) -> Void) {
        let verdict: LoginVerdict
        switch login.userName {
        case "slow": verdict = .throttled
        case "busy": verdict = .busy
        case let name:
            let isRight = users[name].map { Array($0.utf8) } == login.password
            verdict = isRight ? .accepted(user: name) : .refused
        }
        let waits = state.withLock { state in
            if state.waits { state.waiting.append(Waiting(verdict: verdict, completion: completion)) }
            return state.waits
        }
        if !waits { completion(verdict) }
    }

    var waiting: Int { state.withLock { $0.waiting.count } }

    func answer() {
        let waiting = state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
        for one in waiting { one.completion(one.verdict) }
    }

    func set(_ rules: [AccessRule]) { state.withLock { $0.rules = AccessRules(rules) } }

    func permissions(user: String?, client: String) -> (any Permissions)? {
        let rules = state.withLock { $0.rules }
        let access = rules.access(user: user, client: client)
        return access.isUnrestricted ? nil : Access(access, isProvisional: rules.isClosed)
    }

    func refusal(user: String?, client: String) -> String? {
        state.withLock { $0.rules }.refusal(user: user, client: client)
    }
}

/// Who may come in, and what they may do there.
@Suite(.timeLimit(.minutes(1))) struct AccessTests {
    private static func withServer(
        _ door: Doorkeeper, anonymous: Bool = false, _ change: (inout BrokerConfiguration) -> Void = { _ in },
        _ body: @escaping @Sendable (BrokerServer, RecordingIntake, Int) async throws -> Void
    ) async throws {
        try await BrokerServerTests.withServer(
            {
                $0.authenticator = door
                $0.accessPolicy = door
                $0.listeners[0].allowsAnonymous = anonymous
                change(&$0)
            }, body)
    }

    /// The reason in the CONNACK.
    private static func connect(
        _ port: Int, _ version: ProtocolVersion = .v5_0, id: String = "a", cleanStart: Bool = true, user: String? = nil,
        password: String? = nil, properties: [Property] = []
    ) throws -> (ReasonCode?, PacketClient) {
        let client = try PacketClient(port: port, version: version)
        client.send(
            .connect(
                Connect(
                    version: version, cleanStart: cleanStart, clientIdentifier: id, userName: user,
                    password: password.map { ByteBuffer(string: $0) }, properties: Properties(properties))))
        guard case .connack(let connack) = try client.receive() else { return (nil, client) }
        return (connack.reason, client)
    }

    private static func rule(_ user: String? = nil, _ access: AccessRule.Access, _ filter: String) throws -> AccessRule
    {
        try AccessRule(user: user.flatMap { UserName($0) }, access: access, filter: filter)
    }

    @Test func eachLoginGetsItsAnswer() async throws {
        try await Self.withServer(Doorkeeper(["anna": "x"])) { server, _, port in
            for (user, password, reason, old) in [
                ("anna", "x", .success, .success), ("anna", "y", .badUserNameOrPassword, .badUserNameOrPassword),
                ("eve", "x", .badUserNameOrPassword, .badUserNameOrPassword),
                (nil, nil, .notAuthorized, .notAuthorized), ("slow", "x", .connectionRateExceeded, .serverUnavailable),
                ("busy", "x", .serverBusy, .serverUnavailable),
            ] as [(String?, String?, ReasonCode, ReasonCode)] {
                let (told, _) = try Self.connect(port, user: user, password: password)
                #expect(told == reason)
                let (toldOld, _) = try Self.connect(port, .v3_1_1, user: user, password: password)
                #expect(toldOld == old)
            }
            let counters = await server.snapshot().counters
            #expect(counters.refused == 10 && counters.refusedLogins == 8 && counters.violations == 0)
        }
    }

    /// A client may go on before its CONNACK comes: what follows is taken once it is known who it is.
    @Test func whatFollowsAConnectWaits() async throws {
        let door = Doorkeeper(["anna": "x"], waits: true)
        try await Self.withServer(door) { server, intake, port in
            let client = try PacketClient(port: port, version: .v5_0)
            let other = try PacketClient(port: port, version: .v5_0)
            func connect(_ id: String, _ password: String) -> Packet {
                .connect(
                    Connect(
                        version: .v5_0, clientIdentifier: id, userName: "anna",
                        password: ByteBuffer(string: password)))
            }
            let publish = Packet.publish(Publish(topic: "t", payload: ByteBuffer(string: "1")))
            client.send(connect("a", "x"), publish, .pingreq)
            other.send(connect("b", "wrong"), publish)
            #expect(await eventually { door.waiting == 2 })
            #expect(intake.topics.isEmpty)
            door.answer()
            guard case .connack(let connack) = try client.receive(), connack.reason == .success else {
                Issue.record("not let in")
                return
            }
            #expect(try client.receive() == .pingresp)
            #expect(await eventually { intake.topics == ["t"] })
            guard case .connack(let refusal) = try other.receive() else {
                Issue.record("not answered")
                return
            }
            #expect(refusal.reason == .badUserNameOrPassword)

            // One that sends all it has and hangs up is heard all the same.
            let quick = try PacketClient(port: port, version: .v5_0)
            quick.send(
                connect("c", "x"), .publish(Publish(topic: "quick", payload: ByteBuffer(string: "1"))),
                .disconnect(Disconnect()))
            quick.socket.close()
            #expect(await eventually { door.waiting == 1 })
            door.answer()
            #expect(await eventually { intake.topics == ["t", "quick"] })
            #expect(await eventually { await server.snapshot().clients.map(\.id) == ["a"] })
        }
    }

    @Test(arguments: [ProtocolVersion.v3_1_1, .v5_0])
    func rulesAreKept(version: ProtocolVersion) async throws {
        let rules = [
            try Self.rule("anna", .write, "up/{client}/#"), try Self.rule("anna", .subscribe, "down/#"),
            try Self.rule("anna", .read, "down/{user}/#"), try Self.rule("ben", .readwrite, "#"),
        ]
        let door = Doorkeeper(["anna": "x", "ben": "y"], rules: rules)
        try await Self.withServer(door) { server, intake, port in
            let anna = try PacketClient(
                port: port, id: "a1", version: version, userName: "anna", password: "x")
            let ben = try PacketClient(port: port, id: "b1", version: version, userName: "ben", password: "y")
            let refused: ReasonCode = version == .v5_0 ? .notAuthorized : .unspecifiedError
            #expect(
                try anna.subscribe(
                    .init("down/#", qos: .atLeastOnce), .init("#", qos: .atLeastOnce),
                    .init("$share/g/up/+", qos: .atMostOnce)) == [.grantedQoS1, refused, refused])

            // Publishing: QoS 0 is dropped, QoS 1 and 2 are told, and none of them goes anywhere.
            anna.publish("up/a2/x", "0")
            anna.publish("up/a2/x", "1", qos: .atLeastOnce, id: 1)
            anna.publish("up/a2/x", "2", qos: .exactlyOnce, id: 2)
            let reason: ReasonCode = version == .v5_0 ? .notAuthorized : .success
            #expect(try anna.receive() == .puback(Acknowledgement(packetIdentifier: 1, reason: reason)))
            #expect(try anna.receive() == .pubrec(Acknowledgement(packetIdentifier: 2, reason: reason)))
            anna.publish("up/a1/x", "3", qos: .atLeastOnce, id: 3)
            #expect(await eventually { intake.topics == ["up/a1/x"] })
            server.settle(intake.tokens)
            #expect(try anna.receive() == .puback(Acknowledgement(packetIdentifier: 3)))

            // Reading: subscribed is one thing, allowed to read another. Retained messages are no exception.
            ben.publish("down/ben/x", "no")
            ben.publish("down/anna/x", "yes")
            #expect(try anna.message() == "down/anna/x=yes")
            ben.publish("down/ben/r", "no", retain: true)
            ben.publish("down/anna/r", "yes", retain: true)
            #expect(try anna.message() == "down/anna/r=yes")
            #expect(try anna.subscribe(.init("down/#", qos: .atMostOnce)) == [.success])
            #expect(try anna.message() == "down/anna/r=yes R")
            #expect(await server.snapshot().counters.denied == 5)

            // Rules that change hold at once.
            door.set([try Self.rule("ben", .readwrite, "#")])
            server.accountsChanged()
            #expect(await server.snapshot().clients.count == 2)
            ben.publish("down/anna/x", "not any more")
            anna.send(.pingreq)
            #expect(try anna.receive() == .pingresp)
        }
    }

    @Test func aWillNeedsPermissionToo() async throws {
        let rules = [try Self.rule("anna", .write, "good/#"), try Self.rule("ben", .readwrite, "#")]
        try await Self.withServer(Doorkeeper(["anna": "x", "ben": "y"], rules: rules)) { server, intake, port in
            for topic in ["bad/will", "good/will"] {
                let will = Will(topic: topic, payload: ByteBuffer(string: "gone"))
                let anna = try PacketClient(port: port, id: "a", will: will, userName: "anna", password: "x")
                anna.socket.close()
                #expect(await eventually { await server.snapshot().clients.isEmpty })
            }
            #expect(await eventually { intake.topics == ["good/will"] })
        }
    }

    /// A client identifier is chosen, a user name is proved: the same identifier of two users names two sessions. Nobody is
    /// locked out by another user's session, and nobody takes or ends it.
    @Test(arguments: [ProtocolVersion.v3_1_1, .v5_0])
    func oneIdentifierOfTwoUsersNamesTwoSessions(version: ProtocolVersion) async throws {
        try await Self.withServer(Doorkeeper(["anna": "x", "ben": "y"]), anonymous: true) { server, intake, port in
            let kept = version == .v5_0 ? [Property.sessionExpiryInterval(.max)] : []
            func connect(
                _ user: String, _ password: String, cleanStart: Bool
            ) throws -> PacketClient {
                try PacketClient(
                    port: port, id: "pump", version: version, cleanStart: cleanStart, userName: user,
                    password: password, properties: kept)
            }
            let anna = try connect("anna", "x", cleanStart: false)
            _ = try anna.subscribe(.init("t/#", qos: .atLeastOnce))
            anna.socket.close()
            #expect(await eventually { await server.snapshot().clients.isEmpty })
            let publisher = try PacketClient(port: port, id: "p")
            publisher.publish("t/1", "for anna", qos: .atLeastOnce, id: 1)
            #expect(await eventually { intake.topics == ["t/1"] })

            for cleanStart in [true, false] {
                let ben = try connect("ben", "y", cleanStart: cleanStart)
                #expect(ben.sessionPresent == (version == .v5_0 && !cleanStart), "ben's own, if any")
                ben.send(.pingreq)
                #expect(try ben.receive() == .pingresp, "nothing of anna's comes")
                ben.socket.close()
                #expect(await eventually { await server.snapshot().clients.count == 1 })
            }
            let again = try connect("anna", "x", cleanStart: false)
            #expect(again.sessionPresent)
            #expect(try again.message() == "t/1=for anna")
            // Both at once: neither takes the other's connection over.
            let ben = try connect("ben", "y", cleanStart: true)
            for client in [again, ben] {
                client.send(.pingreq)
                #expect(try client.receive() == .pingresp)
            }
        }
    }

    @Test func aSessionOfNobodyGoesToTheFirstUserWhoAsks() async throws {
        try await Self.withServer(Doorkeeper(["anna": "x", "ben": "y"]), anonymous: true) { server, _, port in
            let expiry = [Property.sessionExpiryInterval(100)]
            let nobody = try PacketClient(port: port, id: "free", properties: expiry)
            _ = try nobody.subscribe(.init("t", qos: .atLeastOnce))
            nobody.socket.close()
            #expect(await eventually { await server.snapshot().clients.isEmpty })
            let ben = try PacketClient(
                port: port, id: "free", cleanStart: false, userName: "ben", password: "y", properties: expiry)
            #expect(ben.sessionPresent)
            let anna = try PacketClient(port: port, id: "free", cleanStart: false, userName: "anna", password: "x")
            #expect(!anna.sessionPresent)
        }
    }

    @Test func aRemovedUsersSessionsEnd() async throws {
        let door = Doorkeeper(["anna": "x"])
        try await Self.withServer(door) { server, _, port in
            let kept = [Property.sessionExpiryInterval(.max)]
            let away = try PacketClient(port: port, id: "away", userName: "anna", password: "x", properties: kept)
            _ = try away.subscribe(.init("t", qos: .atLeastOnce))
            away.socket.close()
            #expect(await eventually { await server.snapshot().clients.isEmpty })
            #expect(await server.snapshot().sessions == 1)
            server.accountsChanged(removed: ["anna"])
            #expect(await server.snapshot().sessions == 0)
            let next = try PacketClient(
                port: port, id: "away", cleanStart: false, userName: "anna", password: "x", properties: kept)
            #expect(!next.sessionPresent)
        }
    }

    /// Where a rule has `{client}`, an identifier must stand for one level; elsewhere any identifier will do.
    @Test func anIdentifierThatIsNoLevelIsRefusedWhereARuleNamesTheClient() async throws {
        let rules = [
            try Self.rule("anna", .readwrite, "{user}/{client}/#"), try Self.rule("ben", .readwrite, "ben/#"),
        ]
        try await Self.withServer(Doorkeeper(["anna": "x", "ben": "y"], rules: rules)) { _, _, port in
            for id in ["a/b", "+", "a#", "$a", "a\u{7}"] {
                let (told, _) = try Self.connect(port, id: id, user: "anna", password: "x")
                let (toldOld, _) = try Self.connect(port, .v3_1_1, id: id, user: "anna", password: "x")
                #expect(told == .clientIdentifierNotValid && toldOld == .clientIdentifierNotValid, "\(id)")
                let (other, _) = try Self.connect(port, id: id, user: "ben", password: "y")
                #expect(other == .success, "\(id)")
            }
            let (plain, _) = try Self.connect(port, id: "a b", user: "anna", password: "x")
            #expect(plain == .success)
        }
    }

    /// Rules were lost: what is denied may be denied by mistake. It is not acknowledged, so that the device keeps it.
    @Test func whatIsDeniedForLostRulesIsNotAcknowledged() async throws {
        let door = Doorkeeper([:], isClosed: true)
        try await Self.withServer(door, anonymous: true) { server, intake, port in
            for qos in [QoS.atLeastOnce, .exactlyOnce] {
                for version in [ProtocolVersion.v3_1, .v3_1_1] {
                    let client = try PacketClient(port: port, id: "old", version: version)
                    client.publish("t", "1", qos: qos, id: 1)
                    #expect(try client.receive() == nil, "\(version) \(qos): closed, and not acknowledged")
                }
            }
            let client = try PacketClient(port: port, id: "new")
            client.publish("t", "1", qos: .atLeastOnce, id: 1)
            #expect(
                try client.receive() == .puback(Acknowledgement(packetIdentifier: 1, reason: .notAuthorized)))
            #expect(await server.snapshot().counters.denied == 5)
            #expect(intake.topics.isEmpty)
        }
    }

    @Test func whoIsRemovedHasToGo() async throws {
        try await Self.withServer(Doorkeeper(["anna": "x", "ben": "y"])) { server, _, port in
            let anna = try PacketClient(port: port, id: "a", userName: "anna", password: "x")
            let ben = try PacketClient(port: port, id: "b", userName: "ben", password: "y")
            server.accountsChanged(removed: ["anna"])
            guard case .disconnect(let disconnect) = try anna.receive() else {
                Issue.record("not closed")
                return
            }
            #expect(disconnect.reason == .notAuthorized)
            ben.send(.pingreq)
            #expect(try ben.receive() == .pingresp)
        }
    }

    @Test func oneAddressCannotTakeEverything() async throws {
        try await Self.withServer(
            Doorkeeper([:]), anonymous: true,
            { $0.addressLimits.connections = AddressLimits.Bound(2, holdsForLoopback: true) }
        ) { server, _, port in
            let first = try PacketClient(port: port, id: "1")
            let second = try PacketClient(port: port, id: "2")
            #expect(try Self.connect(port, id: "3").0 == .quotaExceeded)
            #expect(try Self.connect(port, .v3_1_1, id: "3").0 == .serverUnavailable)
            for client in [first, second] {
                client.send(.pingreq)
                #expect(try client.receive() == .pingresp)
            }
            #expect(await server.snapshot().counters.refusedAddresses >= 2)
            first.socket.close()
            #expect(try await eventually { try Self.connect(port, id: "4").0 == .success })
        }
    }
}
