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
/// Sendable: created, used and released on the link's thread alone, which is why the library's locks are not needed
/// and its calls write to the socket at once.
final class MosquittoClient {
    /// What the callbacks reported during the calls below.
    let news: BrokerNews
    let address: UpstreamAddress
    let version: WireVersion
    private let handle: OpaquePointer
    private let keepAliveInterval: Duration
    /// The TLS handshake is not known to be over: until CONNACK.
    private var isHandshaking: Bool
    private var sawWritable = false

    private static let libraryReady = mosquitto_lib_init() == MOSQ_ERR_SUCCESS.intValue

    /// Prepares a client; no I/O but reading the TLS files.
    init(_ configuration: UpstreamConfiguration, address: UpstreamAddress, version: WireVersion) throws(LinkFault) {
        self.address = address
        self.version = version
        isHandshaking = address.transport == .tls
        keepAliveInterval = configuration.keepAlive
        news = BrokerNews(
            filters: configuration.subscriptions, maximumPayloadBytes: configuration.maximumIncomingBytes
        )
        let keepsSession = !configuration.subscriptions.isEmpty
        guard Self.libraryReady,
            let handle = mosquitto_new(
                configuration.clientIdentifier, !keepsSession, Unmanaged.passUnretained(news).toOpaque()
            )
        else { throw .library(doing: "prepare the upstream client", reason: errorText(errno)) }
        self.handle = handle
        BrokerNews.listen(to: handle)
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
        try Self.check(
            mosquitto_will_set(
                handle, configuration.stateTopic, Int32(LinkState.offline.utf8.count), LinkState.offline, 1, true
            ),
            "set the will on \(configuration.stateTopic)"
        )
        if address.transport == .tls { try setTLS(configuration.tls) }
    }

    deinit { mosquitto_destroy(handle) }

    // MARK: Connecting

    /// Starts to connect and returns before it is done; resolving the name may block for as long as the resolver
    /// tries. The answer comes as ``BrokerNews/answer``.
    func connect(_ configuration: UpstreamConfiguration, isIPv4Only: Bool) throws(LinkFault) {
        if version == .v5 { try setConnectProperties(configuration) }
        let keepAlive = Int32(clamping: configuration.keepAlive.components.seconds)
        let result = mosquitto_connect_bind_async(
            handle, address.host, Int32(address.port), max(5, min(keepAlive, 65_535)), isIPv4Only ? "0.0.0.0" : nil
        )
        let code = errno
        switch result {
        case MOSQ_ERR_SUCCESS.intValue, MOSQ_ERR_CONN_PENDING.intValue: return
        // The library leaves getaddrinfo(3)'s result in errno.
        case MOSQ_ERR_EAI.intValue: throw .resolve(host: address.host, reason: String(cString: gai_strerror(code)))
        default: throw fault(result, code: code)
        }
    }

    private func setConnectProperties(_ configuration: UpstreamConfiguration) throws(LinkFault) {
        var properties: OpaquePointer?
        defer { mosquitto_property_free_all(&properties) }
        if !configuration.subscriptions.isEmpty {
            try Self.check(
                mosquitto_property_add_int32(
                    &properties, Int32(MQTT_PROP_SESSION_EXPIRY_INTERVAL.rawValue),
                    UInt32(clamping: configuration.sessionExpiry.components.seconds)
                ),
                "set the session expiry"
            )
        }
        try Self.check(
            mosquitto_property_add_int32(
                &properties, Int32(MQTT_PROP_MAXIMUM_PACKET_SIZE.rawValue),
                UInt32(clamping: max(configuration.maximumIncomingBytes, 1024))
            ),
            "set the maximum packet size"
        )
        try Self.check(cmosquitto_set_connect_properties(handle, properties), "set the CONNECT properties")
    }

    private func setTLS(_ tls: UpstreamConfiguration.TLS) throws(LinkFault) {
        for path in [tls.authorityFile, tls.certificateFile, tls.keyFile] {
            guard let path, access(path, R_OK) != 0 else { continue }
            throw .file(path: path, code: errno)
        }
        let bundle = "/etc/ssl/certs/ca-certificates.crt"
        let authorities = tls.authorityFile ?? (access(bundle, R_OK) == 0 ? bundle : nil)
        try Self.check(
            mosquitto_tls_set(
                handle, authorities, authorities == nil ? "/etc/ssl/certs" : nil, tls.certificateFile, tls.keyFile, nil
            ),
            "set the TLS files"
        )
    }

    // MARK: The loop

