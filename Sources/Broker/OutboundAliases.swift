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

    /// The packet with its topic's alias: name and alias the first time, the alias alone from then on.
    mutating func apply(to publish: Publish) -> Publish {
        var publish = publish
        if let alias = aliases[WireText(publish.topic)] {
            publish.topic = ""
            publish.properties.setTopicAlias(alias)
        } else if aliases.count < Int(maximum) {
            let alias = UInt16(aliases.count + 1)
            aliases[WireText(publish.topic)] = alias
            publish.properties.setTopicAlias(alias)
        }
        return publish
    }
}
