internal import CMosquitto
internal import Glibc
internal import Readings

extension mosq_err_t {
    /// As the library's functions return it.
    var intValue: Int32 { rawValue }
}

/// One `struct mosquitto` for one connection attempt and the connection that comes of it.
///
/// Never reconnects: whatever the library still holds dies with it, so that the outbox stays the only queue. Not
/// Sendable: used by one thread at a time, which is why the library's locks are not needed and its calls write to the
/// socket at once. It is created, read from and released on the link's thread alone.
final class MosquittoClient {
    /// What the callbacks reported during the calls below.
    let events: MosquittoEvents
    let address: UpstreamAddress
    let version: WireVersion
    /// `nil` without TLS.
    let tls: ClientTLS?
    private let handle: OpaquePointer
    private let keepAliveInterval: Duration
    /// The TLS handshake is not known to be over: until CONNACK.
    private var isHandshaking: Bool
    private var sawWritable = false
    /// The TCP connection is made.
    private var isConnected = false

    private static let libraryReady: Bool = {
        // OpenSSL writes without MSG_NOSIGNAL, on whatever thread publishes.
        signal(SIGPIPE, SIG_IGN)
        return mosquitto_lib_init() == MOSQ_ERR_SUCCESS.intValue
    }()

    /// Prepares a client; no I/O.
    /// - Parameters:
    ///   - identifier: empty for one that the broker is to choose.
    ///   - tls: for an address that wants it.
    ///   - hasWill: whether the broker is to say `offline` when the connection breaks.
    init(
        _ configuration: UpstreamConfiguration, address: UpstreamAddress, version: WireVersion, identifier: String,
        tls: ClientTLS?, hasWill: Bool = true
    ) throws(LinkFault) {
        self.address = address
        self.version = version
        self.tls = tls
        isHandshaking = address.transport == .tls
        keepAliveInterval = configuration.keepAlive
        events = MosquittoEvents(maximumPayloadBytes: configuration.maximumIncomingBytes)
        // Without a name of ours there is no session to come back to.
        let keepsSession = !configuration.subscriptions.isEmpty && !identifier.isEmpty
        guard Self.libraryReady,
            let handle = mosquitto_new(
                identifier.isEmpty ? nil : identifier, !keepsSession, Unmanaged.passUnretained(events).toOpaque()
            )
        else { throw .library(doing: "prepare the upstream client", reason: errorText(errno)) }
        self.handle = handle
        MosquittoEvents.listen(to: handle)
        let window = UInt32(clamping: configuration.window)
        try Self.check(
            mosquitto_int_option(
                handle, MOSQ_OPT_PROTOCOL_VERSION, version == .v5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311),
            "set the MQTT version"
        )
        try Self.check(mosquitto_max_inflight_messages_set(handle, window), "set the in-flight window")
        try Self.check(mosquitto_int_option(handle, MOSQ_OPT_TCP_NODELAY, 1), "set TCP_NODELAY")
        if let username = configuration.username {
            let result =
                configuration.password?.withCString { mosquitto_username_pw_set(handle, username, $0) }
                ?? mosquitto_username_pw_set(handle, username, nil)
            try Self.check(result, "set the user name and password")
        }
        if hasWill {
            try Self.check(
                mosquitto_will_set(
                    handle, configuration.stateTopic, Int32(LinkState.offline.utf8.count), LinkState.offline, 1, true
                ),
                "set the will on \(configuration.stateTopic)"
            )
        }
        if let tls {
            try Self.check(mosquitto_void_option(handle, MOSQ_OPT_SSL_CTX, tls.context), "set up TLS")
            try Self.check(mosquitto_int_option(handle, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0), "set up TLS")
        }
    }

    deinit { mosquitto_destroy(handle) }

    // MARK: Connecting

    /// Starts to connect and returns before it is done. The answer comes as ``MosquittoEvents/answer``.
    /// - Parameter host: a numeric address, so that the library has nothing to look up.
    func connect(_ configuration: UpstreamConfiguration, host: String) throws(LinkFault) {
        if version == .v5 { try setConnectProperties(configuration) }
        let keepAlive = Int32(clamping: configuration.keepAlive.components.seconds)
        let result = mosquitto_connect_bind_async(
            handle, host, Int32(address.port), max(5, min(keepAlive, 65_535)), nil
        )
        let code = errno
        switch result {
        case MOSQ_ERR_SUCCESS.intValue, MOSQ_ERR_CONN_PENDING.intValue: return
        default: throw fault(result, code: code)
        }
    }

    private func setConnectProperties(_ configuration: UpstreamConfiguration) throws(LinkFault) {
        var properties = PropertyList()
        if !configuration.subscriptions.isEmpty {
            properties.add(
                MQTT_PROP_SESSION_EXPIRY_INTERVAL, UInt32(clamping: configuration.sessionExpiry.components.seconds))
        }
        properties.add(
            MQTT_PROP_MAXIMUM_PACKET_SIZE, UInt32(clamping: max(configuration.maximumIncomingBytes, 1024)))
        try properties.with { list throws(LinkFault) in
            try Self.check(cmosquitto_set_connect_properties(handle, list), "set the CONNECT properties")
        }
    }

