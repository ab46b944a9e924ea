import Pipeline
import Testing

@Suite struct TopicFilterTests {
    /// The examples of MQTT 5.0 §4.7.1 and §4.7.2, and the corners between them.
    @Test(arguments: [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("#", "a", true), ("#", "/", true), ("#", "a/b/c", true),
        ("sport/tennis/+", "sport/tennis/player1", true),
        ("sport/tennis/+", "sport/tennis/player1/ranking", false),
        ("sport/+", "sport", false), ("sport/+", "sport/", true),
        ("+/+", "/finance", true), ("/+", "/finance", true), ("+", "/finance", false),
        ("#", "$SYS/broker", false), ("+/monitor/Clients", "$SYS/monitor/Clients", false),
        ("$SYS/#", "$SYS/broker", true), ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
        ("a/b", "a/b", true), ("a/b", "a/b/c", false), ("a/b", "a", false), ("a//b", "a//b", true),
        ("a/+/b", "a//b", true), ("A", "a", false), ("é/#", "é/x", true),
    ])
    func matches(filter: String, topic: String, expected: Bool) throws {
        #expect((try TopicFilter(filter).match(topic) != nil) == expected)
        #expect(try TopicFilter(filter).matches(topic) == expected)
    }

    /// The quick answer and the full one agree on whatever can be made of a few levels.
    @Test func bothMatchesAgree() throws {
        let levels = ["a", "ab", "", "+", "#", "$x"]
        var filters: [String] = []
        var topics: [String] = []
        for one in levels {
            for two in levels {
                for three in levels {
                    for text in [one, "\(one)/\(two)", "\(one)/\(two)/\(three)"] {
                        filters.append(text)
                        if !text.contains("+"), !text.contains("#"), !text.isEmpty { topics.append(text) }
                    }
                }
            }
        }
        var matching = 0
        for text in Set(filters) {
            guard let filter = try? TopicFilter(text) else { continue }
            for topic in Set(topics) {
                let expected = filter.match(topic) != nil
                matching += expected ? 1 : 0
                #expect(filter.matches(topic) == expected, "\(text) and \(topic)")
            }
        }
        #expect(matching > 100)
    }

    @Test func tellsWhatWildcardsStoodFor() throws {
        let match = try #require(try TopicFilter("a/+/c/+/#").match("a/b/c/d/e/f"))
        #expect(match.singleLevels == ["b", "d"])
        #expect(match.remainder == "e/f")
        #expect(try TopicFilter("a/#").match("a")?.remainder == nil)
    }

    @Test(arguments: [
        ("", TopicFilter.Failure.empty), ("a#", .wildcardInsideLevel("a#")), ("a/+b", .wildcardInsideLevel("+b")),
        ("#/a", .multiLevelNotLast), ("a\0b", .nulCharacter),
        (String(repeating: "x", count: 65_536), .tooLong),
    ])
    func refuses(filter: String, failure: TopicFilter.Failure) {
        #expect(throws: failure) { try TopicFilter(filter) }
    }

    @Test(arguments: [
        ("sensors/#", "{gateway}/{topic}", "sensors/a", "gw/sensors/a"),
        ("gw/cmd/#", "cmd/#", "gw/cmd/lamp/1", "cmd/lamp/1"),
        ("gw/cmd/#", "cmd/#", "gw/cmd", "cmd"),
        ("+/temperature/+", "t/+/x/+", "kitchen/temperature/1", "t/kitchen/x/1"),
        ("#", "{gateway}/{device}/{topic}", "a", "gw/dev/a"),
        ("a/#", "#", "a/b/c", "b/c"),
    ])
    func templatesExpand(filter: String, template: String, topic: String, expected: String) throws {
        let filter = try TopicFilter(filter)
        let template = try TopicTemplate(template, gateway: "gw", filter: filter)
        let match = try #require(filter.match(topic))
        #expect(template.expand(topic: topic, device: "dev", match: match) == expected)
    }

    @Test(arguments: [
        ("#", "{gatway}", TopicTemplate.Failure.unknownPlaceholder("gatway")),
        ("#", "x/{topic", .unclosedPlaceholder), ("a", "b/#", .moreWildcardsThanFilter("#")),
        ("+/a", "+/+", .moreWildcardsThanFilter("+")), ("#", "#/a", .multiLevelNotLast), ("#", "", .empty),
        ("#", "a+/b", .wildcardInsideLevel("a+")),
    ])
    func templatesRefuse(filter: String, template: String, failure: TopicTemplate.Failure) throws {
        let filter = try TopicFilter(filter)
        #expect(throws: failure) { try TopicTemplate(template, gateway: "gw", filter: filter) }
    }

    @Test func aDeviceNameCannotSmuggleInAWildcard() throws {
        let filter = try TopicFilter("#")
        let template = try TopicTemplate("{device}/{topic}", gateway: "gw", filter: filter)
        let match = try #require(filter.match("a"))
        #expect(template.expand(topic: "a", device: "#", match: match) == nil)
        #expect(template.expand(topic: String(repeating: "x", count: 65_535), device: "d", match: match) == nil)
    }
}
