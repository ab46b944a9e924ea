import MQTT
import Registry
import TestSupport
import Testing

@Suite struct AccessRulesTests {
    private func rule(_ user: String?, _ access: AccessRule.Access, _ filter: String) throws -> AccessRule {
        try AccessRule(user: user.flatMap { UserName($0) }, access: access, filter: filter)
    }

    @Test func withoutRulesEverythingIsAllowed() {
        let rules = AccessRules()
        for access in AccessRule.Access.allCases {
            #expect(rules.allows(user: nil, client: "c", access: access, topic: "a"))
        }
        #expect(rules.access(user: "u", client: "c").isUnrestricted)
        let closed = AccessRules(isClosed: true).access(user: "u", client: "c")
        #expect(!closed.mayPublish("a") && !closed.mayReceive("a") && !closed.maySubscribe("a"))
    }

    @Test func oneRuleDeniesAllElse() throws {
        let rules = AccessRules([try rule("anna", .write, "a/+")])
        #expect(rules.allows(user: "anna", client: "c", access: .write, topic: "a/b"))
        #expect(!rules.allows(user: "anna", client: "c", access: .write, topic: "a/b/c"))
        #expect(!rules.allows(user: "anna", client: "c", access: .read, topic: "a/b"))
        #expect(!rules.allows(user: "anna", client: "c", access: .subscribe, topic: "a/b"))
        #expect(!rules.allows(user: "ben", client: "c", access: .write, topic: "a/b"))
        #expect(!rules.allows(user: nil, client: "c", access: .write, topic: "a/b"))
    }

    @Test func whatARulePermits() throws {
        for access in AccessRule.Access.allCases {
            let client = AccessRules([try rule(nil, access, "a/#")]).access(user: nil, client: "c")
            #expect(client.mayPublish("a") == (access == .write || access == .readwrite))
            #expect(client.mayReceive("a/b") == (access == .read || access == .readwrite))
            #expect(client.maySubscribe("a/+/c") == (access == .subscribe || access == .readwrite))
            #expect(!client.mayPublish("b") && !client.mayReceive("b") && !client.maySubscribe("#"))
        }
    }

    @Test func sharedSubscriptionsCountByTheirFilter() throws {
        let client = AccessRules([try rule(nil, .subscribe, "a/#")]).access(user: nil, client: "c")
        #expect(client.maySubscribe("$share/g/a/b") && client.maySubscribe("$share/g/a/#"))
        #expect(!client.maySubscribe("$share/g/b") && !client.maySubscribe("$share/a/#"))
        #expect(!client.maySubscribe("$share/a") && !client.maySubscribe(""))
    }

    @Test func patternsStandForOneLevelEach() throws {
        let rules = AccessRules([
            try rule(nil, .write, "dev/{client}/up"), try rule(nil, .read, "home/{user}/x-{client}"),
            try rule(nil, .readwrite, "{user}/#"),
        ])
        let client = rules.access(user: "anna", client: "c1")
        #expect(client.mayPublish("dev/c1/up") && !client.mayPublish("dev/c2/up"))
        #expect(client.mayReceive("home/anna/x-c1") && !client.mayReceive("home/anna/x-c2"))
        #expect(client.maySubscribe("anna/+") && !client.maySubscribe("ben/+"))
        let nobody = rules.access(user: nil, client: "c1")
        #expect(nobody.mayPublish("dev/c1/up") && !nobody.mayReceive("home//x-c1") && !nobody.mayPublish("a"))
    }

    @Test(arguments: ["+", "#", "a/b", "a+", "x#", "/", "", "$SYS", "a\0b"])
    func namesThatAreNoPlainLevelNeverMatch(name: String) throws {
        let rules = AccessRules([
            try rule(nil, .readwrite, "c/{client}/x"), try rule(nil, .readwrite, "u/{user}/x"),
            try rule(nil, .readwrite, "{client}/x"), try rule(nil, .readwrite, "{user}/x"),
        ])
        let client = rules.access(user: name, client: name)
        for topic in ["c/\(name)/x", "u/\(name)/x", "\(name)/x", "c/a/x", "c//x", "$SYS/x", "c/a/b/x"] {
            #expect(!client.mayPublish(topic) && !client.mayReceive(topic) && !client.maySubscribe(topic), "\(topic)")
        }
    }

    @Test func aNameIsNotAPatternItself() throws {
        let rules = AccessRules([try rule(nil, .write, "u/{user}/{client}")])
        let client = rules.access(user: "{client}", client: "c1")
        #expect(client.mayPublish("u/{client}/c1") && !client.mayPublish("u/c1/c1"))
    }

    @Test func namesCompareByteByByte() throws {
        let rules = AccessRules([try rule("\u{E9}", .write, "\u{E9}")])
        #expect(rules.allows(user: "\u{E9}", client: "", access: .write, topic: "\u{E9}"))
        #expect(!rules.allows(user: "e\u{301}", client: "", access: .write, topic: "\u{E9}"))
        #expect(!rules.allows(user: "\u{E9}", client: "", access: .write, topic: "e\u{301}"))
    }

    @Test(
        arguments: [
            ("a#", .badFilter), ("", .badFilter), ("a/#/b", .badFilter), ("$share/g/a", .sharedFilter),
            ("a/{clientid}", .unknownPlaceholder), ("a/{", .unknownPlaceholder), ("a/}{user}", .unknownPlaceholder),
            ("{{user}}", .unknownPlaceholder), ("{User}", .unknownPlaceholder),
        ] as [(String, AccessRuleError)])
    func badRulesAreRefused(filter: String, error: AccessRuleError) {
        #expect(throws: error) { try AccessRule(user: nil, access: .read, filter: filter) }
    }

    /// The compiled matcher against the level-by-level one.
    @Test(arguments: [UInt64](1...20)) func patternsAgreeWithTheNaiveMatcher(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        for _ in 0..<500 {
            let filter = randomTopic(wild: true, &random)
            let name = randomTopic(wild: false, &random)
            guard Topic.isValidFilter(filter), !Topic.isShared(filter), Topic.isValidName(name) else { continue }
            let client = AccessRules([try rule(nil, .write, filter)]).access(user: nil, client: "c")
            #expect(
                client.mayPublish(name) == Topic.matches(name: name, filter: filter), "seed \(seed) \(filter) \(name)")
        }
    }
}

func randomTopic(wild: Bool, _ random: inout SplitMix64) -> String {
    let levels = ["a", "b", "", "c", "$x"] + (wild ? ["+", "+", "+"] : [])
    var parts = (0..<Int.random(in: (wild ? 0 : 1)...4, using: &random)).map { _ in
        levels[Int.random(in: 0..<levels.count, using: &random)]
    }
    if wild, parts.isEmpty || Int.random(in: 0..<3, using: &random) == 0 { parts.append("#") }
    return parts.joined(separator: "/")
}
