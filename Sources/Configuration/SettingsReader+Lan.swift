import Broker
import MQTT
import Readings
import Settings

/// `[lan]` and `[[listener]]`: where devices come in, and how much of it there may be.
extension SettingsReader {
    func lan() -> BrokerConfiguration {
        let reader = reader("lan", keys: SettingsKeys.lan)
        var configuration = BrokerConfiguration()
        let addresses = reader.strings("listen") ?? []
        let plain = addresses.indices.compactMap { index -> Listener? in
            let position = place(index, of: "listen", in: reader)
            guard let address = ListenAddress(addresses[index]) else {
                diagnostics.error(
                    "listen: expected host:port, such as \"127.0.0.1:1883\" or \"[::1]:1883\", found \"\(addresses[index])\"",
                    at: position)
                return nil
            }
            var listener = Listener(.tcp(address))
            if let anonymous = reader.boolean("anonymous") { listener.allowsAnonymous = anonymous }
            warnIfOpen(listener, at: position)
            return listener
        }
        configuration.listeners =
            plain + (document.tables("listener", into: diagnostics) ?? []).flatMap { listeners($0) }
        if addresses.isEmpty, configuration.listeners.isEmpty {
            reader.error("listen: expected at least one address, here or in a [[listener]]", at: "listen")
        }
        readLimits(reader, into: &configuration)
        return configuration
    }

    private func readLimits(_ reader: TableReader, into configuration: inout BrokerConfiguration) {
        if let clients = reader.integer("max_connections") {
            configuration.maximumClients = Int(clients)
            configuration.maximumPending = Int(clients)
        }
        if let connections = reader.integer("max_connections_per_address") {
            configuration.addressLimits.connections = AddressLimits.Bound(Int(connections), holdsForLoopback: true)
        }
        if let rate = reader.integer("connect_rate") {
            configuration.addressLimits.rate = AddressLimits.Bound(Int(rate), holdsForLoopback: true)
        }
        if let size = reader.byteSize("max_packet_size") { configuration.limits.maximumPacketSize = UInt32(size) }
        if let timeout = reader.duration("connect_timeout") {
            configuration.limits.connectTimeout = timeout.wholeNanoseconds
        }
        if let keepAlive = reader.duration("max_keep_alive") {
            configuration.limits.maximumKeepAlive = UInt16(clamping: keepAlive.components.seconds)
        }
        if let count = reader.integer("max_subscriptions") { configuration.maximumSubscriptions = Int(count) }
        if let count = reader.integer("max_sessions") { configuration.maximumSessions = Int(count) }
        if let expiry = reader.duration("max_session_expiry") {
            configuration.maximumSessionExpiry = UInt32(clamping: expiry.components.seconds)
        }
        if let count = reader.integer("max_queued_messages") { configuration.limits.queueCount = Int(count) }
        if let bytes = reader.byteSize("max_queued_bytes") { configuration.limits.queueBytes = Int(bytes) }
        if let bytes = reader.byteSize("max_kept_bytes") { configuration.maximumKeptBytes = Int(bytes) }
        if let count = reader.integer("max_retained") { configuration.maximumRetained = Int(count) }
        if let bytes = reader.byteSize("max_retained_bytes") { configuration.maximumRetainedBytes = Int(bytes) }
    }

