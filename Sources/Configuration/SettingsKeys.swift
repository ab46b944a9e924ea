import Sensors
package import Settings

/// Every setting there is: what the files are checked against, and what the sample file is written from.
package enum SettingsKeys {
    static let gateway: [Key] = [
        .string(
            "id", example: "\"site-12\"",
            "The gateway's name, one topic level: first part of every upstream topic. The host name unless set."),
        .string("data_dir", default: "/var/lib/tidegate", "Where everything is kept that must survive a restart."),
        .byteSize(
            "min_free", in: 0...Int64(1) << 50, default: "16MB",
            "What only classes with reserve use of the file system of data_dir; the others then drop or refuse messages as if they were full. Half of it is held by a file of its own, which gives way when somebody else has filled the disk."
        ),
        .choice(
            "log_level", ["trace", "debug", "info", "notice", "warning", "error"], default: "notice",
            "How much goes to the log."),
    ]

    static let lan: [Key] = [
        .strings(
            "listen", default: ["127.0.0.1:1883"],
            "Addresses that serve plain MQTT, host:port. *:1883 stands for all addresses of this machine, 0.0.0.0 for those of IPv4; [::] is * on a machine that has IPv6. A name stands for all its addresses. One that cannot be opened is tried again."
        ),
        .boolean(
            "anonymous", example: "false",
            "Let in clients that give no user name. Unless set, only where nobody else can reach the listener: on loopback addresses."
        ),
        .integer("max_connections", in: 1...100_000, default: 1_000, "Clients served at once."),
        .integer(
            "max_connections_per_address", in: 1...100_000, example: "250",
            "Of those, from one address. 250 unless set, and without a limit for this machine itself."),
        .integer(
            "connect_rate", in: 1...100_000, example: "100",
            "New connections per second from one address; ten times as many for a moment. 100 unless set, and without a limit for this machine itself."
        ),
        .byteSize(
            "max_packet_size", in: 1_024...268_435_455, default: "256KiB",
            "Largest packet accepted; larger ones close their connection."),
        .duration(
            "connect_timeout", in: .milliseconds(100)...(.seconds(300)), default: "10s",
            "A connection that has not logged in by then is closed."),
        .duration(
            "max_keep_alive", in: .seconds(1)...(.seconds(65_535)), example: "\"5m\"",
            "The longest keep-alive of an MQTT 5 client; one that asks for a longer one is told. Unless set: any."),
        .integer(
            "max_subscriptions", in: 1...1_000_000, default: 1_000, "Subscriptions of one client."),
        .integer(
            "max_sessions", in: 1...1_000_000, default: 10_000,
            "Sessions kept for clients, connected or not."),
        .duration(
            "max_session_expiry", in: .seconds(1)...(.seconds(3_650 * 86_400)), example: "\"30d\"",
            "How long a session may be kept for a client that is away. Unless set: as long as the client asks for."),
        .integer(
            "max_queued_messages", in: 1...10_000_000, default: 1_000,
            "Messages that wait for one client; the newest gives way, and is counted."),
        .byteSize(
            "max_queued_bytes", in: 1_024...Int64(1) << 40, default: "1MiB", "What may wait for one client, in bytes."),
        .byteSize(
            "max_kept_bytes", in: 1_024...Int64(1) << 40, default: "64MiB",
            "What may wait for all clients that keep a session, in bytes."),
        .integer("max_retained", in: 0...10_000_000, default: 10_000, "Retained messages."),
        .byteSize("max_retained_bytes", in: 0...Int64(1) << 40, default: "8MiB", "Retained messages, in bytes."),
    ]

    static let listener: [Key] = [
        .strings(
            "listen", required: true, example: "\"0.0.0.0:8883\"",
            "Where it listens: host:port as in [lan], or unix:/path for a socket in the file system."),
        .choice("protocol", ["mqtt", "websocket"], default: "mqtt", "MQTT as it is, or in WebSocket frames."),
        .strings(
            "origins", example: "[\"https://panel.example.com\"]",
            "Web pages that may connect over WebSocket, by their origin; \"*\": any. Programs, which send no origin, always may, and pages of the host that they connect to, unless that is a public name and the listener is anonymous. Others get 403."
        ),
        .string(
            "cert_file", example: "\"listener.pem\"",
            "Speak TLS, with this certificate and those that lead to its root (PEM). Read again when it changes."),
        .string("key_file", example: "\"listener.key\"", "The private key of cert_file (PEM)."),
        .string(
            "client_ca_file", example: "\"devices-ca.pem\"",
            "Clients may show a certificate, which must lead to one of these (PEM)."),
        .choice(
            "client_certificate", ["optional", "required"], default: "required",
            "Whether a client must show one; only with client_ca_file."),
        .choice(
            "user_from", ["login", "common-name", "san"], default: "login",
            "Where the user name comes from: from the login, or without a password from the common name or the first alternative name of the client's certificate."
        ),
        .boolean(
            "anonymous", example: "false",
            "Let in clients that give no user name. Unless set, only on loopback addresses and unix sockets."),
    ]

    static let upstream: [Key] = [
        .strings(
            "url", required: true, example: "\"mqtts://broker.example.com:8883\"",
            "The upstream broker, mqtt:// or mqtts:// (TLS). A list is tried in order, and all addresses of each name."),
        .duration(
            "return_after", in: .seconds(1)...(.seconds(86_400)), default: "5m",
            "Connected to a later url of a list, those before it are tried so often, beside the connection that there is."
        ),
        .string(
            "client_id", example: "\"site-12\"",
            "MQTT client identifier. The gateway's id unless set; with \"\" the broker chooses one."),
        .duration(
            "session_expiry", in: .zero...(.seconds(365 * 86_400)), default: "1h",
            "How long the broker keeps commands for a gateway that is away (MQTT 5)."),
        .string("username", example: "\"site-12\"", "User name at the upstream broker."),
        .string(
            "password_file", example: "\"upstream.password\"",
            "A systemd credential of that name, or a file with mode 0600, relative to this one. Never the password itself."
        ),
        .string("ca_file", example: "\"ca.pem\"", "Certificates to trust instead of the system's (PEM)."),
        .string(
            "cert_file", example: "\"gateway.pem\"",
            "The gateway's own certificate (PEM), where the broker asks for one."),
        .string("key_file", example: "\"gateway.key\"", "The private key of cert_file (PEM)."),
        .string(
            "server_name", example: "\"broker.example.com\"",
            "The name that the broker's certificate must be for, and that is asked for (SNI). The host in url unless set."
        ),
        .string("alpn", example: "\"mqtt\"", "The protocol to ask for in the TLS handshake (ALPN). None unless set."),
        .choice("tls_version", ["1.2", "1.3"], default: "1.2", "The oldest version of TLS that is spoken."),
        .string(
            "time_topic", example: "\"time/now\"",
            "An upstream topic on which the time is told, as Unix seconds or milliseconds: believed while the board's own clock is not synchronised. Retained messages are not, nor what comes within 10 s of taking up a session again: the broker may have kept it. One that lies before the last known time, or ten years after it, has to be told three times, over a minute or more."
        ),
        .choice(
            "protocol", ["auto", "5", "3.1.1"], default: "auto",
            "MQTT version. auto: 5, and 3.1.1 where the broker refuses that."),
        .duration(
            "keep_alive", in: .seconds(5)...(.seconds(3_600)), default: "15s",
            "How long the link may be silent before it is probed."),
        .integer(
            "in_flight", in: 1...1_000, default: 400,
            "Messages on the way and not yet acknowledged, at most; also how many can come twice after a crash. While acknowledgements take longer than 50 ms, 100 at most."
        ),
        .integer(
            "replay_rate", in: 1...1_000_000, example: "500",
            "Messages of a backlog sent per second, at most. Unless set: as many as the upstream acknowledges without delay."
        ),
        .byteSize(
            "replay_bandwidth", in: 1_000...Int64(1) << 40, example: "\"100kB\"",
            "Bytes of a backlog sent per second, at most; payloads and topics count."),
        .duration(
            "canary", in: .zero...(.seconds(86_400)), default: "5s",
            "After so long without an acknowledgement a message goes to {gateway}/$canary, to see that the cloud is still there; 0s for never. A line that went dead is noticed 10s later."
        ),
        .duration(
            "reconnect_min", in: .milliseconds(50)...(.seconds(3_600)), default: "1s",
            "Pause before the first new try; doubles with every failure."),
        .duration(
            "reconnect_max", in: .milliseconds(50)...(.seconds(86_400)), default: "60s", "Longest pause between tries."),
    ]

    static let deliveryClass: [Key] = [
        .boolean(
            "reserve", default: false,
            "Whether the class may use the space that min_free keeps back from the others. events may."),
        .byteSize(
            "max_bytes", in: 65_536...Int64(1) << 50, default: "256MB",
            "What may wait in this class, in bytes of messages."),
        .integer(
            "max_count", in: 1...1_000_000_000, example: "100000",
            "How many messages may wait in this class; as many as max_bytes allows unless set."),
        .duration(
            "max_age", in: .seconds(1)...(.seconds(3_650 * 86_400)), default: "30d",
            "How long a message may wait, in elapsed time: a wall clock that jumps changes nothing."),
        .duration(
            "expiry", in: .seconds(1)...(.seconds(3_650 * 86_400)), example: "\"1h\"",
            "After how long a message is of no use, here and (MQTT 5, message expiry) beyond the cloud's broker. A device's own, if shorter, goes before. Never unless set."
        ),
        .choice(
            "overflow", ["drop-oldest", "drop-newest", "reject", "reject-newest"], default: "drop-oldest",
            "What gives way when the class is full: the oldest messages; new ones; or new ones, and devices are told (reject, or reject-newest). Each way a gap record tells the cloud."
        ),
        .integer(
            "priority", in: 1...9, default: 5,
            "The share of the way upstream when several classes wait, in proportion to the others'."),
        .duration(
            "commit_after", in: .zero...(.seconds(60)), default: "250ms",
            "How long a message may wait in memory for the cloud's acknowledgement before it is written to disk. A device gets its acknowledgement when either has happened; of what nobody waits for, a power cut takes so much."
        ),
        .choice(
            "replay", ["in-order", "interleave"], default: "in-order",
            "In which order a backlog is sent: strictly as it came, or beside what is new, marked as historical."),
    ]

    /// What becomes of payloads and samples; shared by sensors and forward rules.
    static let treatment: [Key] = [
        .choice(
            "decode", ["number", "text", "json", "csv", "key-value", "regex"], example: "\"number\"",
            "How a payload becomes values: one number, text, JSON, separated columns, names with values (T=21.5), or a regular expression."
        ),
        .strings(
            "fields", example: "[\"temperature\", \"gps.lat\"]",
            "json: the paths to take, as in \"gps.lat\"; everything at the top unless set. key-value: the names to take. csv: names of the columns, \"\" to skip one."
        ),
        .string("separator", default: ",", "csv: the character between columns."),
        .string(
            "pattern", example: "'T=(?<temperature>[-0-9.]+)'",
            "regex: a regular expression with named groups, as in 'T=(?<temperature>[-0-9.]+)'."),
        .string("unit", example: "\"Cel\"", "Unit of the numbers, by its UCUM or SenML name: \"Cel\", \"%RH\", \"V\"."),
        .number("scale", default: 1, "Numbers are multiplied by this,"),
        .number("offset", default: 0, "and then this is added."),
        .number("deadband", example: "0.1", "A number closer than this to the last one sent is held back."),
        .duration(
            "max_silence", in: .seconds(1)...(.seconds(86_400)), default: "5m",
            "A value held back by deadband is sent all the same after this long."),
    ]

    static let forward: [Key] =
        [
            .string(
                "from", required: true, example: "\"sensors/#\"",
                "Which topics go upstream. The first rule that matches decides. Without any rule: \"#\"."),
            .string(
                "to", default: "{gateway}/{topic}",
                "Their upstream topic: {gateway}, {topic}, {device}, and + and # as matched by from."),
            .string("class", default: "telemetry", "The delivery class: telemetry, or one of [class.NAME]."),
        ] + treatment

    static let accept: [Key] = [
        .string(
            "from", required: true, example: "\"{gateway}/cmd/#\"",
            "Which upstream topics are subscribed to. Without any rule: \"{gateway}/cmd/#\" to \"cmd/#\"."),
        .string(
            "to", required: true, example: "\"cmd/#\"",
            "Where they come out on the LAN: +, # as matched by from, {topic}."),
    ]

    static let both: [Key] = [
        .string(
            "lan", required: true, example: "\"shared/#\"", "Topics on the LAN that go upstream, and come from there."),
        .string(
            "upstream", required: true, example: "\"{gateway}/shared/#\"",
            "What they are there, with as many + and # in the same order."),
        .string("class", default: "telemetry", "The delivery class of what goes up."),
    ]

    static let sensor: [Key] =
        [
            .string("id", required: true, example: "\"front-door\"", "The sensor's name, unique."),
            .choice("driver", SensorDrivers.all.map { $0.name }, required: true, "What it is wired to."),
            .string("topic", example: "\"sensors/front-door\"", "Its LAN topic. \"sensors/\" and the id unless set."),
            .duration(
                "stale_after", in: .milliseconds(100)...(.seconds(3_650 * 86_400)), example: "\"5m\"",
                "A value that is not refreshed for this long is sent once more, as stale. Three intervals and at least 10s unless set, where there is an interval; else never."
            ),
        ] + treatment

    /// The keys of a sensor of that kind.
    static func sensor(_ driver: any SensorDriver.Type) -> [Key] {
        sensor + (driver.takesCommands ? [commandTopic] : []) + driver.keys
    }

    static let commandTopic = Key.string(
        "command_topic", example: "\"cmd/front-door\"",
        "The LAN topic that commands it; its values, where it has several, one level below. \"cmd/\" and the id unless set."
    )

    /// All of it, in the order of the sample file.
    package static let sections: [Section] =
        [
            Section(.table("gateway"), "Who this gateway is, and where it keeps things.", keys: gateway),
            Section(.table("lan"), "The built-in MQTT listener for devices nearby.", keys: lan),
            Section(
                .array("listener"),
                "A further listener, with its own layers and its own way in. Users and what they may do: tidegate device.",
                keys: listener),
            Section(.table("upstream"), "The broker everything is brought to.", keys: upstream),
            Section(
                .named("class", example: "telemetry"),
                "A delivery class: how much may wait, and what gives way. Built in are telemetry, with these defaults; events (max_bytes 64MB, max_age 90d, overflow reject, priority 8); and bulk (max_age 7d, priority 2).",
                keys: deliveryClass),
            Section(.array("forward"), "LAN to upstream: which topics, and under which name.", keys: forward),
            Section(.array("accept"), "Upstream to LAN: commands, settings.", keys: accept),
            Section(
                .array("both"),
                "Both ways: topics that the LAN and the cloud share. Nothing comes back to where it came from.",
                keys: both),
        ]
        + SensorDrivers.all.map { driver in
            Section(
                .array("sensor"), "A local sensor: \(driver.summary)", keys: sensor(driver),
                fixed: ["driver": driver.name])
        }
}
