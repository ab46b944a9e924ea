package import Readings

/// Arrival → Reading → Message: decides what goes upstream and under which name. A pure function of its state, the
/// arrival and the time; the owner does all the rest.
package struct ReadingPipeline: Sendable {
    /// What one arrival leads to.
    package struct Step: Sendable {
        /// What goes upstream, in order. Empty when no rule matches, or every value was held back.
        package var messages: [Message] = []
        /// What the LAN's subscribers get: a sensor's readings. A device's publish has reached them already.
        package var local: [LocalMessage] = []
        /// The decoded values, held back or not: the source's current state.
        package var readings: [Reading] = []
        /// Why the arrival, or a part of it, came to nothing or was passed on undecoded.
        package var failure: Failure?
        /// How many messages a rule took that could not be made, by class: the upstream is to learn of them.
        package var lost: [DeliveryClass: Int64] = [:]
        /// It must not be acknowledged: where it should go is not known.
        package var isHeld: Bool { if case .held? = failure { messages.isEmpty } else { false } }

        fileprivate mutating func lose(_ name: DeliveryClass) { lost[name, default: 0] += 1 }
    }

    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// A sensor's line is dropped, a device's payload passed on as it is.
        case undecodable(DecodingFailure)
        /// The rule's template makes no valid topic of this arrival.
        case invalidTopic(rule: String)
        /// A value's name cannot be a topic level.
        case invalidMetric(String)
        /// Scaling overflowed.
        case notFinite
        /// The rule that takes it has a mistake in the settings.
        case held(rule: String)

        package var description: String {
            switch self {
            case .undecodable(let failure): "\(failure)"
            case .invalidTopic(let rule): "the rule \"\(rule)\" makes no valid topic of it"
            case .invalidMetric(let name): "\"\(name)\" cannot be part of a topic"
            case .notFinite: "the scaled value is too large"
            case .held(let rule): "what matches \"\(rule)\" waits until its [[forward]] rule is mended"
            }
        }
    }

    /// Where one topic of one device goes; `nil` upstream: nowhere, for all that the rule takes it.
    private struct Route: Sendable {
        var rule: Int
        var upstreamTopic: String?
    }

    private var rules: [ForwardRule]
    private var treatments: [DeviceID: Treatment]
    private var deadband: Deadband
    private var presence: Presence
    /// Topics repeat; matching them against every rule each time would be the hottest loop of the gateway. Emptied
    /// when full, which bounds it without bookkeeping.
    private var routes: [RouteKey: Route?] = [:]
    private static let routeLimit = 2_048

    /// Compared byte by byte, since two spellings of one character are two topics [MQTT-4.7.3-4].
    private struct RouteKey: Hashable {
        var topic: String
        var device: String

        static func == (a: RouteKey, b: RouteKey) -> Bool {
            a.topic.utf8.elementsEqual(b.topic.utf8) && a.device.utf8.elementsEqual(b.device.utf8)
        }

        func hash(into hasher: inout Hasher) {
            for text in [topic, device] {
                let isHashed: Void? = text.utf8.withContiguousStorageIfAvailable {
                    hasher.combine(bytes: UnsafeRawBufferPointer($0))
                }
                if isHashed == nil { for byte in text.utf8 { hasher.combine(byte) } }
                hasher.combine(UInt8(0xFF))
            }
        }
    }

    /// - Parameters:
    ///   - rules: the forward rules; the first that matches a topic decides.
    ///   - sensors: each local sensor's treatment.
    ///   - watched: the local sensors whose state is announced, and when their values are stale.
    ///   - seriesLimit: how many series a deadband can watch at once.
    package init(
        rules: [ForwardRule], sensors: [DeviceID: Treatment] = [:], watched: [WatchedSensor] = [],
        seriesLimit: Int = 10_000
    ) {
        self.rules = rules
        treatments = sensors
        deadband = Deadband(limit: seriesLimit)
        presence = Presence(watched)
    }

    /// Puts other rules and sensors in the place of those that there are. The last values of sensors that stay are kept.
    /// - Returns: what is announced of the sensors that are gone: they are offline, by the rules as they were.
    package mutating func reconfigure(
        rules: [ForwardRule], sensors: [DeviceID: Treatment], watched: [WatchedSensor], now: Timestamp
    ) -> Step {
        var step = Step()
        for sensor in presence.reconfigure(watched) {
            announce(.offline, sensor.topic, sensor.id, at: now, step: &step)
        }
        self.rules = rules
        treatments = sensors
        routes.removeAll()
        return step
    }

    /// Whether ``expire(now:)`` can ever have anything to tell.
    package var canExpire: Bool { presence.canExpire }

    /// The values that have become stale by `now`, and what is announced of their sensors. To be called a few times a
    /// second; costs a look at every series of a sensor that has a limit.
    package mutating func expire(now: Timestamp) -> Step {
        var step = Step()
        for expiry in presence.expire(now: now) {
            let sensor = expiry.sensor
            deliver(
                expiry.readings, topic: sensor.topic, retain: false, from: sensor.id,
                treatment: treatments[sensor.id] ?? Treatment(), now: now.instant, step: &step)
            if let state = expiry.announcement { announce(state, sensor.topic, sensor.id, at: now, step: &step) }
        }
        return step
    }

    /// Takes one arrival through all stages. Allocates for what it returns, and once per new topic.
    package mutating func step(_ arrival: Arrival, now: Instant) -> Step {
        switch arrival.source {
        case .sensor(let id): sensorStep(arrival, id: id, now: now)
        case .device(let id): deviceStep(arrival, id: id, now: now)
        }
    }

    private mutating func sensorStep(_ arrival: Arrival, id: DeviceID, now: Instant) -> Step {
        var step = Step()
        if case .unavailable = arrival.body {
            if let state = presence.failed(id) { announce(state, arrival.topic, id, at: arrival.time, step: &step) }
            return step
        }
        let treatment = treatments[id] ?? Treatment()
        guard let (readings, tooLarge) = readings(of: arrival, from: id, treatment: treatment, step: &step) else {
            return step
        }
        for metric in tooLarge { noteLoss(of: metric, below: arrival.topic, from: id, step: &step) }
        if let state = presence.refreshed(id, readings, now: now) {
            announce(state, arrival.topic, id, at: arrival.time, step: &step)
        }
        deliver(
            readings, topic: arrival.topic, retain: arrival.retain, from: id, treatment: treatment, now: now,
            step: &step)
        return step
    }

    /// A sensor's readings, to the LAN and by the rules upstream.
    private mutating func deliver(
        _ readings: [Reading], topic base: String, retain: Bool, from id: DeviceID, treatment: Treatment, now: Instant,
        step: inout Step
    ) {
        for reading in readings {
            step.readings.append(reading)
            guard let topic = topic(base, for: reading, step: &step) else {
                noteLoss(of: reading.metric, below: base, from: id, step: &step)
                continue
            }
            guard deadband.passes(reading, topic: base, treatment: treatment, now: now) else { continue }
            let json = reading.json
            step.local.append(LocalMessage(topic: topic, payload: json, retain: retain))
            guard let route = route(topic, device: id, step: &step), let upstream = route.upstreamTopic else {
                continue
            }
            step.messages.append(
                Message(
                    topic: upstream, payload: json, format: .reading, retain: retain,
                    deliveryClass: rules[route.rule].deliveryClass, time: reading.time))
        }
    }

    /// A sensor's state, retained below its topic: `sensors/front-door/$state`, as the gateway's own is below its name.
    private mutating func announce(
        _ state: Presence.State, _ base: String, _ id: DeviceID, at time: Timestamp, step: inout Step
    ) {
        let topic = "\(base)/$state"
        let payload = Array(state.rawValue.utf8)
        step.local.append(LocalMessage(topic: topic, payload: payload, retain: true))
        guard let route = route(topic, device: id, step: &step), let upstream = route.upstreamTopic else { return }
        step.messages.append(
            Message(
                topic: upstream, payload: payload, retain: true, deliveryClass: rules[route.rule].deliveryClass,
                time: time))
    }

    private mutating func deviceStep(_ arrival: Arrival, id: DeviceID, now: Instant) -> Step {
        var step = Step()
        guard let route = route(arrival.topic, device: id, step: &step), let upstream = route.upstreamTopic,
            case .payload(let payload) = arrival.body
        else { return step }
        let rule = rules[route.rule]
        if let treatment = rule.treatment,
            let (readings, tooLarge) = readings(of: arrival, from: id, treatment: treatment, step: &step)
        {
            for _ in tooLarge { step.lose(rule.deliveryClass) }
            for reading in readings {
                step.readings.append(reading)
                guard let topic = topic(upstream, for: reading, step: &step) else {
                    step.lose(rule.deliveryClass)
                    continue
                }
                guard deadband.passes(reading, topic: arrival.topic, treatment: treatment, now: now) else { continue }
                step.messages.append(
                    Message(
                        topic: topic, payload: reading.json, format: .reading, retain: arrival.retain,
                        deliveryClass: rule.deliveryClass, time: arrival.time, expiry: arrival.expiry,
                        properties: arrival.properties?.ofAnotherPayload))
            }
        } else {
            step.messages.append(
                Message(
                    topic: upstream, payload: payload, retain: arrival.retain, deliveryClass: rule.deliveryClass,
                    time: arrival.time, expiry: arrival.expiry, properties: arrival.properties))
        }
        return step
    }

    /// The arrival's values, decoded and scaled, and the names of those that scaling made too large; `nil`, and the reason
    /// in `step`, when there are none to be had.
    private func readings(
        of arrival: Arrival, from id: DeviceID, treatment: Treatment, step: inout Step
    ) -> (readings: [Reading], tooLarge: [String?])? {
        let samples: [Sample]
        switch arrival.body {
        case .unavailable: return nil
        case .samples(let decoded): samples = decoded
        case .payload(let bytes):
            do {
                samples = try treatment.decoding.decode(bytes)
            } catch {
                step.failure = .undecodable(error)
                return nil
            }
        }
        var tooLarge: [String?] = []
        let readings = samples.compactMap { sample -> Reading? in
            guard let value = treatment.scaled(sample.value) else {
                tooLarge.append(sample.metric)
                return nil
            }
            return Reading(
                device: id, metric: sample.metric, value: value,
                unit: value.asDouble == nil ? nil : treatment.unit(for: sample), quality: sample.quality,
                reason: sample.reason, time: arrival.time)
        }
        if !tooLarge.isEmpty { step.failure = .notFinite }
        return (readings, tooLarge)
    }

    /// A sensor's value has come to nothing, before it was known whether it goes upstream.
    private mutating func noteLoss(of metric: String?, below base: String, from id: DeviceID, step: inout Step) {
        // A name that is no level would have been matched by a wildcard or not at all: so is any other.
        let level = metric.map { Self.isLevel($0, below: base) ? $0 : "?" }
        guard let found = find(level.map { "\(base)/\($0)" } ?? base, device: id), rules[found.rule].to != nil else {
            return
        }
        step.lose(rules[found.rule].deliveryClass)
    }

    /// `base`, or `base/metric` for a source with several values.
    private func topic(_ base: String, for reading: Reading, step: inout Step) -> String? {
        guard let metric = reading.metric else { return base }
        guard Self.isLevel(metric, below: base) else {
            step.failure = .invalidMetric(String(metric.prefix(80)))
            return nil
        }
        return "\(base)/\(metric)"
    }

    private static func isLevel(_ metric: String, below base: String) -> Bool {
        !metric.isEmpty && base.utf8.count + 1 + metric.utf8.count <= 65_535
            && !metric.utf8.contains { $0 == 0 || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "#") }
    }

    /// Where one message goes; why it goes nowhere for all that a rule takes it, and that it is lost, in `step`.
    private mutating func route(_ topic: String, device: DeviceID, step: inout Step) -> Route? {
        let found = find(topic, device: device)
        if let found, found.upstreamTopic == nil {
            let rule = rules[found.rule]
            step.failure = rule.to.map { .invalidTopic(rule: $0.description) } ?? .held(rule: rule.from.description)
            if rule.to != nil { step.lose(rule.deliveryClass) }
        }
        return found
    }

    private mutating func find(_ topic: String, device: DeviceID) -> Route? {
        let key = RouteKey(topic: topic, device: device.name)
        let found: Route?
        if let known = routes[key] {
            found = known
        } else {
            found = search(topic, device: device)
            if routes.count >= Self.routeLimit { routes.removeAll(keepingCapacity: true) }
            routes[key] = .some(found)
        }
        return found
    }

    private func search(_ topic: String, device: DeviceID) -> Route? {
        for (index, rule) in rules.enumerated() {
            guard let match = rule.from.match(topic) else { continue }
            return Route(
                rule: index, upstreamTopic: rule.to?.expand(topic: topic, device: device.name, match: match))
        }
        return nil
    }
}
