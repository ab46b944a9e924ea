import NIOSSL

/// Why a TLS handshake failed, in words: BoringSSL's are for its authors.
enum TLSFailure {
    /// What stands in BoringSSL's errors, and what it means here.
    private static let meanings: [(token: String, reason: String, remedy: String?)] = [
        ("HTTP_REQUEST", "HTTP came where TLS is spoken", "use https:// or wss:// in the client"),
        (
            "WRONG_VERSION_NUMBER", "what came is no TLS, perhaps plain MQTT",
            "turn TLS on in the client, or let it use the port of a plain listener"
        ),
        ("UNSUPPORTED_PROTOCOL", "the client offers nothing newer than TLS 1.1", "update the client"),
        ("NO_SHARED_CIPHER", "the client and the gateway have no cipher suite in common", "update the client"),
        (
            "PEER_DID_NOT_RETURN_A_CERTIFICATE", "the client showed no certificate",
            "give the client a certificate, or set client_certificate = \"optional\""
        ),
        (
            "CERTIFICATE_VERIFY_FAILED", "the client's certificate does not lead to client_ca_file, or has expired",
            "look at it with: openssl verify -CAfile CA CERTIFICATE"
        ),
        (
            "ALERT_UNKNOWN_CA", "the client does not know the authority of the gateway's certificate",
            "give the client the authority's certificate, and cert_file the certificates that lead to it"
        ),
        (
            "ALERT_CERTIFICATE_EXPIRED", "the client finds the gateway's certificate expired",
            "renew cert_file, or set the client's clock"
        ),
        (
            "ALERT_CERTIFICATE_UNKNOWN", "the client does not accept the gateway's certificate",
            "compare the names in cert_file with the host that the client uses"
        ),
        (
            "ALERT_BAD_CERTIFICATE", "the client does not accept the gateway's certificate",
            "compare the names in cert_file with the host that the client uses"
        ),
        (
            "BAD_PACKET_LENGTH", "the client broke off, as clients of TLS 1.3 do that do not accept the certificate",
            "give the client the authority's certificate, and compare the names in cert_file with the host that it uses"
        ),
        ("eofDuringHandshake", "the client hung up during the handshake", nil),
    ]

    /// `nil`: not a failed handshake.
    static func describe(_ error: any Error) -> (reason: String, remedy: String?)? {
        guard error is NIOSSLError || error is BoringSSLError else { return nil }
        let text = "\(error)"
        if let known = meanings.first(where: { text.contains($0.token) }) { return (known.reason, known.remedy) }
        guard case .handshakeFailed(let inner)? = error as? NIOSSLError else { return nil }
        return ("\(inner)", nil)
    }
}
