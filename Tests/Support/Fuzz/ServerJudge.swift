import MQTT

/// Reads what a server sends to one client, and lets nothing pass that the standards do not allow. Shares nothing with
/// the codec that it tests.
package struct ServerJudge: Sendable {
    private typealias Holder = PropertyTable.Holder

    /// What CONNACK said; `nil` before it.
    package private(set) var isAccepted: Bool?
    /// The reason of CONNACK or DISCONNECT that ends the connection.
    package private(set) var reason: UInt8?
    /// What is to be sent in answer.
    package private(set) var answers: [UInt8] = []
    /// Requests whose answer has not come yet.
    package private(set) var open: FuzzScript.Requests
    private let declared: FuzzScript.Declared?
    private let outcome: FuzzScript.Outcome
    private var isV5 = false
    private var input: [UInt8] = []
    /// Packet identifiers of the server's QoS 1 and 2 messages that are not answered.
    private var inFlight: Set<Int> = []
    private let answersAreSent: Bool
    /// Everything that the session can ever have subscribed to; `nil`: nobody knows.
    private let filters: [[UInt8]]?
    /// Topics behind the aliases.
    private var topics: [Int: [UInt8]] = [:]

    package init(_ script: FuzzScript) {
        declared = script.declared
        outcome = script.outcome
        open = script.requests
        answersAreSent = script.acknowledges
        filters = script.isAlone && script.outcome == .served ? script.requests.subscribes.values.flatMap(\.self) : nil
    }

    /// Everything that was asked for has come.
    package var isSatisfied: Bool {
        if outcome == .counted { return isAccepted == true && open.pings == 0 && open.publishes == 0 }
        return isAccepted == true && open.pings == 0 && open.subscribes.isEmpty && open.unsubscribes.isEmpty
            && open.publishes1.isEmpty && open.publishes2.isEmpty && open.publishes == 0
    }

    /// No bytes of a packet that has not come to its end.
    package var isAtEdge: Bool { input.isEmpty }

    package mutating func takeAnswers() -> [UInt8] {
        defer { answers = [] }
        return answers
    }

    package mutating func take(_ bytes: [UInt8]) throws {
        input += bytes
        var at = 0
        while let (first, body, size) = try packet(from: at) {
            at += size
            if let declared, size > declared.maximumPacketSize {
                throw FuzzFailure("\(size) bytes, where \(declared.maximumPacketSize) are accepted: type \(first >> 4)")
            }
            var reader = Reader(bytes: body)
            do {
                try judge(first >> 4, first & 0x0F, &reader)
            } catch {
                throw FuzzFailure("\(error), in \((body).hex) after \(String(first, radix: 16))")
            }
        }
        input.removeFirst(at)
        if reason != nil, !input.isEmpty { throw FuzzFailure("more comes after the last packet") }
    }

    private func packet(from start: Int) throws -> (UInt8, [UInt8], Int)? {
        guard input.count > start + 1 else { return nil }
        var length = 0
        var at = start + 1
        for index in 0... {
            guard index < 4 else { throw FuzzFailure("the remaining length has no end") }
            guard at < input.count else { return nil }
            length |= Int(input[at] & 0x7F) << (7 * index)
            at += 1
            if input[at - 1] < 128 { break }
        }
        guard input.count >= at + length else { return nil }
        guard Draft.variableByteInteger(length).count == at - start - 1 else {
            throw FuzzFailure("the remaining length is not in its shortest form")
        }
        return (input[start], Array(input[at..<at + length]), at + length - start)
    }

    // MARK: Packets

    private mutating func judge(_ type: UInt8, _ flags: UInt8, _ reader: inout Reader) throws {
        guard reason == nil else { throw FuzzFailure("it comes after the last packet") }
        guard type == 2 || isAccepted == true else { throw FuzzFailure("it comes before CONNACK") }
        guard type == 3 || flags == (type == 6 ? 2 : 0) else { throw FuzzFailure("its flags are \(flags)") }
        switch type {
        case 2: try connack(&reader)
        case 3: try publish(flags, &reader)
        case 4...7: try acknowledgement(type, &reader)
        case 9, 11: try suback(type, &reader)
        case 13:
            open.pings -= 1
            guard open.pings >= 0 || outcome != .served else { throw FuzzFailure("nobody asked for a PINGRESP") }
        case 14 where isV5:
            let code = reader.isAtEnd ? 0 : try reader.byte()
            let allowed: Set<UInt8> = [
                0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
                0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
            ]
            guard allowed.contains(code) else { throw FuzzFailure("no server disconnects with \(code)") }
            if !reader.isAtEnd { try properties(.disconnect, &reader) }
            reason = code
        default: throw FuzzFailure("no server sends that")
        }
        guard reader.isAtEnd else { throw FuzzFailure("there are bytes behind its last field") }
    }

    private mutating func connack(_ reader: inout Reader) throws {
        guard isAccepted == nil else { throw FuzzFailure("it comes twice") }
        isV5 = reader.left > 2
        if let declared, isV5 != (declared.version == .v5_0) { throw FuzzFailure("it is another version's") }
        let flags = try reader.byte()
        let code = try reader.byte()
        guard flags <= 1, code == 0 || flags == 0 else { throw FuzzFailure("session present is \(flags)") }
        if let declared, flags == 1, declared.cleanStart || declared.version == .v3_1 {
            throw FuzzFailure("no session can be present")
        }
        let failures: Set<UInt8> = [
            0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B,
            0x9C, 0x9D, 0x9F,
        ]
        guard code == 0 || (isV5 ? failures.contains(code) : (1...5).contains(code)) else {
            throw FuzzFailure("its reason is \(code)")
        }
        if isV5 { try properties(.connack, &reader) }
        isAccepted = code == 0
        if code != 0 { reason = code }
    }

    private mutating func publish(_ flags: UInt8, _ reader: inout Reader) throws {
        let qos = flags >> 1 & 0x03
        guard qos < 3, qos > 0 || flags & 0x08 == 0 else { throw FuzzFailure("its flags are \(flags)") }
        var topic = try reader.text()
        guard !topic.contains(where: { $0 == UInt8(ascii: "#") || $0 == UInt8(ascii: "+") }) else {
            throw FuzzFailure("its topic has a wildcard")
        }
        var identifier: Int?
        if qos > 0 {
            let value = try reader.two()
            guard value != 0 else { throw FuzzFailure("its packet identifier is 0") }
            // Mutated bytes may have acknowledged something that this does not know of.
            guard inFlight.insert(value).inserted || outcome == .anything || outcome == .counted else {
                throw FuzzFailure("packet identifier \(value) is in use")
            }
            if let declared, inFlight.count > declared.receiveMaximum, outcome != .anything, outcome != .counted {
                throw FuzzFailure("\(inFlight.count) are in flight, which is more than accepted")
            }
            identifier = value
        }
        let alias = isV5 ? try properties(.publish, &reader) : nil
        if let alias {
            if let declared, alias > declared.topicAliasMaximum { throw FuzzFailure("alias \(alias) is too large") }
            if !topic.isEmpty { topics[alias] = topic }
            guard let known = topics[alias] else { throw FuzzFailure("alias \(alias) stands for nothing") }
            topic = known
        }
        guard !topic.isEmpty else { throw FuzzFailure("it has no topic") }
        if let filters, !filters.contains(where: { TopicRules.matches(topic: topic, filter: $0) }) {
            throw FuzzFailure("nobody subscribed to \(topic.hex)")
        }
        reader.skip()
        guard let identifier, answersAreSent else { return }
        answers += [qos == 1 ? 0x40 : 0x50, 2] + Draft.twoBytes(identifier)
        if qos == 1 { inFlight.remove(identifier) }
    }

    private mutating func acknowledgement(_ type: UInt8, _ reader: inout Reader) throws {
        let identifier = try reader.two()
        guard identifier != 0 else { throw FuzzFailure("its packet identifier is 0") }
        var isRefused = false
        if isV5, !reader.isAtEnd {
            let code = try reader.byte()
            isRefused = code >= 0x80
            let allowed: Set<UInt8> = type < 6 ? [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] : [0, 0x92]
            guard allowed.contains(code) else { throw FuzzFailure("its reason is \(code)") }
            if !reader.isAtEnd { try properties(.acknowledgement, &reader) }
        }
        if type < 6 { open.publishes -= 1 }
        switch type {
        case 4: open.publishes1.remove(identifier)
        case 5:
            // QoS 2 of its own goes on to PUBREL, unless it was refused.
            if open.publishes2.remove(identifier) != nil, !isRefused {
                answers += [0x62, 2] + Draft.twoBytes(identifier)
            }
        case 6:
            inFlight.remove(identifier)
            if answersAreSent { answers += [0x70, 2] + Draft.twoBytes(identifier) }
        default: break
        }
    }

    private mutating func suback(_ type: UInt8, _ reader: inout Reader) throws {
        let identifier = try reader.two()
        if isV5 { try properties(.suback, &reader) }
        var isGranted: [Bool] = []
        let successes: Set<UInt8> = type == 9 ? [0, 1, 2] : [0, 0x11]
        let failures: Set<UInt8> =
            type == 9 ? [0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2] : [0x80, 0x83, 0x87, 0x8F, 0x91]
        if isV5 || type == 9 {
            while !reader.isAtEnd {
                let code = try reader.byte()
                guard successes.contains(code) || (isV5 ? failures.contains(code) : code == 0x80) else {
                    throw FuzzFailure("its reason is \(code)")
                }
                isGranted.append(successes.contains(code))
            }
        }
        guard outcome == .served else { return }
        let asked =
            type == 9
            ? open.subscribes.removeValue(forKey: identifier) : open.unsubscribes.removeValue(forKey: identifier)
        guard let asked else { throw FuzzFailure("nobody asked under \(identifier)") }
        if !isV5, type == 11 { return }
        guard isGranted == asked.map(TopicRules.isFilter) else {
            throw FuzzFailure("\(isGranted) came for \(asked.map(\.hex))")
        }
    }

    // MARK: Fields

    /// Returns the topic alias.
    @discardableResult
    private func properties(_ holder: Holder, _ reader: inout Reader) throws -> Int? {
        var part = Reader(bytes: try reader.bytes(try reader.variableByteInteger()))
        var seen: Set<UInt8> = []
        var alias: Int?
        while !part.isAtEnd {
            let identifier = try part.byte()
            guard let row = PropertyTable.row(identifier), row.holders.contains(holder) else {
                throw FuzzFailure("property \(identifier) has no place there")
            }
            guard seen.insert(identifier).inserted || PropertyTable.mayRepeat(identifier, in: holder) else {
                throw FuzzFailure("property \(identifier) is there twice")
            }
            if identifier == 0x1F || identifier == 0x26, let declared, !declared.wantsProblemInformation,
                ![.publish, .connack, .disconnect].contains(holder)
            {
                throw FuzzFailure("it has problem information that nobody wants")
            }
            if holder == .disconnect, identifier == 0x11 { throw FuzzFailure("a server sets no session expiry") }
            switch row.value {
            case .flag: guard try part.byte() <= 1 else { throw FuzzFailure("property \(identifier) is no flag") }
            case .two: _ = try part.two()
            case .twoNotZero:
                let value = try part.two()
                guard value != 0 else { throw FuzzFailure("property \(identifier) is 0") }
                if identifier == 0x23 { alias = value }
            case .four: _ = try part.bytes(4)
            case .fourNotZero:
                guard try part.bytes(4) != [0, 0, 0, 0] else { throw FuzzFailure("property \(identifier) is 0") }
            case .variableNotZero:
                guard try part.variableByteInteger() > 0 else { throw FuzzFailure("property \(identifier) is 0") }
            case .text: _ = try part.text()
            case .topicName:
                let topic = try part.text()
                guard !topic.isEmpty, !topic.contains(where: { $0 == 0x23 || $0 == 0x2B }) else {
                    throw FuzzFailure("property \(identifier) is no topic name")
                }
            case .data: _ = try part.bytes(try part.two())
            case .pair:
                _ = try part.text()
                _ = try part.text()
            }
        }
        return alias
    }

    private struct Reader {
        let all: [UInt8]
        var at = 0

        init(bytes: [UInt8]) { all = bytes }

        var left: Int { all.count - at }
        var isAtEnd: Bool { left == 0 }

        mutating func bytes(_ count: Int) throws -> [UInt8] {
            guard count <= left else { throw FuzzFailure("it ends too early") }
            at += count
            return Array(all[at - count..<at])
        }

        mutating func byte() throws -> UInt8 { try bytes(1)[0] }

        mutating func two() throws -> Int {
            let pair = try bytes(2)
            return Int(pair[0]) << 8 | Int(pair[1])
        }

        mutating func text() throws -> [UInt8] {
            let text = try bytes(try two())
            guard Fault.isText(text) else { throw FuzzFailure("it has text that is none") }
            return text
        }

        mutating func variableByteInteger() throws -> Int {
            var value = 0
            for index in 0..<4 {
                let byte = try byte()
                value |= Int(byte & 0x7F) << (7 * index)
                if byte < 128 {
                    guard index == 0 || byte != 0 else { throw FuzzFailure("an integer is not in its shortest form") }
                    return value
                }
            }
            throw FuzzFailure("an integer has no end")
        }

        mutating func skip() { at = all.count }
    }
}
