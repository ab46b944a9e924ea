import Readings

/// What `tidegate queue` asks for. A class is `nil` for all of them.
package enum QueueRequest: Codable, Hashable, Sendable {
    case list
    /// A page of what waits, or of what the upstream refused, behind `after` (of ``QueueAnswer/next``).
    case messages(class: String?, refused: Bool, after: Int64?, limit: Int)
    /// Drops what waits, or what the upstream refused.
    case purge(class: String?, refused: Bool)
    /// Lets what the upstream refused wait once more.
    case retry(class: String?)
}

/// What came of it.
package struct QueueAnswer: Codable, Hashable, Sendable {
    package var queues: [GatewayStatus.Queue]?
    package var messages: [QueuedMessage]?
    /// Where the next page begins; absent when this was the last.
    package var next: Int64?
    /// What was done, in a sentence.
    package var done: String?
    /// Nothing was done, or not all, and why.
    package var failure: RequestFailure?

    package init(
        queues: [GatewayStatus.Queue]? = nil, messages: [QueuedMessage]? = nil, next: Int64? = nil,
        done: String? = nil, failure: RequestFailure? = nil
    ) {
        self.queues = queues
        self.messages = messages
        self.next = next
        self.done = done
        self.failure = failure
    }
}

/// One message of the queue, as `tidegate queue export` writes it: one JSON object a line.
package struct QueuedMessage: Codable, Hashable, Sendable {
    package var `class`: String
    /// 16 hexadecimal digits, as on the wire; absent for what was refused, which has its place no more.
    package var epoch: String?
    /// Its place in the epoch; for what was refused its number.
    package var seq: Int64
    package var boot: String
    /// RFC 3339, in UTC.
    package var ts: String
    /// `synced`, `restamped` or `unsynced`.
    package var tq: String
    /// Empty for the record of lost messages, which has its topic when it is sent.
    package var topic: String
    package var retain: Bool
    /// The payload, where it is text in UTF-8,
    package var payload: String?
    /// else in base64.
    package var payloadBase64: String?
    /// What its publisher said of it beside that.
    package var properties: Properties?
    /// Seconds that it is of use, from `ts` on.
    package var expiry: Int64?
    /// It is the record of lost messages.
    package var gap: Bool?
    /// Why the upstream will never take it.
    package var refused: String?

    /// What MQTT 5.0 has for a PUBLISH besides topic, payload and expiry (§3.3.2.3); what was not said is absent.
    package struct Properties: Codable, Hashable, Sendable {
        /// The payload is declared to be text in UTF-8.
        package var text: Bool?
        package var contentType: String?
        package var responseTopic: String?
        package var correlationBase64: String?
        /// User properties: pairs of name and value, in their order.
        package var user: [[String]]?
        /// The epochs that it had at the gateways it has come through.
        package var hops: [String]?

        package init(
            isText: Bool, contentType: String?, responseTopic: String?, correlation: [UInt8]?, user: [[String]],
            hops: [String]
        ) {
            text = isText ? true : nil
            self.contentType = contentType
            self.responseTopic = responseTopic
            correlationBase64 = correlation.map { Base64.encode($0) }
            self.user = user.isEmpty ? nil : user
            self.hops = hops.isEmpty ? nil : hops
        }
    }

    package init(
        class name: String, epoch: String?, seq: Int64, boot: String, ts: String, tq: String, topic: String,
        retain: Bool, payload bytes: [UInt8], properties: Properties? = nil, expiry: Int64? = nil, gap: Bool? = nil,
        refused: String? = nil
    ) {
        self.class = name
        self.epoch = epoch
        self.seq = seq
        self.boot = boot
        self.ts = ts
        self.tq = tq
        self.topic = topic
        self.retain = retain
        payload = String(validating: bytes, as: UTF8.self)
        if payload == nil { payloadBase64 = Base64.encode(bytes) }
        self.properties = properties
        self.expiry = expiry
        self.gap = gap
        self.refused = refused
    }

    /// One line of JSON.
    package var json: String { ControlCoding.text(self, .compact) }

    /// For a person: a line, with what can be shown of the payload.
    package var text: String {
        let name = gap == true ? "(gap record)" : GatewayStatus.visible(topic)
        var shown = payload.map { GatewayStatus.visible(String($0.prefix(Self.shownCharacters))) } ?? "(binary)"
        if let payload, payload.count > Self.shownCharacters { shown += "…" }
        var line = "\(ts)\t\(self.class)\t\(seq)\t\(name)\t\(shown)"
        if let refused { line += "\t\(GatewayStatus.visible(refused))" }
        return line
    }
    private static let shownCharacters = 60
}
