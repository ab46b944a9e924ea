import Logging
import MQTT
import NIOCore
import Readings

/// What clients are refused is logged at the default level, each with its subject and reason, and never without bound.
extension BrokerCore {
    /// - Parameters:
    ///   - reason: for people.
    ///   - group: what the refusals of one burst have in common, where `reason` has numbers or names in it.
    func note(
        _ refusal: Refusal, of client: Client, user: String? = nil, identifier: String? = nil, reason: String,
        group: String? = nil, remedy: String? = nil
    ) {
        note(
            refusal, address: client.address, listener: client.listener, user: user,
            identifier: identifier ?? client.identifier, reason: reason, group: group, remedy: remedy)
    }

    func note(
        _ refusal: Refusal, address: String, listener: OpenListener, user: String? = nil, identifier: String = "",
        reason: String, group: String? = nil, remedy: String? = nil
    ) {
        let key = RefusalBursts.Key(kind: refusal, address: address, reason: group ?? reason)
        let isTold = refusals.note(key, now: now)
        scheduleRefusalSummaries()
        guard isTold else { return }
        var metadata: Logger.Metadata = [
            "address": "\(address)", "listener": "\(listener.listener)", "reason": "\(Self.excerpt(reason))",
        ]
        if let user { metadata["user"] = "\(Self.excerpt(user))" }
        if !identifier.isEmpty { metadata["client"] = "\(Self.excerpt(identifier))" }
        if let remedy { metadata["try"] = "\(remedy)" }
        logger.notice("\(refusal.message)", metadata: metadata)
    }

    /// A peer chooses its names, which may have 64 KiB.
    static func excerpt(_ text: String, limit: Int = 200) -> String {
        text.utf8.count <= limit ? text : String(decoding: text.utf8.prefix(limit), as: UTF8.self) + "…"
    }

    private func scheduleRefusalSummaries() {
        guard refusalTimer == nil, let deadline = refusals.deadline else { return }
        refusalTimer = loop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(UInt64(max(0, deadline)))) {
            self.refusalTimer = nil
            self.logRefusalSummaries()
            self.scheduleRefusalSummaries()
        }
    }

    private func logRefusalSummaries() {
        for summary in refusals.summaries(now: now) {
            guard let key = summary.key else {
                logger.notice(
                    "connections from many addresses were refused", metadata: ["more_in_a_minute": "\(summary.count)"])
                continue
            }
            logger.notice(
                "\(key.kind.message)",
                metadata: [
                    "address": "\(key.address)", "reason": "\(Self.excerpt(key.reason))",
                    "more_in_a_minute": "\(summary.count)",
                ])
        }
    }

    // MARK: Access rules

    /// The access rules do not allow the client that.
    func noteDenial(_ action: BrokerSnapshot.Denial.Action, _ topic: String, of session: Session) {
        counters.denied += 1
        let topic = Self.excerpt(topic)
        denials.note(BrokerSnapshot.Denial.Subject(user: session.user, action: action, topic: topic))
        guard let client = session.client else { return }
        note(
            .access, of: client, user: session.user, reason: "no rule allows it to \(action.rawValue) \(topic)",
            group: "\(action.rawValue) \(session.user ?? "")",
            remedy: "tidegate device rules; allow it with: tidegate device allow")
    }
}
