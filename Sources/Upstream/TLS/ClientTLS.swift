internal import COpenSSL
internal import Glibc

/// What a connection needs for TLS, read from the files once: authorities, own certificate and key stay as they are,
/// whatever becomes of the files. Not Sendable: the link's thread's alone.
final class ClientTLS {
    private let handle: OpaquePointer
    /// The files as they were read.
    let fingerprint: TLSFingerprint
    private var name = ""

    /// Reads the files; blocks for as long as that takes.
    init(_ files: UpstreamConfiguration.TLS, fingerprint: TLSFingerprint) throws(LinkFault) {
        for path in files.paths where access(path, R_OK) != 0 { throw .file(path: path, code: errno) }
        var problem = copenssl_no_problem
        var reason = [CChar](repeating: 0, count: 256)
        let size = reason.count
        let made = Self.withStrings(files) { settings in
            copenssl_client_new(settings, &problem, &reason, size)
        }
        guard let made else {
            let text = String(decoding: reason.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            switch problem {
            case copenssl_authority_file: throw .badFile(files.authorityFile ?? "of the system's authorities", text)
            case copenssl_certificate_file: throw .badFile(files.certificateFile ?? "", text)
            case copenssl_key_file: throw .badFile(files.keyFile ?? "", text)
            case copenssl_key_of_another:
                throw .badFile(files.keyFile ?? "", "it is not the key of \(files.certificateFile ?? "")")
            default: throw .library(doing: "prepare TLS for the upstream", reason: text)
            }
        }
        handle = made
        self.fingerprint = fingerprint
    }

    deinit { copenssl_client_free(handle) }

    private static func withStrings<R>(
        _ files: UpstreamConfiguration.TLS, _ body: (UnsafePointer<copenssl_settings>) -> R
    ) -> R {
        withOptional(files.authorityFile) { authority in
            withOptional(files.certificateFile) { certificate in
                withOptional(files.keyFile) { key in
                    withOptional(files.alpn) { alpn in
                        var settings = copenssl_settings(
                            authority_file: authority, certificate_file: certificate, key_file: key, alpn: alpn,
                            minimum_version: files.minimumVersion == .v13 ? 13 : 12)
                        return body(&settings)
                    }
                }
            }
        }
    }

    private static func withOptional<R>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> R) -> R {
        text.map { $0.withCString(body) } ?? body(nil)
    }

    /// For the connection that is made next: whose certificate is expected, and what time it is held against.
    func expect(_ name: String, unixSeconds: Int64) throws(LinkFault) {
        self.name = name
        guard copenssl_client_expect(handle, name, UpstreamAddress.isAddress(name), unixSeconds) else {
            throw .library(doing: "ask the upstream for the certificate of \(name)", reason: "it is no name")
        }
    }

    /// For `MOSQ_OPT_SSL_CTX`.
    var context: UnsafeMutableRawPointer { copenssl_client_context(handle) }

    /// Why the handshake failed, as far as that is known here.
    var failure: TLSFailure? {
        let refusal = copenssl_client_refusal(handle)
        if refusal != 0 {
            if copenssl_is_expired(refusal) { return .expired }
            if copenssl_is_not_yet_valid(refusal) { return .notYetValid }
            if copenssl_is_another_name(refusal) { return .anotherName(expected: name) }
            return .untrusted(String(cString: copenssl_refusal_text(refusal)))
        }
        let alert = copenssl_client_alert(handle)
        guard alert >= 0 else { return nil }
        let text = String(cString: copenssl_alert_text(alert))
        return copenssl_is_certificate_alert(alert) ? .ownCertificateRefused(text) : .refused(text)
    }

    /// When the own certificate ends, Unix seconds; `nil` where there is none.
    var expiry: Int64? {
        let expiry = copenssl_client_expiry(handle)
        return expiry == 0 ? nil : expiry
    }

    /// When the certificate ends that the broker showed on a connection, Unix seconds.
    static func expiry(ofServerOn connection: UnsafeMutableRawPointer?) -> Int64? {
        let expiry = copenssl_server_expiry(connection)
        return expiry == 0 ? nil : expiry
    }
}

/// Tells whether files have changed: their identities, sizes and times of change (stat(2)).
struct TLSFingerprint: Hashable, Sendable {
    private struct File: Hashable, Sendable {
        var device: UInt
        var inode: UInt
        var size: Int
        var seconds: Int
        var nanoseconds: Int
        /// What could not be read is another file once it can.
        var mode: UInt32
        var user: UInt32
        var group: UInt32
    }

    private var files: [File?]

    /// Looks at the files; blocks for as long as that takes.
    init(of paths: [String]) {
        files = paths.map { path in
            var information = stat()
            guard stat(path, &information) == 0 else { return nil }
            return File(
                device: UInt(information.st_dev), inode: UInt(information.st_ino), size: Int(information.st_size),
                seconds: Int(information.st_mtim.tv_sec), nanoseconds: Int(information.st_mtim.tv_nsec),
                mode: information.st_mode, user: information.st_uid, group: information.st_gid)
        }
    }
}
