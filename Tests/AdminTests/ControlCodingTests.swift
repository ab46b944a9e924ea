import Readings
import Testing

@testable import Admin

@Suite struct ControlCodingTests {
    private func text(_ value: some Encodable, _ style: JSONWriter.Style = .compact) throws -> String {
        String(decoding: try ControlCoding.encode(value, style), as: UTF8.self)
    }

    private func decode<T: Decodable>(_ type: T.Type, _ text: String) throws -> T {
        try ControlCoding.decode(type, from: JSONValue(reading: Array(text.utf8), JSONLimits(bytes: 1 << 20)))
    }

    private func returns<T: Codable & Equatable>(_ value: T) throws -> Bool {
        try decode(T.self, text(value)) == value && decode(T.self, text(value, .pretty)) == value
    }

    /// The words on the socket: programs of other versions send and read them.
    @Test func requestsAreWrittenAsBefore() throws {
        #expect(try text(DeviceRequest.add(user: "a", password: "b/\"")) == #"{"add":{"password":"b/\"","user":"a"}}"#)
        #expect(try text(DeviceRequest.users) == #"{"users":{}}"#)
        #expect(
            try text(DeviceRequest.removeRule(.max, isConfirmed: true))
                == #"{"removeRule":{"_0":9223372036854775807,"isConfirmed":true}}"#)
        #expect(
            try text(DeviceRequest.allow(user: nil, access: "read", filter: "a/#", isConfirmed: false))
                == #"{"allow":{"access":"read","filter":"a/#","isConfirmed":false}}"#)
        #expect(
            try text(QueueRequest.messages(class: "x", refused: true, after: 7, limit: 10))
                == #"{"messages":{"after":7,"class":"x","limit":10,"refused":true}}"#)
        #expect(try text(SensorRequest.read(sensor: "s", seconds: 2.5)) == #"{"read":{"seconds":2.5,"sensor":"s"}}"#)
    }

