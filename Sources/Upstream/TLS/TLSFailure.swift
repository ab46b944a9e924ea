/// Why a TLS handshake failed.
package enum TLSFailure: Hashable, Sendable {
    /// The broker's certificate has expired, by the time that is known here.
    case expired
    case notYetValid
    /// The broker's certificate is not for the name that was asked for.
    case anotherName(expected: String)
    /// It leads to no authority that is trusted, or is bad in another way; OpenSSL's words.
    case untrusted(String)
    /// The broker does not accept our certificate, or that there is none; the alert in words.
    case ownCertificateRefused(String)
    /// The broker ended the handshake for another reason; the alert in words.
    case refused(String)
    /// What answers at the port does not speak TLS.
    case noTLS
    /// Anything else; libmosquitto's or OpenSSL's words.
    case other(String)

    /// - Parameter complaint: libmosquitto's or OpenSSL's words.
    init(complaint: String) {
        let isNoTLS = ["wrong version number", "unknown protocol", "packet length too long", "http request"].contains {
            complaint.contains($0)
        }
        self = isNoTLS ? .noTLS : .other(complaint)
    }

    var reason: String {
        switch self {
        case .expired: "the broker's certificate has expired"
        case .notYetValid: "the broker's certificate is not valid yet"
        case .anotherName(let name): "the broker's certificate is not for \(name)"
        case .untrusted(let text): "the broker's certificate is not trusted: \(text)"
        case .ownCertificateRefused(let alert): "the broker does not accept the gateway's certificate: \(alert)"
        case .refused(let alert): "the broker refused: \(alert)"
        case .noTLS: "the port does not speak TLS"
        case .other(let text): text
        }
    }

    var remedy: String {
        switch self {
        case .expired: "renew the certificate on the broker; check this machine's clock (timedatectl)"
        case .notYetValid: "check this machine's clock (timedatectl)"
        case .anotherName:
            "use the name in the broker's certificate in upstream.url, or set upstream.server_name to it"
        case .untrusted: "set upstream.ca_file to the authority that signed the broker's certificate"
        case .ownCertificateRefused:
            "check upstream.cert_file and upstream.key_file: the broker must know their authority, and they must not have expired"
        case .refused: "check upstream.alpn, upstream.tls_version and the broker's log"
        case .noTLS: "set the broker's TLS port in upstream.url (often 8883)"
        case .other: "check the port, upstream.ca_file, the client certificate and the broker's log"
        }
    }
}
