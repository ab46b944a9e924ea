internal import Readings

/// Which certificates a connection is made with: those in the files or, when those were no good, the last ones that were.
///
/// Renewed files are tried beside the connection that there is, and take over when the broker has accepted them. Not
/// Sendable: the link's thread's alone.
final class CertificateReloader {
    private let files: UpstreamConfiguration.TLS
    private var choice = CertificateChoice()
    /// What a broker accepted last.
    private var good: ClientTLS?
    private var nextLook: Instant?
    /// Why the files are not used, when they are not.
    private(set) var problem: LinkFault?

    /// How often the files are looked at while there is a connection.
    private let interval: Duration

    init(_ files: UpstreamConfiguration.TLS, interval: Duration) {
        self.files = files
        self.interval = interval
    }

    /// What the next attempt uses.
    func client() throws(LinkFault) -> ClientTLS {
        let present = TLSFingerprint(of: files.paths)
        if let good, choice.keepsGood(present) { return good }
        do throws(LinkFault) {
            return try read(present)
        } catch {
            guard let good else { throw error }
            return good
        }
    }

    /// What the files hold now, for a trial: what was good before is in use.
    func renewed() throws(LinkFault) -> ClientTLS { try read(TLSFingerprint(of: files.paths)) }

    private func read(_ present: TLSFingerprint) throws(LinkFault) -> ClientTLS {
        do throws(LinkFault) {
            return try ClientTLS(files, fingerprint: present)
        } catch {
            choice.refused(present)
            problem = error
            throw error
        }
    }

    /// The broker let us in with it.
    func accepted(_ client: ClientTLS) {
        guard client !== good else { return }
        good = client
        choice.accepted(client.fingerprint)
        problem = nil
    }

    /// The handshake with it failed.
    func refused(_ client: ClientTLS, _ fault: LinkFault) {
        if client === good {
            choice.goodWasRefused()
        } else {
            choice.refused(client.fingerprint)
            problem = fault
        }
    }

    /// Whether the files have become others that nobody has refused yet, and stayed so since the last look.
    func hasNews(now: Instant) -> Bool {
        guard good != nil, nextLook.map({ now >= $0 }) ?? true else { return false }
        nextLook = now + interval
        let present = TLSFingerprint(of: files.paths)
        // What was put in their place has been taken away again.
        if choice.isAccepted(present) { problem = nil }
        return choice.hasNews(present)
    }

    /// When to ask ``hasNews(now:)`` next.
    var due: Instant? { good == nil ? nil : nextLook }
}

/// The rules of ``CertificateReloader``. Pure.
struct CertificateChoice: Sendable {
    private var acceptedOne: TLSFingerprint?
    private var refusedOne: TLSFingerprint?
    private var seen: TLSFingerprint?

    /// Whether to go on with what was accepted last, though the files may be others.
    func keepsGood(_ present: TLSFingerprint) -> Bool { present == acceptedOne || present == refusedOne }

    func isAccepted(_ present: TLSFingerprint) -> Bool { present == acceptedOne }

    mutating func accepted(_ fingerprint: TLSFingerprint) { (acceptedOne, refusedOne) = (fingerprint, nil) }

    mutating func refused(_ fingerprint: TLSFingerprint) { refusedOne = fingerprint }

    /// What was good is so no more: the files get another chance.
    mutating func goodWasRefused() { refusedOne = nil }

    /// A pair of files is not renewed at one instant: they are looked at twice.
    mutating func hasNews(_ present: TLSFingerprint) -> Bool {
        defer { seen = present }
        return present == seen && present != acceptedOne && present != refusedOne
    }
}
