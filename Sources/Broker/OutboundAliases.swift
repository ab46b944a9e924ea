import MQTT

/// The topic aliases that the server gives to one 5.0 client: the first topics get one each, as far as the client
/// accepts them [MQTT-3.1.2-26].
struct OutboundAliases {
    /// More would keep more topics in memory for every connection than they save.
    private static let limit: UInt16 = 32

    private var aliases: [WireText: UInt16] = [:]
    private let maximum: UInt16

    init(maximum: UInt16) { self.maximum = min(maximum, Self.limit) }

    /// The client accepts none.
    var isOff: Bool { maximum == 0 }

    /// The packet with its topic's alias: name and alias the first time, the alias alone from then on. Just as it is
    /// where it would be larger than `limit` with one.
    mutating func apply(to publish: Publish, limit: Int) -> Publish {
        let topic = WireText(publish.topic)
        let known = aliases[topic]
        guard known != nil || aliases.count < Int(maximum) else { return publish }
        let alias = known ?? UInt16(aliases.count + 1)
        var aliased = publish
        if known != nil { aliased.topic = "" }
        aliased.properties.setTopicAlias(alias)
        guard aliased.wireSize(version: .v5_0) <= limit else { return publish }
        aliases[topic] = alias
        return aliased
    }
}
