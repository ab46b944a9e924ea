import MQTT
import TestSupport
import Testing

@Suite struct CoveringTests {
    @Test(arguments: [
        ("#", "#", true), ("#", "+", true), ("#", "a/b/#", true), ("+/#", "#", true), ("#", "+/#", true),
        ("+/+/#", "#", false), ("/+/#", "/#", true), ("+/+/#", "/#", true),
        ("a/+/#", "a/#", false), ("+", "#", false), ("a/#", "a", true), ("a/#", "a/#", true), ("a/#", "a/+/c", true),
        ("a/+", "a/#", false), ("a/+", "a/b", true), ("a/b", "a/+", false),
        ("a", "a/b", false), ("a/b", "a", false), ("+/b", "+/b", true), ("a/+", "+/+", false), ("+/+", "/", true),
        ("#", "$SYS/#", false), ("+/a", "$SYS/a", false), ("$SYS/#", "$SYS/a", true), ("$SYS/#", "#", false),
    ])
    func knownPairs(wide: String, narrow: String, isCovered: Bool) {
        #expect(Topic.filter(wide, covers: narrow) == isCovered)
    }

    /// Every name of up to four levels over an alphabet with a level that stands in no filter: two filters of up to
    /// three levels that differ on any name differ on one of these.
    private static let names: [String] = {
        let levels = ["a", "b", "", "$x", "other"]
        var names: [[String]] = [[]]
        var all: [String] = []
        for _ in 0..<4 {
            names = names.flatMap { name in levels.map { name + [$0] } }
            all += names.map { $0.joined(separator: "/") }
        }
        return all.filter { Topic.isValidName($0) }
    }()

    private static func randomFilter(_ random: inout SplitMix64) -> String {
        let levels = ["a", "b", "", "$x", "+", "+", "+"]
        var parts = (0..<Int.random(in: 0...3, using: &random)).map { _ in
            levels[Int.random(in: 0..<levels.count, using: &random)]
        }
        if parts.isEmpty || (parts.count < 3 && Bool.random(using: &random)) { parts.append("#") }
        return parts.joined(separator: "/")
    }

    @Test(arguments: [UInt64](1...40)) func coveringIsWhatMatchingSays(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var covered = 0
        for _ in 0..<60 {
            let wide = Self.randomFilter(&random)
            let narrow = Self.randomFilter(&random)
            guard Topic.isValidFilter(wide), Topic.isValidFilter(narrow) else { continue }
            let expected = Self.names.allSatisfy {
                !Topic.matches(name: $0, filter: narrow) || Topic.matches(name: $0, filter: wide)
            }
            if expected { covered += 1 }
            #expect(Topic.filter(wide, covers: narrow) == expected, "seed \(seed): \(wide) covers \(narrow)")
        }
        #expect(covered > 0)
    }

    @Test func sharedFiltersAreUncovered() {
        #expect(Topic.unshared("$share/g/a/#") == "a/#" && Topic.unshared("$share/g//a") == "/a")
        #expect(Topic.unshared("a/b") == "a/b")
    }

    @Test(arguments: [
        ("#", "a", true), ("a/#", "a", true), ("a", "a/#", true), ("a/#", "a/b/c", true), ("a/+", "a", false),
        ("a/+/c", "a/b/+", true), ("a/b", "a/c", false), ("+/b", "a/+", true), ("a/b/#", "+", false),
        ("#", "$SYS/#", false), ("$SYS/#", "$SYS/a", true), ("+/a", "$x/a", false), ("a/b", "a/b/c", false),
    ])
    func knownOverlaps(a: String, b: String, overlaps: Bool) {
        #expect(Topic.filters(a, overlap: b) == overlaps)
        #expect(Topic.filters(b, overlap: a) == overlaps)
    }

    @Test(arguments: [UInt64](1...40)) func overlappingIsWhatMatchingSays(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        for _ in 0..<200 {
            let a = Self.randomFilter(&random)
            let b = Self.randomFilter(&random)
            guard Topic.isValidFilter(a), Topic.isValidFilter(b) else { continue }
            let both = Self.names.first { Topic.matches(name: $0, filter: a) && Topic.matches(name: $0, filter: b) }
            #expect(Topic.filters(a, overlap: b) == (both != nil), "seed \(seed): \(a), \(b): \(both ?? "none")")
        }
    }
}
