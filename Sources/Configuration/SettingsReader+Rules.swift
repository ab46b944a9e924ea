import MQTT
import Outbox
import Pipeline
import Readings
import Settings

/// `[[forward]]`, `[[accept]]` and `[[both]]`: which topics go which way, and what of that makes no sense together.
extension SettingsReader {
    /// One rule as it was written.
    private struct Written {
        var name: String
        var reader: TableReader
        var from: TopicFilter
        var to: TopicTemplate

        /// The topics that it makes.
        var reach: String { to.reach(of: from) }
        var text: String { "\(name) rule \"\(from)\" at line \(reader.position.line)" }
    }

    /// Where mistakes are let pass, a rule whose ends are usable stays, in the class telemetry and without a treatment if
    /// those are not. What any other would have sent upstream is held: going elsewhere, or being acknowledged and going
    /// nowhere, would be worse. What another would have brought down stays away: it might switch something elsewhere.
    ///
    /// The others hold their place, since the first rule that matches decides. What is said by rules that can be read
    /// counts, also where one that cannot be found may have stood before them.
    func rules(
        gateway: String, classes: [DeliveryClass: ClassLimits]
    ) -> (forward: [ForwardRule], accept: [AcceptRule]) {
        let forward = forward(gateway: gateway, classes: classes)
        let accept = accept(gateway: gateway)
        let both = both(gateway: gateway, classes: classes)
        checkOrder(forward.compactMap(\.written) + both.compactMap(\.up.written))
        let downward = accept + both.map(\.down)
        checkOrder(downward.compactMap(\.written))
        checkOverlaps(downward.compactMap(\.written))
        checkLoops(forward.compactMap(\.written), accept.compactMap(\.written))
        return (
            upward((forward + both.map(\.up)).map(\.rule), gateway: gateway),
            self.downward(downward.map(\.rule), gateway: gateway)
        )
    }

    /// With the built-in rule behind all others, where there is none of its kind.
    /// - Parameter rules: `nil` for one of which not even what it would match is known.
    private func upward(_ rules: [ForwardRule?], gateway: String) -> [ForwardRule] {
        if let place = rules.firstIndex(where: { $0 == nil }) {
            return rules[..<place].compactMap(\.self) + [.holdingEverything]
        }
        let known = rules.compactMap(\.self)
        if mayHide(["forward", "both"]) { return known + [.holdingEverything] }
        guard !isThere("forward"), let (from, to) = rule(from: "#", to: "{gateway}/{topic}", gateway: gateway) else {
            return known
        }
        return known + [ForwardRule(from: from, to: to)]
    }

    /// The same for the way down, where what nobody can place is subscribed to, and goes no further.
    private func downward(_ rules: [AcceptRule?], gateway: String) -> [AcceptRule] {
        var rules = rules
        if !isThere("accept"), let (from, to) = rule(from: "\(gateway)/cmd/#", to: "cmd/#", gateway: gateway) {
            rules.append(AcceptRule(from: from, to: mayHide(["accept", "both"]) ? nil : to))
        }
        let place = rules.firstIndex { $0 == nil } ?? rules.endIndex
        return rules[..<place].compactMap(\.self)
            + rules[place...].compactMap { $0.map { AcceptRule(from: $0.from, to: nil) } }
    }

    private func isThere(_ name: String) -> Bool { document.tables(name, into: Diagnostics()) != nil }

    /// Whether there may be rules that are not to be seen.
    private func mayHide(_ names: Set<String>) -> Bool {
        guard let original else { return false }
        return original.mayHide(names, among: SettingsKeys.sections)
            || names.contains { original.has($0) && !isThere($0) }
    }

    /// Without those that another filter covers: a broker would send what both match twice.
    static func withoutCovered(_ filters: [String]) -> [String] {
        filters.enumerated().filter { place, filter in
            !filters.enumerated().contains { other, covering in
                other != place && Topic.filter(covering, covers: filter)
                    && (other < place || !Topic.filter(filter, covers: covering))
            }
        }.map(\.element)
    }

