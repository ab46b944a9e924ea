/// Why a broker answered CONNECT with anything but success (MQTT 5.0 §3.2.2.2, 3.1.1 §3.2.2.3).
package enum ConnectRefusal: Hashable, Sendable, CustomStringConvertible {
    case unsupportedVersion(WireVersion)
    case clientIdentifier
    case credentials
    case notAuthorized
    case banned
    case unavailable
    case busy
    case authenticationMethod
    case stateTopic
    case packetTooLarge
    case quotaExceeded
    case retainNotSupported
    case qosNotSupported
    case anotherServer
    case connectionRate
    /// A code that names no cause one could act on.
    case other(UInt8)

    /// - Parameter code: the CONNACK's reason code (5.0) or return code (3.1.1); not zero.
    init(code: UInt8, version: WireVersion) {
        switch (version, code) {
        case (.v311, 1), (_, 0x84): self = .unsupportedVersion(version)
        case (.v311, 2), (_, 0x85): self = .clientIdentifier
        case (.v311, 3), (_, 0x88): self = .unavailable
        case (.v311, 4), (_, 0x86): self = .credentials
        case (.v311, 5), (_, 0x87): self = .notAuthorized
        case (_, 0x89): self = .busy
        case (_, 0x8A): self = .banned
        case (_, 0x8C): self = .authenticationMethod
        case (_, 0x90): self = .stateTopic
        case (_, 0x95): self = .packetTooLarge
        case (_, 0x97): self = .quotaExceeded
        case (_, 0x9A): self = .retainNotSupported
        case (_, 0x9B): self = .qosNotSupported
        case (_, 0x9C), (_, 0x9D): self = .anotherServer
        case (_, 0x9F): self = .connectionRate
        default: self = .other(code)
        }
    }

    /// Why, in words.
    package var description: String {
        switch self {
        case .unsupportedVersion(let version): "it does not speak MQTT \(version)"
        case .clientIdentifier: "it does not accept the client identifier"
        case .credentials: "user name or password is wrong"
        case .notAuthorized: "this client is not authorised to connect"
        case .banned: "this client is banned"
        case .unavailable: "the MQTT service is not available at the moment"
        case .busy: "it is too busy at the moment"
        case .authenticationMethod: "it wants another authentication method than user name and password"
        case .stateTopic: "it does not accept the will's topic"
        case .packetTooLarge: "it finds the CONNECT packet too large"
        case .quotaExceeded: "a quota is exceeded"
        case .retainNotSupported: "it does not support retained messages, which the will is"
        case .qosNotSupported: "it does not support QoS 1"
        case .anotherServer: "it wants clients to use another server"
        case .connectionRate: "this client connects too often"
        case .other(let code): "reason code 0x\(String(code, radix: 16))"
        }
    }

    /// What a person can do.
    var remedy: String {
        switch self {
        case .unsupportedVersion: "leave upstream.protocol at automatic, or upgrade the broker"
        case .clientIdentifier: "set gateway.id to one that the broker accepts and that no other gateway uses"
        case .credentials: "check upstream.username and the password file against the broker's accounts"
        case .notAuthorized: "set upstream.username and its password, or give this account access on the broker"
        case .banned: "ask the broker's operator to lift the ban"
        case .unavailable, .busy: "look at the broker if this lasts; the gateway tries again"
        case .authenticationMethod: "allow user name and password, or client certificates, on the broker"
        case .stateTopic: "allow this account to publish the state topic on the broker"
        case .packetTooLarge: "raise the broker's maximum packet size"
        case .quotaExceeded: "raise the account's quota on the broker"
        case .retainNotSupported: "enable retained messages on the broker"
        case .qosNotSupported: "use a broker that supports QoS 1"
        case .anotherServer: "set upstream.url to the server that the broker's operator names"
        case .connectionRate: "check that no other client uses the same gateway.id; it is tried again more slowly"
        case .other: "look for the code in the broker's log"
        }
    }
}
