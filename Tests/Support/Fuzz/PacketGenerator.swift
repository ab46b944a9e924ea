package import MQTT

/// Makes packets of one protocol version from a seed: right ones, as drafts that can be broken afterwards.
///
/// Topics and client identifiers come from small pools, so that the connections of a test meet each other.
package struct PacketGenerator: Sendable {
    package typealias Holder = PropertyTable.Holder

    package var random: SplitMix64
    package let version: ProtocolVersion
    /// Aliases that the server grants.
    package var topicAliasMaximum = 16
    /// Topics' and payloads' sizes, at most.
    package var sizeLimit = 65_535
    private var lastIdentifier = 0
    /// Aliases that stand for a topic already.
    private var aliases: Set<Int> = []

    package init(seed: UInt64, version: ProtocolVersion) {
        random = SplitMix64(seed: seed)
        self.version = version
    }

    private var isV5: Bool { version == .v5_0 }

    /// One that was not used before, as long as there are some.
    package mutating func nextIdentifier() -> Int {
        lastIdentifier = lastIdentifier % 65_535 + 1
        return lastIdentifier
    }

    // MARK: Texts

    package mutating func text() -> String {
        let size = random.size(atMost: min(sizeLimit, 65_000))
        if size > 16 { return String(repeating: "x", count: size) }
        // What text handling likes to stumble over: marks that combine with what stands before them, a byte order
        // mark, characters outside the first plane, a control character, a noncharacter.
        let characters = [
            "a", "B", "0", "/", "é", "e\u{301}", "\u{301}", "\u{FEFF}", "😀", "\u{1}", "\u{FFFF}", "\u{FB01}",
        ]
        return (0..<size).map { _ in random.pick(characters) }.joined()
    }

    private mutating func level() -> String {
        random.pick(["a", "a", "a", "b", "b", "c", "", "é", "e\u{301}", "\u{301}x", "$d", "\u{FEFF}"])
    }

    package mutating func topicName() -> String {
        switch random.number(0...39) {
        case 0: return "x" + String(repeating: random.pick(["/", "x"]), count: random.size(atMost: sizeLimit - 1))
        case 1: return random.pick(["$SYS/broker/version", "$share/g/a", "$SYS", "$share/"])
        default:
            let name = (0..<random.number(1...4)).map { _ in level() }.joined(separator: "/")
            return name.isEmpty ? "a" : name
        }
    }

    package mutating func topicFilter() -> String {
        var levels = (0..<random.number(1...4)).map { _ in random.once(in: 3) ? "+" : level() }
        if random.once(in: 4) { levels[levels.count - 1] = "#" }
        let filter = levels.joined(separator: "/")
        if random.once(in: 8) {
            return "$share/\(random.pick(["g", "h", "\u{301}g", "g\u{301}"]))/\(filter.isEmpty ? "a" : filter)"
        }
        return filter.isEmpty ? "a" : filter
    }

    // MARK: Properties

    private mutating func value(_ kind: PropertyTable.Value) -> [UInt8] {
        func prefixed(_ text: String) -> [UInt8] { Draft.twoBytes(text.utf8.count) + Array(text.utf8) }
        switch kind {
        case .flag: return [random.byte() & 1]
        case .two: return Draft.twoBytes(random.pick([0, 1, 2, 100, 65_535]))
        case .twoNotZero: return Draft.twoBytes(random.pick([1, 2, 16, 100, 65_535]))
        case .four: return Draft.fourBytes(random.pick([0, 1, 60, 86_400, 0xFFFF_FFFE, 0xFFFF_FFFF]))
        case .fourNotZero: return Draft.fourBytes(random.pick([1, 5, 20, 100, 1_000, 0xFFFF_FFFF]))
        case .variableNotZero:
            return Draft.variableByteInteger(random.pick([1, 127, 128, 16_383, 16_384, 2_097_152, 268_435_455]))
        case .text: return prefixed(text())
        case .topicName: return prefixed(topicName())
        case .data:
            let bytes = random.bytes(random.number(0...20))
            return Draft.twoBytes(bytes.count) + bytes
        case .pair: return prefixed(text()) + prefixed(text())
        }
    }

    package mutating func property(_ identifier: UInt8) -> Draft.Property {
        guard let row = PropertyTable.row(identifier) else { return Draft.Property(identifier: identifier, value: [0]) }
        return Draft.Property(identifier: identifier, value: value(row.value))
    }

    /// Some of what may stand there, in any order.
    private mutating func properties(_ holder: Holder, without: Set<UInt8> = []) -> [Draft.Property] {
        guard isV5, !random.once(in: 3) else { return [] }
        var list: [Draft.Property] = []
        for row in PropertyTable.rows where row.holders.contains(holder) && !without.contains(row.identifier) {
            guard random.once(in: 4) else { continue }
            list.append(property(row.identifier))
            while PropertyTable.mayRepeat(row.identifier, in: holder), random.once(in: 3) {
                list.append(property(row.identifier))
            }
        }
        return list.shuffled(using: &random)
    }

    private func propertiesField(_ list: [Draft.Property]) -> [Draft.Field] { isV5 ? [.properties(list)] : [] }

    // MARK: From a client

    package struct ConnectWishes: Sendable {
        package var clientIdentifier: String
        package var cleanStart = true
        package var keepAlive = 0
        /// Present where set; chance decides on the others.
        package var properties: [Draft.Property]?
        package var hasAuthentication = false

        package init(clientIdentifier: String) { self.clientIdentifier = clientIdentifier }
    }

    package mutating func connect(_ wishes: ConnectWishes) -> Draft {
        var flags: UInt8 = wishes.cleanStart ? 0x02 : 0
        var tail: [Draft.Field] = [.string(.text, wishes.clientIdentifier)]
        if random.once(in: 3) {
            flags |= 0x04 | UInt8(random.number(0...2)) << 3 | (random.once(in: 2) ? 0x20 : 0)
            tail += propertiesField(properties(.will))
            tail.append(.string(.topicName, topicName()))
            tail.append(.data(random.bytes(random.size(atMost: min(sizeLimit, 2_000)))))
        }
        let hasUserName = random.once(in: 4)
        if hasUserName {
            flags |= 0x80
            tail.append(.string(.text, text()))
        }
        if random.once(in: 4), hasUserName || isV5 {
            flags |= 0x40
            tail.append(.data(random.bytes(random.number(0...20))))
        }
        // 3.1 leaves the bit unused.
        if version == .v3_1, random.once(in: 6) { flags |= 0x01 }
        var list = wishes.properties ?? properties(.connect, without: [0x15, 0x16])
        if wishes.hasAuthentication, isV5 {
            list.append(property(0x15))
            if random.once(in: 2) { list.append(property(0x16)) }
        }
        var draft = Draft(
            type: 1,
            fields: [
                .string(.protocolName, version == .v3_1 ? "MQIsdp" : "MQTT"),
                .byte(.protocolLevel, version.rawValue), .byte(.connectFlags, flags), .two(.number, wishes.keepAlive),
            ] + propertiesField(list) + tail)
        draft.isCanonical = flags & 0x01 == 0
        return draft
    }

    /// - Parameter fromServer: with subscription identifiers, and without aliases.
    package mutating func publish(qos: Int, fromServer: Bool = false) -> Draft {
        var name = topicName()
        var list = properties(.publish, without: fromServer ? [0x23] : [0x23, 0x0B])
        if isV5, !fromServer, topicAliasMaximum > 0, random.once(in: 4) {
            let alias = random.number(1...topicAliasMaximum)
            list.append(Draft.Property(identifier: 0x23, value: Draft.twoBytes(alias)))
            if aliases.contains(alias), random.once(in: 2) { name = "" } else { aliases.insert(alias) }
        }
        // 3.1 lets nobody repeat what is never acknowledged either.
        let isRepeat = qos > 0 && random.once(in: 8)
        let flags = UInt8(qos) << 1 | (isRepeat ? 0x08 : 0) | (random.once(in: 6) ? 1 : 0)
        var fields: [Draft.Field] = [.string(.topicName, name)]
        if qos > 0 { fields.append(.two(.packetIdentifier, nextIdentifier())) }
        fields += propertiesField(list)
        fields.append(Draft.Field(kind: .payload, bytes: random.bytes(random.size(atMost: min(sizeLimit, 20_000)))))
        return Draft(type: 3, flags: flags, fields: fields)
    }

    package mutating func subscribe() -> Draft {
        let isAgain = version == .v3_1 && random.once(in: 4)
        var fields: [Draft.Field] = [.two(.packetIdentifier, nextIdentifier())]
        fields += propertiesField(properties(.subscribe))
        for _ in 0..<(random.once(in: 12) ? 100 : random.number(1...3)) {
            // A filter that is none is refused alone, and does not end the connection.
            let filter =
                random.once(in: 12) ? topicFilter() + random.pick(["#", "a#", "+a", "/#/", "+\u{301}"]) : topicFilter()
            var options = UInt8(random.number(0...2))
            if isV5 {
                options |= UInt8(random.number(0...2)) << 4 | (random.once(in: 3) ? 0x08 : 0)
                if !filter.utf8.starts(with: "$share/".utf8), random.once(in: 3) { options |= 0x04 }
            }
            fields += [.string(.topicFilter, filter), .byte(.subscriptionOptions, options)]
        }
        // A repeated SUBSCRIBE, UNSUBSCRIBE or PUBREL carries DUP in 3.1 (§2.1), which 3.1.1 did away with.
        var draft = Draft(type: 8, flags: isAgain ? 0x0A : 0x02, fields: fields)
        draft.isCanonical = !isAgain
        return draft
    }

    package mutating func unsubscribe() -> Draft {
        let isAgain = version == .v3_1 && random.once(in: 4)
        var fields: [Draft.Field] = [.two(.packetIdentifier, nextIdentifier())]
        fields += propertiesField(properties(.unsubscribe))
        for _ in 0..<(random.once(in: 12) ? 100 : random.number(1...3)) {
            fields.append(.string(.topicFilter, topicFilter()))
        }
        var draft = Draft(type: 10, flags: isAgain ? 0x0A : 0x02, fields: fields)
        draft.isCanonical = !isAgain
        return draft
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP: types 4 … 7.
    package mutating func acknowledgement(type: UInt8, identifier: Int) -> Draft {
        let isAgain = version == .v3_1 && type == 6 && random.once(in: 4)
        var draft = Draft(
            type: type, flags: type == 6 ? (isAgain ? 0x0A : 0x02) : 0, fields: [.two(.packetIdentifier, identifier)])
        draft.isCanonical = !isAgain
        guard isV5, random.once(in: 2) else { return draft }
        let reasons: [UInt8] = type < 6 ? [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] : [0, 0x92]
        let reason = random.pick(reasons)
        let list = properties(.acknowledgement)
        draft.fields.append(.byte(.reason, reason))
        let isLong = !list.isEmpty || random.once(in: 3)
        if isLong { draft.fields.append(.properties(list)) }
        draft.isCanonical = !list.isEmpty || reason != 0 && !isLong
        return draft
    }

    package mutating func pingreq() -> Draft { Draft(type: 12) }

    /// - Parameter mayProlong: with a session expiry, which is only right where CONNECT had one.
    package mutating func disconnect(mayProlong: Bool, fromServer: Bool = false) -> Draft {
        guard isV5, random.once(in: 2) else { return Draft(type: 14) }
        let client: [UInt8] = [0, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99]
        let server: [UInt8] = [
            0x81, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ]
        let reason = random.pick(fromServer ? server : client)
        let list = properties(.disconnect, without: mayProlong ? [0x1C] : [0x11, 0x1C])
        let isLong = !list.isEmpty || random.once(in: 3)
        var draft = Draft(type: 14, fields: [.byte(.reason, reason)] + (isLong ? [.properties(list)] : []))
        draft.isCanonical = !list.isEmpty || reason != 0 && !isLong
        return draft
    }

    package mutating func auth(fromServer: Bool = false) -> Draft {
        let list = [property(0x15)] + properties(.auth, without: [0x15])
        return Draft(
            type: 15, fields: [.byte(.reason, random.pick(fromServer ? [0, 0x18] : [0x18, 0x19])), .properties(list)])
    }

    /// Anything that a client may send after its CONNECT, as far as the packet alone can tell.
    package mutating func clientPacket() -> Draft {
        switch random.number(0...14) {
        case 0...4: return publish(qos: random.number(0...2))
        case 5...7: return subscribe()
        case 8: return unsubscribe()
        case 9, 10: return acknowledgement(type: UInt8(random.number(4...7)), identifier: random.number(1...8))
        case 11: return disconnect(mayProlong: true)
        case 12 where isV5: return auth()
        default: return pingreq()
        }
    }

    // MARK: From a server

    package mutating func serverPacket() -> Draft {
        switch random.number(0...11) {
        case 0...2: return publish(qos: random.number(0...2), fromServer: true)
        case 3, 4: return acknowledgement(type: UInt8(random.number(4...7)), identifier: random.number(1...65_535))
        case 5:
            let fields: [Draft.Field] =
                [.two(.packetIdentifier, nextIdentifier())] + propertiesField(properties(.suback))
            let codes: [UInt8] = isV5 ? [0, 1, 2, 0x80, 0x87, 0x8F, 0x97, 0x9E, 0xA1, 0xA2] : [0, 1, 2, 0x80]
            return Draft(
                type: 9, fields: fields + (0..<random.number(1...3)).map { _ in .byte(.reason, random.pick(codes)) })
        case 6:
            let fields: [Draft.Field] =
                [.two(.packetIdentifier, nextIdentifier())] + propertiesField(properties(.suback))
            let codes: [UInt8] = [0, 0x11, 0x80, 0x87, 0x8F]
            let count = isV5 ? random.number(1...3) : 0
            return Draft(type: 11, fields: fields + (0..<count).map { _ in .byte(.reason, random.pick(codes)) })
        case 7 where isV5: return disconnect(mayProlong: false, fromServer: true)
        case 8 where isV5: return auth(fromServer: true)
        case 9: return Draft(type: 13)
        default:
            let code: UInt8 = random.pick(isV5 ? [0, 0, 0x80, 0x81, 0x85, 0x87, 0x89, 0x9F] : [0, 0, 1, 2, 3, 4, 5])
            let isPresent: UInt8 = code == 0 && version != .v3_1 && random.once(in: 2) ? 1 : 0
            return Draft(
                type: 2,
                fields: [.byte(.number, isPresent), .byte(.reason, code)] + propertiesField(properties(.connack)))
        }
    }
}