    // MARK: Reading

    /// A rule for the way up.
    private struct Forwarding {
        /// `nil` with a mistake.
        var written: Written?
        /// `nil` when not even what it would match is known.
        var rule: ForwardRule?
    }

    private func forward(gateway: String, classes: [DeliveryClass: ClassLimits]) -> [Forwarding] {
        let told = isLenient ? Diagnostics() : diagnostics
        return (document.tables("forward", into: told) ?? []).map { table in
            let mistakes = isLenient ? Diagnostics() : diagnostics
            let reader = TableReader(table, keys: SettingsKeys.forward, path: "[[forward]]", diagnostics: mistakes)
            let name = deliveryClass(reader, classes)
            let treatment = reader.treatment()
            let treatmentKeys = SettingsKeys.treatment.map(\.name)
            var isTreated = reader.has("decode")
            if !isTreated, let key = treatmentKeys.first(where: { reader.has($0) }) {
                reader.error("\(key) has a meaning only with decode; without it payloads pass as they are", at: key)
            }
            // Half a treatment would make other values of what devices send.
            if isLenient, mistakes.hasErrors || reader.hasUnreadable { isTreated = false }
            guard let written = written("forward", reader, gateway: gateway) else {
                return Forwarding(rule: holding(reader, "from", gateway: gateway))
            }
            let rule = ForwardRule(
                from: written.from, to: written.to, deliveryClass: name, treatment: isTreated ? treatment : nil)
            return Forwarding(written: written, rule: rule)
        }
    }

    /// In the place of one whose other end is not usable: in front of those behind it, which are not meant for that.
    private func holding(_ reader: TableReader, _ key: String, gateway: String) -> ForwardRule? {
        filter(reader, key, gateway: gateway).map { ForwardRule(from: $0, to: nil) }
    }

    private func filter(_ reader: TableReader, _ key: String, gateway: String) -> TopicFilter? {
        reader.string(key).flatMap { try? TopicFilter($0.replacing("{gateway}", with: gateway)) }
    }

    /// A rule for the way down.
    private struct Accepting {
        /// `nil` with a mistake.
        var written: Written?
        /// `nil` when not even what it would match is known.
        var rule: AcceptRule?

        init(_ written: Written) {
            self.written = written
            rule = AcceptRule(from: written.from, to: written.to)
        }

        init(stopping from: TopicFilter?) { rule = from.map { AcceptRule(from: $0, to: nil) } }
    }

    private func accept(gateway: String) -> [Accepting] {
        let told = isLenient ? Diagnostics() : diagnostics
        return (document.tables("accept", into: told) ?? []).map { table in
            let reader = TableReader(table, keys: SettingsKeys.accept, path: "[[accept]]", diagnostics: told)
            let isShared = reader.string("from")?.hasPrefix("$share/") == true
            if isShared {
                reader.error("from: a shared subscription would bring each command to one gateway of many", at: "from")
            }
            let written = written("accept", reader, gateway: gateway)
            // Subscribed to, it would take commands away from other gateways.
            if isShared { return Accepting(stopping: nil) }
            return written.map(Accepting.init) ?? Accepting(stopping: filter(reader, "from", gateway: gateway))
        }
    }

    private func both(
        gateway: String, classes: [DeliveryClass: ClassLimits]
    ) -> [(up: Forwarding, down: Accepting)] {
        let told = isLenient ? Diagnostics() : diagnostics
        return (document.tables("both", into: told) ?? []).map { table in
            let reader = TableReader(table, keys: SettingsKeys.both, path: "[[both]]", diagnostics: told)
            let name = deliveryClass(reader, classes)
            guard let lan = reader.string("lan"), let cloud = reader.string("upstream"),
                let up = rule(reader, from: ("lan", lan), to: ("upstream", cloud), gateway: gateway),
                let down = rule(reader, from: ("upstream", cloud), to: ("lan", lan), gateway: gateway)
            else {
                return (
                    Forwarding(rule: holding(reader, "lan", gateway: gateway)),
                    Accepting(stopping: filter(reader, "upstream", gateway: gateway))
                )
            }
            return (
                Forwarding(
                    written: Written(name: "both", reader: reader, from: up.0, to: up.1),
                    rule: ForwardRule(from: up.0, to: up.1, deliveryClass: name)),
                Accepting(Written(name: "both", reader: reader, from: down.0, to: down.1))
            )
        }
    }

