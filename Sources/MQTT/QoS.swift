/// Quality of service of a publish or a subscription (MQTT 5.0 §4.3).
package enum QoS: UInt8, Hashable, Sendable, Comparable, CaseIterable {
    case atMostOnce = 0
    case atLeastOnce = 1
    case exactlyOnce = 2

    package static func < (a: QoS, b: QoS) -> Bool { a.rawValue < b.rawValue }
}
