import Broker
import Configuration
import Readings
import Testing

/// What changes between two plans is named part by part, and nothing else is.
@Suite struct PlanDifferenceTests {
    private func changes(_ old: String, _ new: String) throws -> [PlanDifference.Change] {
        func plan(_ text: String) throws -> GatewaySettings {
            let result = SettingsLoader.load(text: text, name: "test")
            return try #require(result.settings, "\(result.diagnostics)")
        }
        return PlanDifference(from: try plan(old), to: try plan(new)).changes
    }

    private let base = """
        [gateway]
        id = "gw"
        data_dir = "/var/lib/tidegate"
        [upstream]
        url = "mqtt://127.0.0.1"

        """

    private let sensor = """
        [[sensor]]
        id = "a"
        driver = "simulated"
        interval = "1s"

        """

    @Test func theSameSettingsInAnotherOrderAndWithCommentsAreNoChange() throws {
        let other = """
            # A comment.
            [upstream]
            url = "mqtt://127.0.0.1"
            [[sensor]]
            interval = "1s"
            driver = "simulated"
            id = "a"
            [gateway]
            data_dir = "/var/lib/tidegate"
            id = "gw"
            """
        #expect(try changes(base + sensor, other) == [])
    }

    @Test func nameAndDataDirectoryNeedARestart() throws {
        let other = base.replacing("\"gw\"", with: "\"other\"").replacing("/var/lib", with: "/srv")
        let found = try changes(base, other)
        #expect(
            found.contains(.needsRestart(key: "id in [gateway]", from: "gw", to: "other"))
                && found.contains(
                    .needsRestart(key: "data_dir in [gateway]", from: "/var/lib/tidegate", to: "/srv/tidegate"))
        )
    }

    @Test func aSensorChangesByItsDriversKeysAndNotByWhatIsDoneToItsValues() throws {
        #expect(try changes(base, base + sensor) == [.sensorAdded(DeviceID("a"))])
        #expect(try changes(base + sensor, base) == [.sensorRemoved(DeviceID("a"))])
        #expect(
            try changes(base + sensor, base + sensor.replacing("1s", with: "2s")) == [
                .sensorChanged(DeviceID("a"))
            ])
        #expect(
            try changes(base + sensor, base + sensor + "scale = 2\n") == [.valueProcessing(DeviceID("a"))])
    }

    @Test func listenersChangeOneByOne() throws {
        let first = "[[listener]]\nlisten = [\"127.0.0.1:2001\", \"127.0.0.1:2002\"]\n"
        let second =
            "[[listener]]\nlisten = [\"127.0.0.1:2002\"]\nprotocol = \"websocket\"\n"
            + "[[listener]]\nlisten = [\"127.0.0.1:2003\"]\n"
        func endpoint(_ port: Int) -> Listener.Endpoint { .tcp(ListenAddress(host: "127.0.0.1", port: port)) }
        #expect(
            try changes(base + first, base + second) == [
                .listenerRemoved(endpoint(2_001)), .listenerChanged(endpoint(2_002)), .listenerAdded(endpoint(2_003)),
            ])
    }

    @Test func classesRulesLimitsAndTheLinkAreToldApart() throws {
        #expect(
            try changes(base, base + "[class.fast]\nmax_bytes = \"1MB\"\n")
                == [.classAdded(DeliveryClass("fast"))])
        #expect(
            try changes(base, base + "[class.telemetry]\nmax_bytes = \"1MB\"\n") == [.classChanged(.telemetry)])
        #expect(try changes(base, base + "[[forward]]\nfrom = \"a/#\"\n") == [.forwardRules])
        #expect(try changes(base, base + "[lan]\nmax_connections = 5\n") == [.lanLimits])
        #expect(try changes(base, base.replacing("127.0.0.1", with: "127.0.0.2")) == [.linkChanged])
        // What is subscribed to is the link's, too.
        #expect(try changes(base, base + "[[accept]]\nfrom = \"x/#\"\nto = \"y/#\"\n") == [.acceptRules, .linkChanged])
    }
}
