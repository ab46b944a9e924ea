package import MQTT

/// One thing that is wrong with a packet that is right otherwise.
package enum Fault {
    private static let noText: [[UInt8]] = [
        [0x00], [0x61, 0x00], [0x80], [0xC0, 0xAF], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xED, 0xBF, 0xBF],
        [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFF], [0xFE, 0x61],
    ]

    /// Shared subscriptions without a ShareName, with a wildcard in it, or without a filter behind it (MQTT 5.0 §4.8.2).
    private static let noShare = [
        "$share/", "$share//", "$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/#/a", "$share/g+/a",
        "$share/#g/#",
    ]

    /// Breaks a client's packet such that no server may take it; `nil` where chance picked a fault that does not fit.
    package static func broken(_ sound: Draft, _ random: inout SplitMix64, version: ProtocolVersion) -> Draft? {
        var draft = sound
        let isV5 = version == .v5_0
        func place(_ kinds: [Draft.Kind]) -> Int? {
            let places = draft.fields.indices.filter { kinds.contains(draft.fields[$0].kind) }
            return places.isEmpty ? nil : random.pick(places)
        }
        switch random.number(0...20) {
        case 0:
            if draft.type == 3 {
                draft.flags |= 0x06
            } else {
                // DUP may be set in 3.1.
                draft.flags ^= UInt8(random.number(1...7))
            }
        case 1:
            // Types that only a server sends, and the reserved one.
            draft.type = random.pick([0, 2, 9, 11, 13] + (isV5 ? [] : [15]))
        case 2:
            guard let index = place([.text, .topicName, .topicFilter]) else { return nil }
            let at = random.number(0...draft.fields[index].bytes.count)
            // Ends that would go on in the byte behind them go last.
            draft.fields[index].bytes.insert(contentsOf: random.pick(noText), at: at)
            guard !isText(draft.fields[index].bytes) else { return nil }
        case 3:
            guard let index = place([.text, .topicName, .topicFilter, .data]) else { return nil }
            let behind = draft.fields[index...].reduce(0) { $0 + $1.bytes.count + 70_000 * $1.properties.count }
            guard behind < 60_000 else { return nil }
            draft.fields[index].falseLength = 65_535
            if draft.body.count > 65_535 { return nil }
        case 4:
            guard let index = place([.packetIdentifier]) else { return nil }
            draft.fields[index].bytes = [0, 0]
        case 5:
            guard let index = place([.topicName]) else { return nil }
            let at = random.number(0...draft.fields[index].bytes.count)
            guard at == 0 || at == draft.fields[index].bytes.count else { return nil }
            draft.fields[index].bytes.insert(random.pick(Array("#+".utf8)), at: at)
        case 6:
            guard let index = place([.topicName]) else { return nil }
            if draft.fields.contains(where: { $0.properties.contains { $0.identifier == 0x23 } }) { return nil }
            draft.fields[index].bytes = []
        case 7:
            guard draft.type != 3, draft.fields.last?.kind != .reason,
                !isV5 || draft.fields.contains(where: { $0.kind == .properties }) || draft.type == 12
            else { return nil }
            draft.trailing = [random.byte()]
        case 8:
            guard draft.body.count > 2, !(draft.type == 14 && isV5) else { return nil }
            draft.cut = 1
        case 9:
            draft.falseRemainingLength = random.pick([[0xFF, 0xFF, 0xFF, 0xFF], [0x80, 0x80, 0x80, 0x80, 0x01]])
        case 10:
            guard isV5 else { return nil }
            draft.falseRemainingLength = Draft.variableByteInteger(draft.body.count)
            guard var length = draft.falseRemainingLength, length.count < 4 else { return nil }
            length[length.count - 1] |= 0x80
            draft.falseRemainingLength = length + [0]
        case 11, 12, 13:
            guard let index = place([.properties]) else { return nil }
            return brokenProperties(draft, at: index, &random)
        case 14:
            guard let index = place([.reason]), !draft.fields[index].hasLength else { return nil }
            draft.fields[index].bytes = [random.pick([0x03, 0x7F, 0x84, 0x86, 0x8A, 0xFF])]
        case 15:
            guard let index = place([.subscriptionOptions]) else { return nil }
            draft.fields[index].bytes[0] |= random.pick(isV5 ? [0x03, 0x40, 0x80, 0x30] : [0x03, 0x04, 0x10, 0x80])
        case 16:
            guard draft.type == 8 || draft.type == 10 else { return nil }
            draft.fields.removeAll { $0.kind == .topicFilter || $0.kind == .subscriptionOptions }
        case 17:
            guard let index = place([.connectFlags]) else { return nil }
            let flags = draft.fields[index].bytes[0]
            // Bit 0 is unused in 3.1, and reserved since.
            let reserved: [UInt8] = version == .v3_1 ? [] : [0x01]
            let more: [UInt8] = flags & 0x04 == 0 ? [0x08, 0x10, 0x20] : [0x18]
            draft.fields[index].bytes[0] = flags | random.pick(more + reserved)
        case 18:
            guard let index = place([.topicFilter]) else { return nil }
            draft.fields[index].bytes = []
        case 19:
            guard isV5, let index = place([.topicFilter]) else { return nil }
            draft.fields[index].bytes = Array(random.pick(noShare).utf8)
        default:
            guard let index = place([.protocolName, .protocolLevel]) else { return nil }
            if draft.fields[index].kind == .protocolName {
                draft.fields[index].bytes = random.pick([[], Array("MQTt".utf8), Array("HTTP".utf8), [0xFF]])
            } else {
                draft.fields[index].bytes = [random.pick([0, 1, 2, 6, 7, 0x84, 0xFF])]
            }
        }
        return draft
    }

    private static func brokenProperties(_ sound: Draft, at index: Int, _ random: inout SplitMix64) -> Draft? {
        var draft = sound
        let holder = holder(of: draft, at: index)
        var list = draft.fields[index].properties
        switch random.number(0...4) {
        case 0:
            let unknown = (0...255).map(UInt8.init).filter { PropertyTable.row($0) == nil }
            list.insert(
                Draft.Property(identifier: random.pick(unknown), value: random.bytes(random.number(0...3))),
                at: random.number(0...list.count))
        case 1:
            let strangers = PropertyTable.rows.filter { !$0.holders.contains(holder) }
            guard !strangers.isEmpty else { return nil }
            var generator = PacketGenerator(seed: random.next(), version: .v5_0)
            list.insert(generator.property(random.pick(strangers).identifier), at: random.number(0...list.count))
        case 2:
            // A client's PUBLISH has no subscription identifier at all, so that it may be there twice does not count.
            guard let again = list.first(where: { !PropertyTable.mayRepeat($0.identifier, in: holder) }) else {
                return nil
            }
            list.insert(again, at: random.number(0...list.count))
        case 3:
            guard
                let place = list.firstIndex(where: {
                    switch PropertyTable.row($0.identifier)?.value {
                    case .flag, .twoNotZero, .fourNotZero, .variableNotZero: true
                    default: false
                    }
                })
            else { return nil }
            switch PropertyTable.row(list[place].identifier)?.value {
            case .flag: list[place].value = [random.pick([2, 3, 0x80, 0xFF])]
            case .variableNotZero: list[place].value = random.pick([[0], [0xFF, 0xFF, 0xFF, 0xFF], [0x81, 0x00]])
            default: list[place].value = list[place].value.map { _ in 0 }
            }
        default: draft.fields[index].falseLength = random.pick([100_000, 268_435_455])
        }
        draft.fields[index].properties = list
        return draft.body.count < 90_000 ? draft : nil
    }

    private static func holder(of draft: Draft, at index: Int) -> PropertyTable.Holder {
        switch draft.type {
        case 1: index == 4 ? .connect : .will
        case 2: .connack
        case 3: .publish
        case 4...7: .acknowledgement
        case 8: .subscribe
        case 9, 11: .suback
        case 10: .unsubscribe
        case 14: .disconnect
        default: .auth
        }
    }

    /// Whether that is what MQTT takes for text.
    static func isText(_ bytes: [UInt8]) -> Bool {
        !bytes.contains(0) && String(validating: bytes, as: UTF8.self) != nil
    }

    /// Changes bytes without any regard for what they mean.
    package static func mutated(_ sound: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
        var bytes = sound
        for _ in 0..<random.number(1...3) where !bytes.isEmpty {
            let at = random.number(0...bytes.count - 1)
            let count = min(bytes.count - at, random.number(1...8))
            switch random.number(0...6) {
            case 0: bytes[at] ^= 1 << UInt8(random.number(0...7))
            case 1: bytes[at] = random.pick([0, 1, 0x7F, 0x80, 0xFF, random.byte()])
            case 2: bytes.removeSubrange(at..<at + count)
            case 3: bytes.insert(contentsOf: random.bytes(count), at: at)
            case 4: bytes.insert(contentsOf: bytes[at..<at + count], at: at)
            case 5: bytes.removeLast(bytes.count - at)
            default:
                let from = random.number(0...bytes.count - 1)
                bytes.replaceSubrange(at..<at + count, with: bytes[from...].prefix(random.number(1...32)))
            }
        }
        return bytes
    }

    /// The same bytes in pieces.
    package static func fragments(_ bytes: [UInt8], _ random: inout SplitMix64) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var rest = bytes[...]
        let largest = random.pick([1, 7, 64, 1_500, 100_000])
        while !rest.isEmpty {
            // A long run of single bytes only takes time.
            let count = pieces.count > 50 ? 1_500 : random.number(1...largest)
            pieces.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return pieces
    }
}