    /// The socket to poll; `nil` when there is none (any more).
    var socket: Int32? {
        let socket = mosquitto_socket(handle)
        return socket >= 0 ? socket : nil
    }

    /// Whether to poll for writing. During a TLS handshake only until the socket was writable once: the library leaves
    /// its wish standing then, and the loop would spin.
    var wantsWrite: Bool { mosquitto_want_write(handle) && !(isHandshaking && sawWritable) }

    /// The socket is readable, or in error.
    func read() throws(LinkFault) {
        errno = 0  // The library takes an EAGAIN of earlier for one of now.
        let result = mosquitto_loop_read(handle, 1)
        let code = errno
        if result != MOSQ_ERR_SUCCESS.intValue { throw fault(result, code: code) }
        if news.answer != nil { isHandshaking = false }
        if isHandshaking { try checkHandshake() }
        // What the handshake held back.
        if isHandshaking { try write() }
        if socket == nil { throw fault(MOSQ_ERR_CONN_LOST.intValue, code: 0) }
    }

    /// The socket is writable.
    func write() throws(LinkFault) {
        if isHandshaking && !sawWritable {
            sawWritable = true
            return try read()
        }
        errno = 0
        let result = mosquitto_loop_write(handle, 1)
        let code = errno
        if result != MOSQ_ERR_SUCCESS.intValue { throw fault(result, code: code) }
    }

    /// Keep-alive: to be called every second.
    func keepAlive() throws(LinkFault) {
        let result = mosquitto_loop_misc(handle)
        let code = errno
        if result != MOSQ_ERR_SUCCESS.intValue { throw fault(result, code: code) }
    }

    /// A peer that closes in the middle of the handshake looks like success to the library, for ever.
    private func checkHandshake() throws(LinkFault) {
        guard let socket else { throw fault(MOSQ_ERR_CONN_LOST.intValue, code: 0) }
        var byte: UInt8 = 0
        let count = recv(socket, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        if count == 0 { throw fault(MOSQ_ERR_CONN_LOST.intValue, code: 0) }
        let code = errno
        if count < 0, code != EAGAIN, code != EINTR { throw fault(MOSQ_ERR_ERRNO.intValue, code: code) }
    }

    // MARK: Sending

    /// Publishes with QoS 1.
    /// - Returns: the library's result, and the packet identifier when it is MOSQ_ERR_SUCCESS.
    func publish(
        topic: String, payload: [UInt8], retain: Bool, envelope: UnsafePointer<cmosquitto_envelope>?
    ) -> (result: Int32, packetIdentifier: Int32) {
        var packetIdentifier: Int32 = 0
        let result = payload.withUnsafeBytes {
            cmosquitto_publish(
                handle, &packetIdentifier, topic, $0.baseAddress, Int32(clamping: $0.count), retain, envelope
            )
        }
        return (result, packetIdentifier)
    }

    /// Subscribes with QoS 1; with 5.0 our own publications do not come back, and retain flags stay as published.
    /// - Returns: the packet identifier.
    func subscribe(_ filter: String) throws(LinkFault) -> Int32 {
        var packetIdentifier: Int32 = 0
        // No Local on a shared subscription is a protocol error [MQTT-3.8.3-4].
        let noLocal = filter.hasPrefix("$share/") ? 0 : MQTT_SUB_OPT_NO_LOCAL.rawValue
        let options = version == .v5 ? noLocal | MQTT_SUB_OPT_RETAIN_AS_PUBLISHED.rawValue : 0
        let result = mosquitto_subscribe_v5(handle, &packetIdentifier, filter, 1, Int32(options), nil)
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

    /// - Parameter code: errno after the call.
    func fault(_ result: Int32, code: Int32) -> LinkFault {
        let isUp = news.answer != nil
        if let reason = news.disconnectReason { return .disconnected(reason: reason) }
        // 2.0.21 reports a failed handshake as a failed read or write; only its complaint tells.
        if isHandshaking, let complaint = news.complaint { return .tls(address, detail: complaint) }
        switch result {
        case MOSQ_ERR_CONN_LOST.intValue, MOSQ_ERR_NO_CONN.intValue:
            return isUp ? .broken(code: 0) : .closedBeforeAnswer(address)
        case MOSQ_ERR_ERRNO.intValue where isHandshaking && code == 0: return .closedBeforeAnswer(address)
        case MOSQ_ERR_ERRNO.intValue: return isUp ? .broken(code: code) : .connect(address, code: code)
        case MOSQ_ERR_TLS.intValue, MOSQ_ERR_TLS_HANDSHAKE.intValue:
            return .tls(address, detail: news.complaint ?? "no details")
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