    @Test func requestsComeBack() throws {
        let devices: [DeviceRequest] = [
            .add(user: "é\u{0}", password: ""), .setPassword(user: "a", password: "b"),
            .remove(user: "a", isConfirmed: true), .users,
            .importPasswords(text: "a:$7$1\nb:c\n"),
            .allow(user: "u", access: "read", filter: "+/#", isConfirmed: true),
            .allow(user: nil, access: "write", filter: "x", isConfirmed: false), .removeRule(-1, isConfirmed: false),
            .rules, .reopen,
        ]
        for request in devices { #expect(try returns(request), "\(request)") }
        let queues: [QueueRequest] = [
            .list, .messages(class: nil, refused: false, after: nil, limit: 1), .purge(class: "c", refused: true),
            .retry(class: nil),
        ]
        for request in queues { #expect(try returns(request), "\(request)") }
        #expect(try returns(SensorRequest.read(sensor: "s", seconds: 1e-3)))
    }

    /// Two requests are told apart by their names alone.
    @Test func aRequestOfAnotherKindIsRefused() throws {
        for text in [
            "{}", "[]", "null", "1", #""users""#, #"{"users":1}"#, #"{"users":{},"rules":{}}"#,
            #"{"add":{"user":"a"}}"#,
            #"{"add":{"user":1,"password":"b"}}"#, #"{"add":{"user":null,"password":"b"}}"#,
            #"{"remove_rule":{"_0":1}}"#,
            #"{"removeRule":{"_0":1.0}}"#, #"{"removeRule":{"_0":9223372036854775808}}"#, #"{"removeRule":{"_0":"1"}}"#,
        ] {
            #expect(throws: DecodingError.self, "\(text)") { try decode(DeviceRequest.self, text) }
        }
        #expect(throws: DecodingError.self) { try decode(QueueRequest.self, #"{"rules":{}}"#) }
    }

    @Test func absentValuesAreLeftOutAndNullIsAbsent() throws {
        let answer = DeviceAnswer(rules: [.init(number: 1, user: nil, access: "read", filter: "a")])
        #expect(try text(answer) == #"{"rules":[{"access":"read","filter":"a","number":1}]}"#)
        #expect(try returns(answer))
        #expect(
            try decode(DeviceAnswer.self, #"{"done":null,"users":["a"],"more":[{}]}"#) == DeviceAnswer(users: ["a"]))
    }

    @Test func numbersKeepTheirTypeAndMustFit() throws {
        struct Numbers: Codable, Equatable {
            var byte: UInt8 = .max
            var small: Int8 = .min
            var integer: Int = .min
            var unsigned: UInt64 = .max
            var double = 0.1
            var float: Float = 1.5
            var boolean = true
            var list = [1.0, 2.5]
            var matrix = [[1], [], [2, 3]]
        }
        #expect(try returns(Numbers()))
        #expect(try decode(UInt8.self, "255") == 255 && decode(Double.self, "7") == 7 && decode(Int.self, "-0") == 0)
        #expect(throws: DecodingError.self) { try decode(UInt8.self, "256") }
        #expect(throws: DecodingError.self) { try decode(UInt64.self, "-1") }
        #expect(throws: DecodingError.self) { try decode(Int.self, "1.0") }
        #expect(throws: DecodingError.self) { try decode(Bool.self, "1") }
        #expect(throws: DecodingError.self) { try decode([Int].self, "[1,null]") }
        #expect(try decode([Int?].self, "[1,null]") == [1, nil])
    }

    @Test func snapshotsComeBackAndArePrettyForScripts() throws {
        let status = GatewayStatus(
            gateway: "gw", version: "1", uptimeSeconds: 12.5, listening: ["127.0.0.1:1883"],
            link: .init(
                state: "down", url: "mqtt://h", secondsInState: 1, secondsSinceConfirmation: nil, inFlight: 0,
                published: .max, acknowledged: 1, refused: 2, reconnects: 3, problem: "a\nb"),
            queues: [
                .init(
                    name: "telemetry", messages: 3, bytes: 4, maximumBytes: 5, oldestSeconds: 1.25, dropped: 0,
                    secondsLeft: .infinity)
            ],
            sensors: [
                .init(
                    id: "s", driver: "d", topic: "t", state: "running", counters: [.init(name: "edges", value: 7)],
                    readings: [.init(metric: nil, value: "21.4 Cel", quality: "good", why: nil, secondsSinceValue: 0)])
            ],
            intake: .init(
                received: 1, forwarded: 2, waiting: 3, dropped: 4, undecodable: 5, lastFailure: nil, storeProblem: nil),
            lan: .init(
                users: 0, rules: 0, sessions: 0, subscriptions: 0, retained: 0, refused: 0, refusedLogins: 0,
                refusedAddresses: 0, denied: 0, refusedSubscriptions: 0, refusedRetained: 0, violations: 0, silent: 0,
                dropped: 0, problem: nil), clientCount: 0, clients: [])
        var expected = status
        // JSON has no word for it.
        expected.queues[0].secondsLeft = nil
        #expect(try decode(GatewayStatus.self, text(status)) == expected)
        let pretty = ControlClient.json(status)
        #expect(try decode(GatewayStatus.self, pretty) == expected)
        #expect(pretty.hasPrefix("{\n  \"clientCount\" : 0,\n  \"clients\" : [],\n  \"clock\" : \"\",\n"), "\(pretty)")
        #expect(pretty.contains("\n    \"published\" : 18446744073709551615,\n") && !pretty.contains("lastFailure"))
    }

    @Test func aReportOfTheDoctorComesBack() throws {
        var report = DoctorReport()
        report.findings = [.init("clock", .pass, "a"), .init("disk", .fail, "b/c", remedy: "d")]
        #expect(try returns(report))
        #expect(
            ControlClient.json(report) == """
                {
                  "findings" : [
                    {
                      "check" : "clock",
                      "text" : "a",
                      "verdict" : "pass"
                    },
                    {
                      "check" : "disk",
                      "remedy" : "d",
                      "text" : "b/c",
                      "verdict" : "fail"
                    }
                  ]
                }
                """)
    }
}
