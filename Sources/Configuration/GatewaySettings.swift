package import Broker
package import Outbox
package import Pipeline
package import Readings
package import Sensors
package import Upstream

/// Everything the settings files say, checked and in the rooms' own terms. Secrets are named here, never held.
package struct GatewaySettings: Sendable {
    package struct Identity: Sendable {
        /// The gateway's name, one topic level; the host name unless set.
        package var id: String
        package var dataDirectory: String
        /// Bytes of the data directory's file system that only classes with a reserve use.
        package var minimumFree: Int64
        /// A swift-log level's name.
        package var logLevel: String
    }

    package struct Upstream: Sendable {
        /// All but the password, which is read when the gateway starts.
        package var configuration: UpstreamConfiguration
        /// Where the upstream tells the time; subscribed to besides the accept rules' topics.
        package var timeTopic: String?
        /// A systemd credential of that name, or a file: relative to the settings file's directory.
        package var passwordFile: String?
        /// Where relative file names start from.
        package var settingsDirectory: String
    }

    package struct SensorEntry: Sendable {
        package var id: DeviceID
        package var topic: String
        /// Where it takes commands, when it does.
        package var commandTopic: String
        package var treatment: Treatment
        /// When a value that is not refreshed says so.
        package var staleAfter: Duration?
        package var sensor: any Sensor
        package var driver: String
        /// What the settings say of the sensor as a part: its driver's keys and its topics, as one text. Two sensors with
        /// the same text need not be told apart.
        package var hardware: String
    }

    package var gateway: Identity
    package var lan: BrokerConfiguration
    /// `nil` only where what the files say of it cannot be used: the gateway then keeps everything for the day when it can.
    package var upstream: Upstream?
    package var classes: [DeliveryClass: ClassLimits]
    package var forward: [ForwardRule]
    package var accept: [AcceptRule]
    package var sensors: [SensorEntry]
    /// Every other file that the settings name.
    package var files: [NamedFile]
}

extension GatewaySettings {
    /// Names of users may come from certificates: such users have no password here.
    package var hasCertificateUsers: Bool { lan.listeners.contains { $0.userSource != .login } }
}
