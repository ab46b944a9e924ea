/// What an MQTT 5.0 publisher says of a message beside its payload (§3.3.2.3), kept on the way through the gateway.
///
/// A reference, and immutable: nearly all messages have none, and carry one word for it.
package final class MessageProperties: Hashable, Sendable {
    /// A name and a value; names may repeat, and their order counts [MQTT-3.3.2-18].
    package struct UserProperty: Hashable, Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// The payload is declared to be UTF-8 (Payload Format Indicator 1).
    package let isText: Bool
    package let contentType: String?
    package let responseTopic: String?
    package let correlationData: [UInt8]?
    /// Without those that gateways write.
    package let user: [UserProperty]
    /// The epochs that the message had at the gateways it has come through, in their order, at most ``hopLimit`` and
    /// one more: random, and so a name that no two gateways share.
    package let hops: [String]

    /// A message that has come through more gateways than this is going round in circles.
    package static let hopLimit = 8

    package init(
        isText: Bool = false, contentType: String? = nil, responseTopic: String? = nil,
        correlationData: [UInt8]? = nil, user: [UserProperty] = [], hops: [String] = []
    ) {
        self.isText = isText
        self.contentType = contentType
        self.responseTopic = responseTopic
        self.correlationData = correlationData
        self.user = user
        self.hops = hops
    }

    /// Sorts user properties as they came over the wire: what gateways write is told apart from the publisher's own.
    ///
    /// A gateway says its epoch with every message that it sends, so that the gateway behind it knows where the message
    /// has been; what it heard of others it passes on as ``hopName``.
    /// - Returns: `nil` when nothing is left.
    package static func received(
        isText: Bool, contentType: String?, responseTopic: String?, correlationData: [UInt8]?, user: [UserProperty]
    ) -> MessageProperties? {
        var own: [UserProperty] = []
        var hops: [String] = []
        var epoch: String?
        for property in user {
            switch property.name {
            case hopName: if hops.count <= hopLimit { hops.append(property.value) }
            case "epoch": epoch = property.value
            case _ where gatewayNames.contains(property.name): break
            default: own.append(property)
            }
        }
        if let epoch, hops.count <= hopLimit { hops.append(epoch) }
        let properties = MessageProperties(
            isText: isText, contentType: contentType, responseTopic: responseTopic, correlationData: correlationData,
            user: own, hops: hops)
        return properties.isEmpty ? nil : properties
    }

    /// Those that still hold when the payload has become another one: where the message has been, and what the
    /// publisher said in words of its own. `nil` when that is nothing.
    package var ofAnotherPayload: MessageProperties? {
        hops.isEmpty && user.isEmpty ? nil : MessageProperties(user: user, hops: hops)
    }

    /// Whether the message has been at a gateway before, or goes round without end.
    /// - Parameter isOwn: whether an epoch is one of that gateway's.
    package func hasPassed(_ isOwn: (String) -> Bool) -> Bool {
        hops.count > Self.hopLimit || hops.contains(where: isOwn)
    }

    private var isEmpty: Bool {
        !isText && contentType == nil && responseTopic == nil && correlationData == nil && user.isEmpty && hops.isEmpty
    }

    /// Each gateway that a message has come through adds one of these.
    package static let hopName = "hop"
    /// What a gateway writes itself: a publisher's own properties of these names would be taken for the gateway's.
    package static let gatewayNames: Set<String> = [
        "stream", "epoch", "seq", "boot", "tq", "ts", "up", "historical", hopName,
    ]

    package static func == (a: MessageProperties, b: MessageProperties) -> Bool {
        a === b
            || a.isText == b.isText && a.contentType == b.contentType && a.responseTopic == b.responseTopic
                && a.correlationData == b.correlationData && a.user == b.user && a.hops == b.hops
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(contentType)
        hasher.combine(user)
        hasher.combine(hops)
    }
}
