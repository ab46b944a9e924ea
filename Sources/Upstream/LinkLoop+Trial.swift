internal import Logging
internal import Readings

/// A connection that is made beside the one that there is, to take its place when the broker has let it in.
struct LinkTrial {
    enum Purpose: Hashable {
        /// The files of certificates have changed.
        case renewal
        /// A URL that goes before the present one may be back.
        case preference
    }

    let connection: LinkConnection
    let purpose: Purpose
    /// Until when the broker has to answer; once it has, until when the other connection's messages may be acknowledged.
    var deadline: Instant
}

/// When URLs that go before the present one are looked at. Pure.
struct TrialPlan: Sendable {
    private let returnAfter: Duration
    private var nextReturn: Instant?
    /// The way to them, while it is being gone.
    private(set) var dial: DialPlan?
    /// Until when the resolver has to answer, while it is asked.
    private(set) var resolveDeadline: Instant?

    init(returnAfter: Duration) { self.returnAfter = returnAfter }

    mutating func connected(now: Instant) {
        nextReturn = now + returnAfter
        (dial, resolveDeadline) = (nil, nil)
    }

    /// When there is something to do, were there such URLs.
    var due: Instant? { resolveDeadline ?? (dial == nil ? nextReturn : nil) }

    mutating func begin(_ preferred: DialPlan?) { dial = preferred }

    mutating func next(now: Instant, resolveTimeout: Duration) -> DialPlan.Step? {
        let step = dial?.next()
        if case .resolve = step { resolveDeadline = now + resolveTimeout } else { resolveDeadline = nil }
        return step
    }

    mutating func resolved(_ hosts: [String]) {
        resolveDeadline = nil
        dial?.resolved(hosts)
    }

    /// What a failure says about the version that the broker speaks.
    /// - Returns: whether the other one is to be tried at the same address.
    mutating func note(_ fault: LinkFault) -> Bool {
        switch fault {
        case .refused(_, .unsupportedVersion): return dial?.refusedVersion() == true
        case .closedBeforeAnswer, .protocol: dial?.closedBeforeAnswer()
        default: break
        }
        return false
    }

    /// - Returns: whether there is more to try.
    mutating func failed(now: Instant) -> Bool {
        resolveDeadline = nil
        if dial?.failed() == true { return true }
        dial = nil
        nextReturn = now + returnAfter
        return false
    }
}

/// Trials: nothing of what works is given up before the other has been let in.
extension LinkLoop {
    /// What is on its way on the old connection gets so long to be acknowledged.
    private static let drainTime = Duration.seconds(2)

    /// When there is something to tend; `nil` for never.
    var trialDue: Instant? {
        guard machine.isUp, let current else { return nil }
        if let trial { return trial.deadline }
        let renewal = current.client.tls == nil ? nil : tls.due
        let preference = plan.preferred.isEmpty ? nil : trialPlan.due
        return [renewal, preference].compactMap(\.self).min()
    }

    func tendTrial() {
        guard machine.isUp, let current, current.isAnswered else { return dropTrial() }
        let now = time.now().instant
        if let trial {
            if trial.connection.isAnswered {
                if current.inFlight.count == 0 || now >= trial.deadline { takeOver(trial) }
            } else if now >= trial.deadline {
                endTrial(.noAnswer(trial.connection.url, within: configuration.connectTimeout))
            }
        } else if current.client.tls != nil, tls.hasNews(now: now) {
            begin(.renewal, current.url, host: current.host, version: current.client.version)
        } else if !plan.preferred.isEmpty {
            tendPreference(now: now)
        }
    }

    private func tendPreference(now: Instant) {
        if let dial = trialPlan.dial, let deadline = trialPlan.resolveDeadline {
            switch resolver.take(dial.url.host) {
            case .addresses(let hosts):
                trialPlan.resolved(hosts)
                goOnWithPreference()
            case .failed(let reason): preferenceFailed(.resolve(host: dial.url.host, reason: reason))
            case nil where now >= deadline:
                preferenceFailed(.unresolved(host: dial.url.host, within: configuration.resolveTimeout))
            case nil: return
            }
        } else if let due = trialPlan.due, now >= due {
            trialPlan.begin(plan.forPreferred)
            goOnWithPreference()
        }
    }

