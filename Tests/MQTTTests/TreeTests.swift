import MQTT
import TestSupport
import Testing

@Suite struct TreeTests {
    @Test(arguments: [
        ("a", true), ("a/b", true), ("/", true), ("#", true), ("+", true), ("a/+/b", true), ("a/#", true),
        ("+/+/#", true),
        ("$share/g/a/#", true), ("a//b", true), ("", false), ("a#", false), ("#/a", false), ("a/+b", false),
        ("a+/b", false),
        ("##", false), ("+#", false), ("a\0", false), ("$share/g", false), ("$share//a", false), ("$share/g+/a", false),
        ("$share/g/", false), ("$share/g/\u{301}a", true), ("$share/\u{301}/a", true), ("$share/g+\u{301}/a", false),
    ])
    func filtersAreChecked(filter: String, isValid: Bool) { #expect(Topic.isValidFilter(filter) == isValid) }

    /// Where Swift's strings see one character of two, MQTT sees its bytes.
    @Test(arguments: [("$share/g/a", true), ("$share/\u{301}g/a", true), ("$share", false), ("$shared/g/a", false)])
    func sharedFiltersAreKnown(filter: String, isShared: Bool) { #expect(Topic.isShared(filter) == isShared) }

    @Test(arguments: [
        ("a", true), ("/", true), ("a/b c", true), ("", false), ("a/+", false), ("#", false), ("a\0", false),
    ])
    func namesAreChecked(name: String, isValid: Bool) { #expect(Topic.isValidName(name) == isValid) }

    @Test func lengthsAreBounded() {
        #expect(Topic.isValidName(String(repeating: "x", count: 65_535)))
        #expect(!Topic.isValidName(String(repeating: "x", count: 65_536)))
        #expect(!Topic.isValidFilter(String(repeating: "x", count: 65_536)))
    }

    private static func randomTopic(wild: Bool, _ random: inout SplitMix64) -> String {
        let levels = ["a", "b", "", "c", "$x"] + (wild ? ["+", "+"] : [])
        var parts = (0..<Int.random(in: 1...4, using: &random)).map { _ in
            levels[Int.random(in: 0..<levels.count, using: &random)]
        }
        if wild, Int.random(in: 0..<3, using: &random) == 0 { parts.append("#") }
        return parts.joined(separator: "/")
    }

    /// Both trees against the level-by-level matcher, under random inserts and removals.
    @Test(arguments: [UInt64](1...20)) func treesAgreeWithTheNaiveMatcher(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var tree = SubscriptionTree<Int, String>()
        var model: Set<String> = []
        var topics = TopicTree<String>()
        var topicModel: Set<String> = []
        for _ in 0..<400 {
            let filter = Self.randomTopic(wild: true, &random)
            let name = Self.randomTopic(wild: false, &random)
            guard Topic.isValidFilter(filter), Topic.isValidName(name) else { continue }
            if Bool.random(using: &random) {
                #expect(tree.insert(1, filter: filter, options: filter) == model.insert(filter).inserted)
                #expect((topics.set(name, to: name) == nil) == topicModel.insert(name).inserted)
            } else {
                #expect(tree.remove(1, filter: filter) == (model.remove(filter) != nil))
                #expect((topics.remove(name) != nil) == (topicModel.remove(name) != nil))
            }
            #expect(tree.count == model.count && topics.count == topicModel.count)
            var found: [String] = []
            tree.forEachMatch(topic: name) { found.append($1) }
            #expect(
                found.sorted() == model.filter { Topic.matches(name: name, filter: $0) }.sorted(),
                "seed \(seed), \(name)")
            var values: [String] = []
            topics.forEachMatch(filter: filter) { values.append($0) }
            #expect(
                values.sorted() == topicModel.filter { Topic.matches(name: $0, filter: filter) }.sorted(),
                "seed \(seed), \(filter)")
        }
    }

    /// Two spellings of é are two topics [MQTT-4.7.3-4].
    @Test func nothingIsNormalised() {
        let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
        #expect(composed == decomposed)
        var tree = SubscriptionTree<Int, Int>()
        tree.insert(1, filter: composed, options: 1)
        tree.insert(1, filter: decomposed, options: 2)
        #expect(tree.count == 2)
        var found: [Int] = []
        tree.forEachMatch(topic: decomposed) { found.append($1) }
        #expect(found == [2])
        var topics = TopicTree<Int>()
        topics.set(composed, to: 1)
        #expect(topics[composed] == 1 && topics[decomposed] == nil)
        #expect(!Topic.matches(name: composed, filter: decomposed))
    }

    @Test func veryDeepTopicsDoNotOverflow() {
        let deep = String(repeating: "/", count: 65_000)
        var tree = SubscriptionTree<Int, Int>()
        tree.insert(1, filter: deep, options: 1)
        tree.insert(2, filter: "#", options: 2)
        var found: Set<Int> = []
        tree.forEachMatch(topic: deep) { subscriber, _ in found.insert(subscriber) }
        #expect(found == [1, 2])
        tree.remove(1, filter: deep)
        #expect(tree.count == 1)
    }

    /// A mark that combines with the slash or the wildcard before it makes no difference: bytes are compared.
    @Test func marksThatCombineAreBytesOfTheirOwn() {
        #expect(Topic.isShared("$share/\u{301}g/a"))
        #expect(Topic.isValidFilter("$share/\u{301}g/a"))
        #expect(Topic.isValidFilter("$share/g/\u{301}a"))
        #expect(!Topic.isValidFilter("$share/g+\u{301}/a"))
        #expect(!Topic.isValidFilter("a/+\u{301}"))
    }
}
