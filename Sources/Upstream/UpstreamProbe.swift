internal import CMosquitto
internal import Glibc
package import Readings

/// Goes the way to a broker once, step by step, to see where it ends: name, connection, TLS, login, and a message there
/// and back to its acknowledgement.
///
/// As a guest: under a client identifier of its own, without a session, a will or a state, so that a gateway that runs
/// beside it is not disturbed.
package enum UpstreamProbe {
    package enum Step: String, Hashable, Sendable, CaseIterable {
        case name
        case connection
        case tls
        case login
        case message
    }

    package struct Finding: Hashable, Sendable {
        package var step: Step
        /// What was found, in words: "192.0.2.1, 192.0.2.2"; of a fault what was tried and why it failed.
        package var text: String
        /// What to do; `nil` where nothing failed.
        package var remedy: String?
        /// Whether it failed.
        package var hasFailed: Bool { remedy != nil }
    }

    /// Goes the way on a thread of its own. What follows a step that failed is not tried.
    /// - Parameters:
    ///   - patience: for each step.
    ///   - done: called once, on that thread.
    package static func start(
        _ configuration: UpstreamConfiguration, _ url: UpstreamAddress, time: any TimeSource, patience: Duration,
        done: @escaping @Sendable ([Finding]) -> Void
    ) {
        do throws(LinkFault) {
            try LinkThread.start("probe") { done(run(configuration, url, time: time, patience: patience)) }
        } catch {
            done([Finding(step: .name, text: error.summary, remedy: error.remedy)])
        }
    }

    private static func run(
        _ configuration: UpstreamConfiguration, _ url: UpstreamAddress, time: any TimeSource, patience: Duration
    ) -> [Finding] {
        var findings: [Finding] = []
        do throws(LinkFault) {
            let hosts = try resolve(url, patience, &findings)
            let host = try reach(url, hosts, patience, &findings)
            try speak(configuration, url, host: host, time: time, patience, &findings)
        } catch {
            let step = step(of: error, after: findings.last?.step)
            findings.append(Finding(step: step, text: error.summary, remedy: error.remedy))
        }
        return findings
    }

    /// Where a fault belongs.
    private static func step(of fault: LinkFault, after last: Step?) -> Step {
        switch fault {
        case .resolve, .unresolved: .name
        case .connect: .connection
        case .tls, .file, .badFile: .tls
        case .refused, .noAnswer, .closedBeforeAnswer: .login
        default: last == .login ? .message : last == nil ? .name : .login
        }
    }

    private static func resolve(
        _ url: UpstreamAddress, _ patience: Duration, _ findings: inout [Finding]
    ) throws(LinkFault) -> [String] {
        guard !url.isLiteral else { return [url.host] }
        let alarm = try Alarm()
        let resolver = Resolver(answered: { alarm.ring() })
        try resolver.lookUp(url.host)
        guard alarm.wait(patience), let answer = resolver.take(url.host) else {
            throw .unresolved(host: url.host, within: patience)
        }
        switch answer {
        case .failed(let reason): throw .resolve(host: url.host, reason: reason)
        case .addresses(let hosts):
            findings.append(Finding(step: .name, text: "\(url.host) is \(hosts.joined(separator: ", "))"))
            return hosts
        }
    }

    /// The first address that takes a TCP connection.
    private static func reach(
        _ url: UpstreamAddress, _ hosts: [String], _ patience: Duration, _ findings: inout [Finding]
    ) throws(LinkFault) -> String {
        var failures: [(host: String, code: Int32)] = []
        for host in hosts {
            let code = connect(host, url.port, patience)
            if code == 0 {
                let others = failures.map { ", \($0.host) does not (\(errorText($0.code)))" }.joined()
                findings.append(
                    Finding(step: .connection, text: "\(host) takes connections at port \(url.port)\(others)"))
                return host
            }
            failures.append((host, code))
        }
        throw .connect(url, code: failures.last?.code ?? EHOSTUNREACH)
    }

    /// - Returns: 0, or the errno.
    private static func connect(_ host: String, _ port: UInt16, _ patience: Duration) -> Int32 {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, "\(port)", &hints, &list) == 0, let address = list?.pointee else { return EINVAL }
        defer { freeaddrinfo(list) }
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = socket(address.ai_family, kind, 0)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return 0 }
        guard errno == EINPROGRESS else { return errno }
        var descriptors = [pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)]
        guard poll(&descriptors, 1, patience.pollMilliseconds) > 0 else { return ETIMEDOUT }
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        return code
    }

    private static func speak(
        _ configuration: UpstreamConfiguration, _ url: UpstreamAddress, host: String, time: any TimeSource,
        _ patience: Duration, _ findings: inout [Finding]
    ) throws(LinkFault) {
        let versions: [WireVersion] =
            switch configuration.protocolChoice {
            case .automatic: [.v5, .v311]
            case .only(let version): [version]
            }
        for version in versions {
            do throws(LinkFault) {
                return try speak(version, configuration, url, host: host, time: time, patience, &findings)
            } catch {
                guard case .refused(_, .unsupportedVersion) = error, version != versions.last else { throw error }
                findings.removeAll { $0.step == .tls }
            }
        }
    }

    private static func speak(
        _ version: WireVersion, _ configuration: UpstreamConfiguration, _ url: UpstreamAddress, host: String,
        time: any TimeSource, _ patience: Duration, _ findings: inout [Finding]
    ) throws(LinkFault) {
        var guest = configuration
        guest.subscriptions = []
        var tls: ClientTLS?
        let now = time.now()
        if url.transport == .tls {
            let prepared = try ClientTLS(configuration.tls, fingerprint: TLSFingerprint(of: configuration.tls.paths))
            try prepared.expect(
                configuration.tls.serverName ?? url.host, unixSeconds: now.unixNanoseconds / 1_000_000_000)
            tls = prepared
        }
        let client = try MosquittoClient(
            guest, address: url, version: version, identifier: "\(configuration.clientIdentifier)-doctor", tls: tls,
            hasWill: false)
        try client.connect(guest, host: host)
        try serve(client, patience, else: .noAnswer(url, within: patience)) { client.events.answer != nil }
        if tls != nil { findings.append(certificates(client, now: now)) }
        if let code = client.events.answer?.code, code != 0 {
            throw .refused(url, ConnectRefusal(code: code, version: version))
        }
        findings.append(
            Finding(step: .login, text: "the broker lets \(configuration.username ?? "us") in, by MQTT \(version)"))
        let sent = time.now().instant
        let (result, packetIdentifier) = client.publish(
            topic: configuration.canaryTopic, payload: Array("doctor".utf8), retain: false)
        let code = errno
        guard result == MOSQ_ERR_SUCCESS.intValue else { throw client.fault(result, code: code) }
        try serve(client, patience, else: .stalled(patience)) { !client.events.acknowledgements.isEmpty }
        let milliseconds = (time.now().instant - sent).wholeNanoseconds / 1_000_000
        if let acknowledgement = client.events.acknowledgements.first(where: { $0.packetIdentifier == packetIdentifier }
        ),
            acknowledgement.reason >= 0x80
        {
            findings.append(
                Finding(
                    step: .message,
                    text:
                        "a message to \(configuration.canaryTopic) is refused: \(ReasonText.of(acknowledgement.reason))",
                    remedy:
                        "allow this account to publish below \(configuration.stateTopic.prefix { $0 != "/" })/ on the broker"
                ))
        } else {
            findings.append(
                Finding(
                    step: .message,
                    text: "a message to \(configuration.canaryTopic) is acknowledged after \(milliseconds) ms"))
        }
        client.disconnect()
    }

    private static func certificates(_ client: MosquittoClient, now: Timestamp) -> Finding {
        func days(_ unixSeconds: Int64) -> Int64 { (unixSeconds - now.unixNanoseconds / 1_000_000_000) / 86_400 }
        var text = "the broker's certificate is trusted"
        if let expiry = client.serverExpiry { text += ", for \(days(expiry)) more days" }
        if let expiry = client.tls?.expiry { text += "; the gateway's own is accepted, for \(days(expiry)) more days" }
        return Finding(step: .tls, text: text)
    }

    /// Lets the library work until `isDone`.
    private static func serve(
        _ client: MosquittoClient, _ patience: Duration, else fault: LinkFault, until isDone: () -> Bool
    ) throws(LinkFault) {
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        while !isDone() {
            guard let socket = client.socket else { throw client.lost }
            let left = deadline - clock.now
            guard left > .zero else { throw fault }
            let events = client.wantsWrite ? POLLIN | POLLOUT : POLLIN
            var descriptors = [pollfd(fd: socket, events: Int16(events), revents: 0)]
            guard poll(&descriptors, 1, left.pollMilliseconds) >= 0 || errno == EINTR else {
                throw .library(doing: "wait for the upstream", reason: errorText(errno))
            }
            let came = Int32(descriptors[0].revents)
            if came & POLLOUT != 0 { try client.write() }
            guard came & ~POLLOUT != 0 else { continue }
            do throws(LinkFault) {
                try client.read()
            } catch {
                // A refusing CONNACK is an error to the library too, after it has told of it.
                guard isDone() else { throw error }
            }
        }
    }

    /// Something that a thread waits for and another one rings.
    private final class Alarm: Sendable {
        private let descriptor: Int32

        init() throws(LinkFault) {
            descriptor = cmosquitto_alarm()
            guard descriptor >= 0 else { throw .library(doing: "wait for the resolver", reason: errorText(errno)) }
        }

        deinit { close(descriptor) }

        func ring() {
            var one: UInt64 = 1
            _ = write(descriptor, &one, 8)
        }

        func wait(_ patience: Duration) -> Bool {
            var descriptors = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
            return poll(&descriptors, 1, patience.pollMilliseconds) > 0
        }
    }
}

extension Duration {
    /// For poll(2).
    fileprivate var pollMilliseconds: Int32 { Int32(clamping: max(0, wholeNanoseconds) / 1_000_000 + 1) }
}