    private func goOnWithPreference() {
        let step = trialPlan.next(now: time.now().instant, resolveTimeout: configuration.resolveTimeout)
        switch step {
        case .resolve(let url):
            do throws(LinkFault) {
                try resolver.lookUp(url.host)
            } catch {
                preferenceFailed(error)
            }
        case .connect(let url, let host):
            begin(.preference, url, host: host, version: trialPlan.dial?.version ?? plan.version)
        case nil: return
        }
    }

    private func preferenceFailed(_ fault: LinkFault) {
        logger.debug("an upstream that is preferred is not back yet", metadata: ["reason": "\(fault.reason)"])
        let isWorthAnother = trialPlan.note(fault)
        if let dial = trialPlan.dial { plan.learn(from: dial) }
        if isWorthAnother || trialPlan.failed(now: time.now().instant) { goOnWithPreference() }
    }

    private func begin(_ purpose: LinkTrial.Purpose, _ url: UpstreamAddress, host: String, version: WireVersion) {
        do throws(LinkFault) {
            let connection = try connect(url, host: host, version: version, isRenewal: purpose == .renewal)
            trial = LinkTrial(
                connection: connection, purpose: purpose,
                deadline: time.now().instant + configuration.connectTimeout)
        } catch {
            trialFailed(error, purpose)
        }
    }

    /// The trial's socket is ready for something, or the time has come to look at it.
    func serveTrial(events: Int32) {
        guard let connection = trial?.connection else { return }
        let wasAnswered = connection.isAnswered
        do throws(LinkFault) {
            try serve(connection, events: events)
            guard connection.client.socket != nil else { throw connection.client.lost }
        } catch {
            // A refusal tells more than the end that follows it.
            if let answer = connection.client.events.answer, answer.code != 0 {
                do throws(LinkFault) { try check(answer, connection.client) } catch { return endTrial(error) }
            }
            return endTrial(error)
        }
        guard let answer = connection.client.events.answer, !wasAnswered else { return }
        do throws(LinkFault) {
            try check(answer, connection.client)
            trial?.deadline = time.now().instant + Self.drainTime
        } catch {
            endTrial(error)
        }
    }

    private func endTrial(_ fault: LinkFault) {
        guard let trial else { return }
        note(fault, of: trial.connection)
        dropTrial()
        trialFailed(fault, trial.purpose)
    }

    /// What came over it is ours all the same: the broker has its acknowledgement.
    func dropTrial() {
        if let connection = trial?.connection { acceptIncoming(of: connection) }
        trial = nil
    }

    /// The broker ends the connection that there is because the trial's, which has the same client identifier, is about
    /// to be let in (3.1.4 of both standards): then that is the one to wait for.
    /// - Returns: whether it is so.
    func letTrialReplace(_ fault: LinkFault) -> Bool {
        guard machine.isUp, let trial, trial.purpose == .renewal else { return false }
        switch fault {
        case .broken, .disconnected(reason: 0x8E): break
        default: return false
        }
        logger.debug("the broker gives the link's place to the connection with the renewed certificates")
        forgetConnection()
        current = trial.connection
        self.trial = nil
        machine.replaced(deadline: trial.deadline)
        return true
    }

    private func trialFailed(_ fault: LinkFault, _ purpose: LinkTrial.Purpose) {
        guard purpose == .renewal else { return preferenceFailed(fault) }
        var metadata: Logger.Metadata = ["reason": "\(fault.reason)", "try": "\(fault.remedy)"]
        if let path = fault.path { metadata["file"] = "\(path)" }
        if let current { metadata["url"] = "\(current.url.withPort)" }
        logger.warning(
            "the renewed certificates are not used; the link goes on with the old ones", metadata: metadata)
    }

    /// The trial's connection takes the place of the one that there is. What that has not got acknowledged goes out again.
    func takeOver(_ trial: LinkTrial) {
        guard let answer = trial.connection.client.events.answer else { return }
        self.trial = nil
        if let current, current.client.socket != nil {
            _ = try? publishState(LinkState.offline, on: current)
            current.client.disconnect()
        }
        logger.info(
            "the upstream link is handed over",
            metadata: ["to": "\(trial.connection.url)", "reason": "\(trial.purpose)"])
        forgetConnection()
        machine.handedOver(now: time.now().instant)
        if let dial = trialPlan.dial { plan.learn(from: dial) }
        plan.handedOver(to: trial.connection.url)
        attempt { () throws(LinkFault) in
            try begin(trial.connection, answer)
            try handleEvents(of: trial.connection)
        }
    }
}
