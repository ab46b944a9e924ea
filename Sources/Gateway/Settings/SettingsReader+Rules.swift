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
    /// nowhere, would be worse.
    func rules(
        gateway: String, classes: [DeliveryClass: ClassLimits]
    ) -> (forward: [ForwardRule], accept: [AcceptRule]) {
        let forward = forward(gateway: gateway, classes: classes)
        let accept = accept(gateway: gateway)
        let both = both(gateway: gateway, classes: classes)
        checkOrder(forward.compactMap(\.written) + both.compactMap(\.up.written))
        checkOrder(accept + both.compactMap(\.down))
        checkOverlaps(accept + both.compactMap(\.down))
        checkLoops(forward.compactMap(\.written), accept)

        var up = (forward + both.map(\.up)).compactMap(\.rule)
        var down = (accept + both.compactMap(\.down)).map { AcceptRule(from: $0.from, to: $0.to) }
        // Without a rule of its kind there is a built-in one, behind all others.
        let hasForward = document.tables("forward", into: Diagnostics()) != nil
        if (forward + both.map(\.up)).contains(where: { $0.rule == nil }) || mayHideRules(hasForward: hasForward) {
            up.append(.holdingEverything)
        } else if !hasForward, let (from, to) = rule(from: "#", to: "{gateway}/{topic}", gateway: gateway) {
            up.append(ForwardRule(from: from, to: to))
        }
        if document.tables("accept", into: diagnostics) == nil,
            let (from, to) = rule(from: "\(gateway)/cmd/#", to: "cmd/#", gateway: gateway)
        {
            down.append(AcceptRule(from: from, to: to))
        }
        return (up, down)
    }

    /// Whether there may be rules for the way up that are not to be seen.
    private func mayHideRules(hasForward: Bool) -> Bool {
        guard let original else { return false }
        let shape = Diagnostics()
        for name in ["forward", "both"] { _ = original.tables(name, into: shape) }
        return shape.hasErrors
            || !hasForward && (original.has("forward") || original.mayHide(among: SettingsKeys.sections))
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
        guard let text = reader.string(key)?.replacing("{gateway}", with: gateway) else { return nil }
        return (try? TopicFilter(text)).map { ForwardRule(from: $0, to: nil) }
    }

    private func accept(gateway: String) -> [Written] {
        (document.tables("accept", into: diagnostics) ?? []).compactMap { table in
            let reader = TableReader(table, keys: SettingsKeys.accept, path: "[[accept]]", diagnostics: diagnostics)
            if reader.string("from")?.hasPrefix("$share/") == true {
                reader.error("from: a shared subscription would bring each command to one gateway of many", at: "from")
            }
            return written("accept", reader, gateway: gateway)
        }
    }

    private func both(
        gateway: String, classes: [DeliveryClass: ClassLimits]
    ) -> [(up: Forwarding, down: Written?)] {
        let told = isLenient ? Diagnostics() : diagnostics
        return (document.tables("both", into: told) ?? []).map { table in
            let reader = TableReader(table, keys: SettingsKeys.both, path: "[[both]]", diagnostics: told)
            let name = deliveryClass(reader, classes)
            guard let lan = reader.string("lan"), let cloud = reader.string("upstream"),
                let up = rule(reader, from: ("lan", lan), to: ("upstream", cloud), gateway: gateway),
                let down = rule(reader, from: ("upstream", cloud), to: ("lan", lan), gateway: gateway)
            else { return (Forwarding(rule: holding(reader, "lan", gateway: gateway)), nil) }
            return (
                Forwarding(
                    written: Written(name: "both", reader: reader, from: up.0, to: up.1),
                    rule: ForwardRule(from: up.0, to: up.1, deliveryClass: name)),
                Written(name: "both", reader: reader, from: down.0, to: down.1)
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