    /// Telemetry where there is a mistake.
    private func deliveryClass(
        _ reader: TableReader, _ classes: [DeliveryClass: ClassLimits]
    ) -> DeliveryClass {
        let name = DeliveryClass(reader.string("class") ?? DeliveryClass.telemetry.name)
        if classes[name] == nil {
            reader.error(
                "class: there is no [class.\(name)]"
                    + NearestName.hint(name.name, among: classes.keys.map(\.name).sorted()), at: "class")
            return .telemetry
        }
        return name
    }

    private func written(_ name: String, _ reader: TableReader, gateway: String) -> Written? {
        guard let from = reader.string("from"), let to = reader.string("to"),
            let rule = rule(reader, from: ("from", from), to: ("to", to), gateway: gateway)
        else { return nil }
        return Written(name: name, reader: reader, from: rule.0, to: rule.1)
    }

    /// Both ends of a rule, with their mistakes told; `nil` when there is one.
    private func rule(
        _ reader: TableReader, from: (key: String, text: String), to: (key: String, text: String), gateway: String
    ) -> (TopicFilter, TopicTemplate)? {
        do {
            let filter = try TopicFilter(from.text.replacing("{gateway}", with: gateway))
            do {
                return (filter, try TopicTemplate(to.text, gateway: gateway, filter: filter))
            } catch {
                reader.error("\(to.key): \(error)", at: to.key)
            }
        } catch {
            reader.error("\(from.key): \(error)", at: from.key)
        }
        return nil
    }

    /// A built-in rule; `nil` only when the gateway's id is not usable, which is told elsewhere.
    private func rule(from: String, to: String, gateway: String) -> (TopicFilter, TopicTemplate)? {
        guard let filter = try? TopicFilter(from),
            let template = try? TopicTemplate(to, gateway: gateway, filter: filter)
        else { return nil }
        return (filter, template)
    }

    // MARK: Checking

    /// The first rule that matches decides: one behind a wider one never does.
    private func checkOrder(_ rules: [Written]) {
        for (place, rule) in rules.enumerated() {
            let covering = rules[..<place].first { Topic.filter($0.from.description, covers: rule.from.description) }
            guard let covering else { continue }
            rule.reader.warning("this rule is never used: the \(covering.text) takes all that it matches")
        }
    }

    /// The broker may send what two subscriptions match twice: with MQTT 5.0 the copies are told apart.
    private func checkOverlaps(_ rules: [Written]) {
        for (place, rule) in rules.enumerated() {
            let filter = rule.from.description
            let other = rules[..<place].first {
                Topic.filters($0.from.description, overlap: filter)
                    && !Topic.filter($0.from.description, covers: filter)
                    && !Topic.filter(filter, covers: $0.from.description)
            }
            guard let other else { continue }
            rule.reader.warning(
                "this rule and the \(other.text) match the same topics: from a broker that speaks only MQTT 3.1.1 their messages may come twice"
            )
        }
    }

    /// What one rule sends up another one brings down again.
    private func checkLoops(_ forward: [Written], _ accept: [Written]) {
        for rule in accept {
            let loop = forward.first {
                Topic.filters($0.reach, overlap: rule.from.description)
                    && Topic.filters(rule.reach, overlap: $0.from.description)
            }
            guard let loop else { continue }
            rule.reader.warning(
                "this rule brings down what the \(loop.text) sends up: a loop, which is broken at run time; [[both]] says so on purpose, and narrower topics avoid it"
            )
        }
    }
}
