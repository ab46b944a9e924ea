package import NIOCore

/// One MQTT 5.0 property (§2.2.2.2), by its standard name.
package enum Property: Hashable, Sendable {
    case payloadFormatIndicator(UInt8)
    case messageExpiryInterval(UInt32)
    case contentType(String)
    case responseTopic(String)
    case correlationData(ByteBuffer)
    case subscriptionIdentifier(UInt32)
    case sessionExpiryInterval(UInt32)
    case assignedClientIdentifier(String)
    case serverKeepAlive(UInt16)
    case authenticationMethod(String)
    case authenticationData(ByteBuffer)
    case requestProblemInformation(UInt8)
    case willDelayInterval(UInt32)
    case requestResponseInformation(UInt8)
    case responseInformation(String)
    case serverReference(String)
    case reasonString(String)
    case receiveMaximum(UInt16)
    case topicAliasMaximum(UInt16)
    case topicAlias(UInt16)
    case maximumQoS(UInt8)
    case retainAvailable(UInt8)
    case userProperty(name: String, value: String)
    case maximumPacketSize(UInt32)
    case wildcardSubscriptionAvailable(UInt8)
    case subscriptionIdentifierAvailable(UInt8)
    case sharedSubscriptionAvailable(UInt8)
}

/// A packet's properties in the order they stand on the wire, which for user properties must be kept
/// [MQTT-3.3.2-18]. An empty list allocates nothing.
package struct Properties: Hashable, Sendable {
    package var list: [Property]

    package init(_ list: [Property] = []) { self.list = list }

    package var isEmpty: Bool { list.isEmpty }
}

extension Properties {
    package var sessionExpiryInterval: UInt32? {
        first { if case .sessionExpiryInterval(let value) = $0 { value } else { nil } }
    }

    package var receiveMaximum: UInt16? {
        first { if case .receiveMaximum(let value) = $0 { value } else { nil } }
    }

    package var maximumPacketSize: UInt32? {
        first { if case .maximumPacketSize(let value) = $0 { value } else { nil } }
    }

    package var topicAlias: UInt16? {
        first { if case .topicAlias(let value) = $0 { value } else { nil } }
    }

    package var subscriptionIdentifier: UInt32? {
        first { if case .subscriptionIdentifier(let value) = $0 { value } else { nil } }
    }

    package var authenticationMethod: String? {
        first { if case .authenticationMethod(let value) = $0 { value } else { nil } }
    }

    package var authenticationData: ByteBuffer? {
        first { if case .authenticationData(let value) = $0 { value } else { nil } }
    }

    package var requestProblemInformation: UInt8? {
        first { if case .requestProblemInformation(let value) = $0 { value } else { nil } }
    }

    package var willDelayInterval: UInt32? {
        first { if case .willDelayInterval(let value) = $0 { value } else { nil } }
    }

    package var messageExpiryInterval: UInt32? {
        first { if case .messageExpiryInterval(let value) = $0 { value } else { nil } }
    }

    package var topicAliasMaximum: UInt16? {
        first { if case .topicAliasMaximum(let value) = $0 { value } else { nil } }
    }

    /// These properties with the message expiry lowered by `seconds` of waiting [MQTT-3.3.2-6].
    package func waited(_ seconds: Int64) -> Self {
        guard seconds > 0 else { return self }
        return Properties(
            list.map { property in
                guard case .messageExpiryInterval(let expiry) = property else { return property }
                return .messageExpiryInterval(UInt32(max(0, Int64(expiry) - seconds)))
            })
    }

    /// Sets or replaces the topic alias.
    package mutating func setTopicAlias(_ alias: UInt16) {
        list.removeAll { if case .topicAlias = $0 { true } else { false } }
        list.append(.topicAlias(alias))
    }

    /// Takes the properties out that concern one hop only and are not passed on to subscribers: the topic alias
    /// (§3.3.2.3.4), and the will delay, which is none of a PUBLISH's.
    package mutating func removeHopProperties() {
        guard !list.isEmpty else { return }
        list.removeAll {
            switch $0 {
            case .topicAlias, .willDelayInterval: true
            default: false
            }
        }
    }

    private func first<T>(_ pick: (Property) -> T?) -> T? {
        for property in list {
            if let value = pick(property) { return value }
        }
        return nil
    }
}
