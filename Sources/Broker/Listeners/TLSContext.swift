import Glibc
import NIOSSL
import Synchronization

/// What a TLS listener answers handshakes with. Safe to use from any thread.
///
/// The files are read again when they change, so that a certificate can be renewed while devices are connected: new
/// connections get the new one, those that are there keep theirs.
final class TLSContext: Sendable {
    /// What tells one version of a file from another.
    private struct Stamp: Equatable {
        var inode: UInt64
        var size: Int64
        var seconds: Int
        var nanoseconds: Int

        init?(_ path: String) {
            var information = stat()
            guard stat(path, &information) == 0 else { return nil }
            inode = UInt64(information.st_ino)
            size = Int64(information.st_size)
            seconds = information.st_mtim.tv_sec
            nanoseconds = information.st_mtim.tv_nsec
        }
    }

    private struct State {
        var context: NIOSSLContext
        /// Why the files, as they were read last, cannot be used.
        var problem: BrokerError?
        /// Of the files when they were last read, whatever came of it.
        var stamps: [Stamp?]
    }

    private let tls: Listener.TLS
    private let listener: Listener
    private let state: Mutex<State>

    /// Reads the files; blocks for that.
    init(_ tls: Listener.TLS, for listener: Listener) throws(BrokerError) {
        self.tls = tls
        self.listener = listener
        let stamps = Self.stamps(tls)
        state = Mutex(State(context: try Self.read(tls, for: listener), stamps: stamps))
    }

    /// Why the files, as they are now, cannot be used; `nil` when they can. The last good ones serve on meanwhile.
    var problem: BrokerError? { state.withLock { $0.problem } }

    /// The newest that could be read.
    var current: NIOSSLContext { state.withLock { $0.context } }

    /// Reads the files again if they have changed; blocks for that.
    /// - Returns: whether there is a new context.
    /// - Throws: once for each change that cannot be used. The old context stays.
    func reload() throws(BrokerError) -> Bool {
        let stamps = Self.stamps(tls)
        let isNew = state.withLock { state in
            guard state.stamps != stamps else { return false }
            state.stamps = stamps
            return true
        }
        guard isNew else { return false }
        do throws(BrokerError) {
            let context = try Self.read(tls, for: listener)
            state.withLock { state in
                state.context = context
                state.problem = nil
            }
        } catch {
            state.withLock { $0.problem = error }
            throw error
        }
        return true
    }

    private static func stamps(_ tls: Listener.TLS) -> [Stamp?] {
        [tls.certificateFile, tls.keyFile, tls.clientAuthorityFile].map { $0.flatMap(Stamp.init) }
    }

    private static func read(_ tls: Listener.TLS, for listener: Listener) throws(BrokerError) -> NIOSSLContext {
        func failure(_ path: String, _ reason: String, _ remedy: String) -> BrokerError {
            BrokerError(.certificate, doing: "use \(path) for \(listener)", reason: reason, remedy: remedy)
        }
        func attempt<R>(
            _ path: String, _ content: PEMFile.Content, _ body: () throws -> R
        ) throws(BrokerError) -> R {
            if let mistake = PEMFile.mistake(in: path, expecting: content) {
                throw failure(path, mistake.reason, mistake.remedy)
            }
            do {
                return try body()
            } catch {
                throw failure(
                    path, "\(error)",
                    content == .key
                        ? "look at it with: openssl pkey -in \(path) -check"
                        : "look at it with: openssl x509 -in \(path) -text")
            }
        }
        let chain = try attempt(tls.certificateFile, .certificates) {
            try NIOSSLCertificate.fromPEMFile(tls.certificateFile)
        }
        let key = try attempt(tls.keyFile, .key) { try NIOSSLPrivateKey(file: tls.keyFile, format: .pem) }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = [listener.isWebSocket ? "http/1.1" : "mqtt"]
        switch tls.clientCertificate {
        case .none: configuration.certificateVerification = .none
        case .optional: configuration.certificateVerification = .optionalVerification
        case .required: configuration.certificateVerification = .noHostnameVerification
        }
        if let authorities = tls.clientAuthorityFile {
            _ = try attempt(authorities, .certificates) { try NIOSSLCertificate.fromPEMFile(authorities) }
            configuration.trustRoots = .file(authorities)
        }
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            // Both files were read alone before: a key that cannot be used with the certificate is of another one.
            guard ["KEY_VALUES_MISMATCH", "failedToLoadPrivateKey"].contains(where: { "\(error)".contains($0) }) else {
                throw failure(tls.certificateFile, "\(error)", "look at it with: openssl x509 -in FILE -text")
            }
            throw failure(
                tls.keyFile, "the key does not belong to the certificate in \(tls.certificateFile)",
                "use the key that the certificate was made for; the first certificate in the file must be the gateway's"
            )
        }
    }
}

extension Listener.UserSource {
    /// The name in a client's verified certificate; `nil` where it has none, or none is wanted.
    func name(in certificate: NIOSSLCertificate) -> String? {
        let name: String?
        switch self {
        case .login: return nil
        case .commonName:
            // The most specific one stands last (RFC 4514 §2.1).
            name = certificate.subjectName.last { $0.type == .commonName }?.value
        case .alternativeName:
            name =
                certificate._subjectAlternativeNames().lazy.compactMap { alternative -> String? in
                    switch alternative.nameType {
                    case .email, .dnsName, .uri: String(validating: alternative.contents, as: UTF8.self)
                    default: nil
                    }
                }.first
        }
        guard let name, !name.isEmpty, !name.utf8.contains(0) else { return nil }
        return name
    }
}