    /// Whether the peer has taken the TCP connection.
    var isReached: Bool {
        guard let socket else { return false }
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(socket, $0, &length) }
        } == 0
    }

    /// When the certificate ends that the broker showed, Unix seconds; `nil` without TLS.
    var serverExpiry: Int64? { tls == nil ? nil : ClientTLS.expiry(ofServerOn: mosquitto_ssl_get(handle)) }

    /// The broker has let us in: the library's log is of no interest any more.
    func ignoreLog() { MosquittoEvents.ignoreLog(of: handle) }

    // MARK: The loop

    /// The socket to poll; `nil` when there is none (any more).
    var socket: Int32? {
        let socket = mosquitto_socket(handle)
        return socket >= 0 ? socket : nil
    }

    /// Whether to poll for writing. During a TLS handshake only until the socket was writable once: the library leaves
    /// its wish standing then, and the loop would spin.
    var wantsWrite: Bool { !isHolding && mosquitto_want_write(handle) && !(isHandshaking && sawWritable) }

    /// What the library writes waits: acknowledgements of messages that the gateway has not taken over yet, and all that is
    /// sent after them.
    private(set) var isHolding = false
    /// So many messages are taken together.
    private static let incomingLimit = 64

    /// The socket is readable, or in error.
    ///
    /// Messages that the broker wants acknowledged make the client hold back what it writes, until ``releaseWrites()``. They
    /// are read as long as there are more: their way into the gateway is gone together.
    func read() throws(LinkFault) {
        try checkConnection()
        var count: Int
        repeat {
            count = events.incoming.count
            try readOnce()
        } while count < events.incoming.count && events.incoming.count < Self.incomingLimit
        if isHandshaking { try checkHandshake() }
        // What the handshake held back, and what the library has to say to what it has read.
        if isHandshaking || wantsWrite { try write() }
        if socket == nil { throw lost }
    }

    /// The library acknowledges a message before it reports it. Where it believes that another thread writes for it
    /// (mosquitto_threaded_set), it only queues the acknowledgement.
    private func readOnce() throws(LinkFault) {
        mosquitto_threaded_set(handle, true)
        errno = 0  // The library takes an EAGAIN of earlier for one of now.
        let result = mosquitto_loop_read(handle, 1)
        let code = errno
        if events.wantsAcknowledgement { isHolding = true }
        events.wantsAcknowledgement = false
        if !isHolding { mosquitto_threaded_set(handle, false) }
        if result != MOSQ_ERR_SUCCESS.intValue { throw fault(result, code: code) }
        if events.answer != nil { isHandshaking = false }
    }

    /// The gateway has taken over the messages that were read: their acknowledgements leave.
    func releaseWrites() throws(LinkFault) {
        guard isHolding else { return }
        isHolding = false
        mosquitto_threaded_set(handle, false)
        if wantsWrite { try write() }
    }

    /// The socket is writable.
    func write() throws(LinkFault) {
        try checkConnection()
        if isHandshaking && !sawWritable {
            sawWritable = true
            return try read()
        }
        errno = 0
        let result = mosquitto_loop_write(handle, 1)
        let code = errno
        if result != MOSQ_ERR_SUCCESS.intValue { throw fault(result, code: code) }
    }

    /// Why a connection attempt has failed, in the kernel's words: during a TLS handshake the library makes another error
    /// of it. The socket is ready for something, so the attempt is over.
    private func checkConnection() throws(LinkFault) {
        guard !isConnected, let socket else { return }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket, SOL_SOCKET, SO_ERROR, &code, &length)
        isConnected = isReached
        // OpenSSL's first write has taken the error away, when that came as quickly as a refusal on this machine does.
        if code == 0, !isConnected { code = ECONNREFUSED }
        if code != 0 { throw fault(MOSQ_ERR_ERRNO.intValue, code: code) }
    }

    /// Keep-alive: to be called every second.
    func keepAlive() throws(LinkFault) {
        let result = mosquitto_loop_misc(handle)
        let code = errno
        if result != MOSQ_ERR_SUCCESS.intValue { throw fault(result, code: code) }
    }

    /// A peer that closes in the middle of the handshake looks like success to the library, for ever.
    private func checkHandshake() throws(LinkFault) {
        guard let socket else { throw lost }
        var byte: UInt8 = 0
        let count = recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        if count == 0 { throw lost }
        let code = errno
        if count < 0, code != EAGAIN, code != EINTR { throw fault(MOSQ_ERR_ERRNO.intValue, code: code) }
    }

    // MARK: Sending

    /// Publishes with QoS 1.
    /// - Returns: the library's result, and the packet identifier when it is MOSQ_ERR_SUCCESS.
    /// - Parameter properties: sent besides the envelope, and freed.
    func publish(
        topic: String, payload: [UInt8], retain: Bool, envelope: UnsafePointer<cmosquitto_envelope>? = nil,
        properties: OpaquePointer? = nil
    ) -> (result: Int32, packetIdentifier: Int32) {
        var packetIdentifier: Int32 = 0
        let result = payload.withUnsafeBytes {
            cmosquitto_publish(
                handle, &packetIdentifier, topic, $0.baseAddress, Int32(clamping: $0.count), retain, envelope,
                properties
            )
        }
        return (result, packetIdentifier)
    }

    /// Subscribes with QoS 1; with 5.0 our own publications do not come back, retain flags stay as published, and what
    /// is retained comes only when the session does not have the subscription yet.
    /// - Parameter identifier: what the broker is to name the subscription by, where it can.
    /// - Returns: the packet identifier.
    func subscribe(_ filter: String, identifier: UInt32?) throws(LinkFault) -> Int32 {
        var packetIdentifier: Int32 = 0
        let options =
            MQTT_SUB_OPT_NO_LOCAL.rawValue | MQTT_SUB_OPT_RETAIN_AS_PUBLISHED.rawValue
            | MQTT_SUB_OPT_SEND_RETAIN_NEW.rawValue
        var properties = PropertyList()
        if version == .v5, let identifier {
            properties.add(variable: identifier, MQTT_PROP_SUBSCRIPTION_IDENTIFIER)
        }
        let (result, code) = try properties.with { list in
            let result = mosquitto_subscribe_v5(
                handle, &packetIdentifier, filter, 1, version == .v5 ? Int32(options) : 0, list)
            return (result, errno)
        }
        if result != MOSQ_ERR_SUCCESS.intValue { throw fault(result, code: code) }
        return packetIdentifier
    }

    /// - Returns: the packet identifier.
    func unsubscribe(_ filter: String) throws(LinkFault) -> Int32 {
        var packetIdentifier: Int32 = 0
        let result = mosquitto_unsubscribe_v5(handle, &packetIdentifier, filter, nil)
        let code = errno
        if result != MOSQ_ERR_SUCCESS.intValue { throw fault(result, code: code) }
        return packetIdentifier
    }

    /// Says DISCONNECT, which discards the will. Best effort: the socket is closed afterwards anyway.
    func disconnect() { mosquitto_disconnect(handle) }

    // MARK: Errors

    private static func check(_ result: Int32, _ doing: String) throws(LinkFault) {
        guard result != MOSQ_ERR_SUCCESS.intValue else { return }
        throw .library(
            doing: "\(doing) of the upstream client", reason: String(cString: mosquitto_strerror(result))
        )
    }

    /// The peer has closed the connection.
    var lost: LinkFault { fault(MOSQ_ERR_CONN_LOST.intValue, code: 0) }

    /// - Parameter code: errno after the call.
    func fault(_ result: Int32, code: Int32) -> LinkFault {
        let isUp = events.answer != nil
        if let reason = events.disconnectReason { return .disconnected(reason: reason) }
        // A broker that does not accept our certificate may say so after the handshake (RFC 8446, section 4.4.2.4). 2.0.21
        // reports a failed handshake as a failed read or write; only its complaint tells.
        if !isUp, let failure = tls?.failure { return .tls(address, failure) }
        if isHandshaking, let complaint = events.complaint { return .tls(address, TLSFailure(complaint: complaint)) }
        switch result {
        case MOSQ_ERR_CONN_LOST.intValue, MOSQ_ERR_NO_CONN.intValue:
            return isUp ? .broken(code: 0) : .closedBeforeAnswer(address)
        case MOSQ_ERR_ERRNO.intValue where isHandshaking && code == 0: return .closedBeforeAnswer(address)
        // The peer has taken the connection and ended it.
        case MOSQ_ERR_ERRNO.intValue where !isUp && (code == EPIPE || code == ECONNRESET):
            return .closedBeforeAnswer(address)
        case MOSQ_ERR_ERRNO.intValue: return isUp ? .broken(code: code) : .connect(address, code: code)
        case MOSQ_ERR_TLS.intValue, MOSQ_ERR_TLS_HANDSHAKE.intValue:
            return .tls(address, TLSFailure(complaint: events.complaint ?? "no details"))
        case MOSQ_ERR_KEEPALIVE.intValue: return .keepAlive(keepAliveInterval)
        case MOSQ_ERR_PROTOCOL.intValue, MOSQ_ERR_MALFORMED_PACKET.intValue, MOSQ_ERR_CONN_REFUSED.intValue:
            return .protocol(detail: String(cString: mosquitto_strerror(result)))
        default:
            return .library(doing: "use the link to the upstream", reason: String(cString: mosquitto_strerror(result)))
        }
    }
}

/// The payloads of the gateway's state topic.
enum LinkState {
    static let online = "online"
    static let offline = "offline"
}
