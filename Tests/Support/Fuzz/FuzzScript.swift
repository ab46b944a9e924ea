package import MQTT

/// Everything that one connection sends, made from a seed, and what is to come of it.
package struct FuzzScript: Sendable {
    /// What a server has to do.
    package enum Outcome: Sendable {
        /// Serve it: everything asked for is answered.
        case served
        /// Answer every publish, or end the connection.
        case counted
        /// It leaves in order.
        case left
        /// End the connection, telling 5.0 why.
        case refused
        /// Whatever it likes, as long as it keeps to the standard.
        case anything
    }

    /// What the CONNECT says, where it is certain that it is read as it was meant.
    package struct Declared: Sendable {
        package var version: ProtocolVersion
        package var cleanStart: Bool
        package var maximumPacketSize = Int.max
        package var receiveMaximum = 65_535
        package var topicAliasMaximum = 0
        package var wantsProblemInformation = true
    }

    /// What the server grants, so that a script can keep to it or not.
    package struct Granted: Sendable {
        package var receiveMaximum = 1_000
        package var topicAliasMaximum = 16
        package var maximumPacketSize = 256 << 10

        package init() {}
    }

    /// Requests whose answers are due.
    package struct Requests: Sendable {
        package var pings = 0
        /// SUBSCRIBE and UNSUBSCRIBE, by packet identifier: the filters of each.
        package var subscribes: [Int: [[UInt8]]] = [:]
        package var unsubscribes: [Int: [[UInt8]]] = [:]
        /// PUBLISH of QoS 1 and 2, whatever their packet identifiers.
        package var publishes = 0
        /// PUBLISH of QoS 1 and 2.
        package var publishes1: Set<Int> = []
        package var publishes2: Set<Int> = []
    }

    package private(set) var clientIdentifier = ""
    package private(set) var outcome = Outcome.served
    package private(set) var declared: Declared?
    package private(set) var requests = Requests()
    /// The packets' bytes, in the pieces in which they are sent.
    package private(set) var fragments: [[UInt8]] = []
    /// It answers what the server sends. Who does not is still right, and only gets less.
    package private(set) var acknowledges = true
    /// No other connection has its client identifier.
    package private(set) var isAlone = false

    /// - Parameters:
    ///   - name: what makes client identifiers of this script its own.
    ///   - granted: what the server grants.
    package init(seed: UInt64, name: String, granted: Granted) {
        var random = SplitMix64(seed: seed)
        let version = random.pick(ProtocolVersion.allCases)
        var generator = PacketGenerator(seed: random.next(), version: version)
        generator.topicAliasMaximum = granted.topicAliasMaximum
        generator.sizeLimit = min(granted.maximumPacketSize / 4, 65_535)
        isAlone = random.once(in: 2)
        acknowledges = !random.once(in: 4)
        clientIdentifier = isAlone ? name : "f\(random.number(1...4))"
        var first = connect(&generator, &random, version)
        while first.bytes.count > granted.maximumPacketSize {
            // A will as large as that is for another case.
            outcome = .served
            first = connect(&generator, &random, version)
        }
        var drafts = [first]
        var quota = granted.receiveMaximum
        for _ in 0..<random.number(0...14) {
            var draft = Self.next(&generator, &random, &quota, version)
            guard draft.bytes.count <= granted.maximumPacketSize else { continue }
            if draft.type == 3, random.once(in: 30) { draft.flags |= 1 }
            drafts.append(draft)
        }
        var isMutated = false
        switch random.number(0...19) {
        case 0...7: break
        case 8:
            drafts.append(generator.disconnect(mayProlong: false))
            if outcome == .served { outcome = .left }
        case 9...12: breakOne(of: &drafts, &random, version)
        case 13...15: misbehave(&drafts, &generator, &random, version, granted)
        default:
            outcome = .anything
            isMutated = true
        }
        if outcome == .served || outcome == .counted {
            note(drafts)
            drafts.append(generator.pingreq())
            requests.pings += 1
        }
        var bytes = drafts.flatMap(\.bytes)
        if isMutated {
            // Mostly behind the CONNECT: before it, all ends at once.
            let head = random.once(in: 4) ? [] : drafts[0].bytes
            bytes = head + Fault.mutated(Array(bytes.dropFirst(head.count)), &random)
            if head.isEmpty { declared = nil }
        }
        fragments = Fault.fragments(bytes, &random)
        if random.once(in: 4) { fragments = [bytes] }
    }

    private mutating func connect(
        _ generator: inout PacketGenerator, _ random: inout SplitMix64, _ version: ProtocolVersion
    ) -> Draft {
        var wishes = PacketGenerator.ConnectWishes(clientIdentifier: clientIdentifier)
        wishes.cleanStart = random.once(in: 2)
        wishes.keepAlive = random.pick([0, 0, 600, 65_535])
        var declared = Declared(version: version, cleanStart: wishes.cleanStart)
        var list: [Draft.Property] = []
        func add(_ identifier: UInt8, _ value: [UInt8]) {
            list.append(Draft.Property(identifier: identifier, value: value))
        }
        if version == .v5_0 {
            if random.once(in: 2) {
                let seconds = random.pick([0, 0, 100, 0xFFFF_FFFF])
                add(0x11, Draft.fourBytes(seconds))
            }
            if random.once(in: 3) {
                declared.receiveMaximum = random.pick([1, 2, 10, 65_535])
                add(0x21, Draft.twoBytes(declared.receiveMaximum))
            }
            if random.once(in: 4) {
                declared.maximumPacketSize = random.pick([
                    1, 4, 20, 71, random.number(72...150), random.number(72...150), 1_000, 65_535,
                ])
                add(0x27, Draft.fourBytes(declared.maximumPacketSize))
                // Answers that do not fit cannot be given.
                if declared.maximumPacketSize < 200 { outcome = .anything }
            }
            if random.once(in: 3) {
                declared.topicAliasMaximum = random.pick([0, 1, 2, 65_535])
                add(0x22, Draft.twoBytes(declared.topicAliasMaximum))
            }
            if random.once(in: 4) {
                declared.wantsProblemInformation = random.once(in: 2)
                add(0x17, [declared.wantsProblemInformation ? 1 : 0])
            }
            if random.once(in: 4) { list.append(generator.property(0x26)) }
        }
        wishes.properties = list.shuffled(using: &random)
        self.declared = declared
        return generator.connect(wishes)
    }

    /// Something that is right at any time.
    private static func next(
        _ generator: inout PacketGenerator, _ random: inout SplitMix64, _ quota: inout Int, _ version: ProtocolVersion
    ) -> Draft {
        switch random.number(0...15) {
        case 0...6:
            // Without reading in between, only so many are sure to be within what is granted.
            var qos = random.number(0...2)
            if qos > 0 {
                if quota == 0 { qos = 0 }
                quota -= quota > 0 ? 1 : 0
            }
            return generator.publish(qos: qos)
        case 7...11: return generator.subscribe()
        case 12: return generator.unsubscribe()
        case 13, 14:
            // What it never got a message for: an answer that comes late or twice hurts nobody.
            return generator.acknowledgement(
                type: random.pick([4, 5, 6, 7]), identifier: random.pick([60_000, 65_535]))
        default: return generator.pingreq()
        }
    }

    private mutating func breakOne(of drafts: inout [Draft], _ random: inout SplitMix64, _ version: ProtocolVersion) {
        outcome = .anything
        for _ in 0..<20 {
            let index = random.once(in: 4) ? 0 : random.number(0...drafts.count - 1)
            guard let broken = Fault.broken(drafts[index], &random, version: version) else { continue }
            drafts[index] = broken
            if index == 0 { declared = nil }
            // Where the packet only says that there is more to come, the server may wait for it.
            outcome = broken.falseRemainingLength == nil ? .refused : .anything
            return
        }
    }

    /// Packets that are right for themselves, and wrong where they are.
    private mutating func misbehave(
        _ drafts: inout [Draft], _ generator: inout PacketGenerator, _ random: inout SplitMix64,
        _ version: ProtocolVersion, _ granted: Granted
    ) {
        outcome = .refused
        func publish(alias: Int, topic: String) -> Draft {
            Draft(
                type: 3,
                fields: [
                    .string(.topicName, topic),
                    .properties([Draft.Property(identifier: 0x23, value: Draft.twoBytes(alias))]),
                ])
        }
        let isV5 = version == .v5_0
        switch random.number(0...10) {
        case 0: drafts.append(drafts[0])
        case 1 where drafts.count > 1:
            drafts.removeFirst()
            declared = nil
        case 2 where isV5: drafts.append(generator.auth())
        case 3 where isV5: drafts.append(publish(alias: granted.topicAliasMaximum + 1, topic: "a"))
        case 4 where isV5 && granted.topicAliasMaximum > 0:
            // One that stands for nothing yet: every other packet with an alias is taken out.
            drafts.removeAll { $0.fields.contains { $0.properties.contains { $0.identifier == 0x23 } } }
            drafts.append(publish(alias: granted.topicAliasMaximum, topic: ""))
        case 5:
            var large = Draft(type: 3, fields: [.string(.topicName, "a")])
            if isV5 { large.fields.append(.properties([])) }
            large.fields.append(Draft.Field(kind: .payload, bytes: random.bytes(granted.maximumPacketSize)))
            drafts.append(large)
        case 6:
            // The same identifiers again and again, in any order.
            outcome = .counted
            for index in drafts.indices.dropFirst() {
                guard let place = drafts[index].fields.firstIndex(where: { $0.kind == .packetIdentifier }) else {
                    continue
                }
                drafts[index].fields[place].bytes = Draft.twoBytes(random.number(1...3))
            }
            for _ in 0..<random.number(0...5) {
                drafts.insert(
                    generator.acknowledgement(type: 6, identifier: random.number(1...3)),
                    at: random.number(1...drafts.count))
            }
        case 7:
            drafts.append(Draft(type: random.pick([2, 9, 11, 13]), fields: [.two(.packetIdentifier, 1)]))
        case 8:
            // More than it was granted, which 3.1.1 cannot know.
            outcome = .anything
            for _ in 0..<min(granted.receiveMaximum + 2, 30) {
                drafts.append(generator.publish(qos: random.number(1...2)))
            }
        case 9:
            // One publish over and over, also one that goes nowhere, in one go.
            outcome = .counted
            var again = generator.publish(qos: random.number(1...2))
            if random.once(in: 2) { again.fields[0] = .string(.topicName, "$SYS/x") }
            guard again.bytes.count < 40, declared?.topicAliasMaximum == 0 else { break }
            drafts += Array(repeating: again, count: random.pick([100, 5_000]))
        default:
            outcome = .anything
            drafts.shuffle(using: &random)
            declared = nil
        }
    }

    private mutating func note(_ drafts: [Draft]) {
        for draft in drafts {
            let filters = draft.fields.filter { $0.kind == .topicFilter }.map(\.bytes)
            if draft.type == 3, draft.flags & 0x06 != 0 { requests.publishes += 1 }
            let identifier = draft.fields.first { $0.kind == .packetIdentifier }.map {
                Int($0.bytes[0]) << 8 | Int($0.bytes[1])
            }
            switch (draft.type, identifier) {
            case (12, _): requests.pings += 1
            case (8, let identifier?): requests.subscribes[identifier] = filters
            case (10, let identifier?): requests.unsubscribes[identifier] = filters
            case (3, let identifier?) where draft.flags >> 1 & 0x03 == 1: requests.publishes1.insert(identifier)
            case (3, let identifier?): requests.publishes2.insert(identifier)
            default: break
            }
        }
    }
}