    /// A `[[listener]]`: one for each of its addresses.
    private func listeners(_ table: TOMLTable) -> [Listener] {
        let reader = TableReader(table, keys: SettingsKeys.listener, path: "[[listener]]", diagnostics: diagnostics)
        let tls = tls(reader)
        let origins = origins(reader)
        let texts = reader.strings("listen") ?? []
        if texts.isEmpty, reader.has("listen") { reader.error("listen: expected at least one address", at: "listen") }
        return texts.indices.compactMap { index in
            let position = place(index, of: "listen", in: reader)
            guard let endpoint = Listener.Endpoint(texts[index]) else {
                diagnostics.error(
                    "listen: expected host:port, such as \"0.0.0.0:8883\", or unix:/path of at most 100 bytes, found \"\(texts[index])\"",
                    at: position)
                return nil
            }
            var listener = Listener(endpoint)
            listener.tls = tls
            listener.isWebSocket = reader.choice("protocol") == "websocket"
            listener.origins = origins
            switch reader.choice("user_from") {
            case "common-name": listener.userSource = .commonName
            case "san": listener.userSource = .alternativeName
            default: listener.userSource = .login
            }
            if let anonymous = reader.boolean("anonymous") { listener.allowsAnonymous = anonymous }
            if case .unix(let path) = endpoint {
                named.note(path, .socket, at: position)
                if tls != nil { reader.error("cert_file has no meaning on a unix socket", at: "cert_file") }
            }
            warnIfOpen(listener, at: position)
            return listener
        }
    }

    private func origins(_ reader: TableReader) -> [String] {
        let texts = reader.strings("origins") ?? []
        if reader.has("origins"), reader.choice("protocol") != "websocket" {
            reader.error("origins has a meaning only with protocol = \"websocket\"", at: "origins")
        }
        return texts.indices.compactMap { index in
            guard !Listener.isOrigin(texts[index]) else { return texts[index] }
            diagnostics.error(
                "origins: expected scheme and host, such as \"https://panel.example.com\", or \"*\", found \"\(texts[index])\"",
                at: place(index, of: "origins", in: reader))
            return nil
        }
    }

    private func tls(_ reader: TableReader) -> Listener.TLS? {
        for (one, other) in [("cert_file", "key_file"), ("key_file", "cert_file"), ("client_ca_file", "cert_file")]
        where reader.has(one) && !reader.has(other) {
            reader.error("\(one) needs \(other) beside it", at: one)
        }
        for key in ["client_certificate", "user_from"] where reader.has(key) && !reader.has("client_ca_file") {
            guard key == "client_certificate" || reader.choice("user_from") != "login" else { continue }
            reader.error("\(key) needs client_ca_file beside it", at: key)
        }
        guard let certificate = reader.string("cert_file"), let key = reader.string("key_file") else { return nil }
        var tls = Listener.TLS(certificateFile: path(certificate), keyFile: path(key))
        named.note(tls.certificateFile, .certificate, at: reader.position("cert_file"))
        named.note(tls.keyFile, .key, at: reader.position("key_file"))
        if let authorities = reader.string("client_ca_file") {
            tls.clientAuthorityFile = path(authorities)
            named.note(tls.clientAuthorityFile, .authorities, at: reader.position("client_ca_file"))
            tls.clientCertificate = reader.choice("client_certificate") == "optional" ? .optional : .required
        }
        return tls
    }

    private func warnIfOpen(_ listener: Listener, at position: SourcePosition) {
        guard listener.isOpen else { return }
        diagnostics.warning(
            "listen: every client that reaches \(listener.endpoint) may read and publish what the access rules leave open to everybody: anonymous = true",
            at: position)
    }

    private func place(_ index: Int, of key: String, in reader: TableReader) -> SourcePosition {
        let positions = reader.positions(key)
        return positions.indices.contains(index) ? positions[index] : reader.position
    }
}

extension Listener {
    /// Clients on other machines need neither a user name nor a certificate.
    fileprivate var isOpen: Bool {
        allowsAnonymous && !endpoint.isLocal && tls?.clientCertificate != .required
    }
}

extension Listener.Endpoint {
    /// `host:port` or `unix:/path`; `nil` for anything else.
    fileprivate init?(_ text: String) {
        if text.hasPrefix("unix:") {
            let path = text.dropFirst("unix:".count)
            // A socket's address has room for 107 bytes (unix(7)).
            guard path.hasPrefix("/"), path.utf8.count <= 100 else { return nil }
            self = .unix(path: String(path))
        } else {
            guard let address = ListenAddress(text) else { return nil }
            self = .tcp(address)
        }
    }
}
