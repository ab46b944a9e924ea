import Readings
import TestSupport
import Testing

@testable import Outbox
@testable import Upstream

enum MessageIDs {
    static func make(_ number: Int64) -> MessageID { MessageID(rawValue: number) }
}

private func claimed(_ payload: String, _ format: Message.Format, sequence: Int64 = 17, id: Int64 = 1)
    -> OutboxStore.Claimed
{
    OutboxStore.Claimed(
        id: MessageIDs.make(id), stream: "telemetry", epoch: 0xAB, sequence: sequence, boot: BootID("boot-1"),
        isHistorical: false,
        message: Message(
            topic: "gw/t", payload: Array(payload.utf8), format: format,
            time: Timestamp(
                instant: Instant(nanoseconds: 1), unixNanoseconds: 1_795_433_520_123_456_789, quality: .synced
            )
        )
    )
}

@Suite("Envelope")
struct EnvelopeTests {
    @Test(
        "a reading gets its sequence, anything else stays as it is",
        arguments: [
            (#"{"v":21.4}"#, .reading, #"{"v":21.4,"seq":17}"#),
            ("{}", .reading, #"{"seq":17}"#),
            ("{ }", .reading, #"{ "seq":17}"#),
            ("", .reading, ""),
            ("21.4", .reading, "21.4"),
            (#"{"v":21.4}"#, .opaque, #"{"v":21.4}"#),
        ] as [(String, Message.Format, String)]
    )
    func splice(_ payload: String, _ format: Message.Format, _ expected: String) {
        #expect(
            String(decoding: claimed(payload, format).wirePayload(.v5), as: UTF8.self) == expected)
    }

    @Test("with 3.1.1, which has no properties, a reading says stream and epoch as well")
    func spliceWithoutProperties() {
        var reading = claimed(#"{"v":21.4}"#, .reading)
        let members = #""stream":"telemetry","epoch":"00000000000000ab","#
        #expect(String(decoding: reading.wirePayload(.v311), as: UTF8.self) == #"{"v":21.4,\#(members)"seq":17}"#)
        reading.isHistorical = true
        #expect(
            String(decoding: reading.wirePayload(.v311), as: UTF8.self)
                == #"{"v":21.4,\#(members)"historical":true,"seq":17}"#)
        reading.isHistorical = false
        reading.message.time.quality = .unsynced
        #expect(
            String(decoding: reading.wirePayload(.v311), as: UTF8.self)
                == #"{"v":21.4,\#(members)"boot":"boot-1","up":0,"seq":17}"#)
        #expect(String(decoding: claimed("{}", .opaque).wirePayload(.v311), as: UTF8.self) == "{}")
    }

    @Test("the epoch has 16 digits")
    func epoch() {
        var message = claimed("{}", .opaque)
        message.epoch = 0xAB
        #expect(message.epochDigits == "00000000000000ab")
        message.epoch = .max
        #expect(message.epochDigits == "ffffffffffffffff")
    }

    @Test("packet sizes, counted by hand")
    func packetBytes() {
        let envelope = Envelope()
        let message = claimed("12345", .opaque)
        // Fixed header 2, topic 2 + 4, packet identifier 2, payload 5.
        #expect(envelope.packetBytes(of: message, payloadBytes: 5, version: .v311) == 15)
        // stream telemetry, epoch 16, seq 17, boot boot-1, tq synced, ts 13 digits: 6 × 5 + 22 + 52, length 1.
        let properties = 30 + (6 + 9) + (5 + 16) + (3 + 2) + (4 + 6) + (2 + 6) + (2 + 13)
        #expect(properties == 104)
        #expect(envelope.packetBytes(of: message, payloadBytes: 5, version: .v5) == 2 + 6 + 2 + 1 + properties + 5)
        #expect(envelope.packetBytes(of: message, payloadBytes: 120, version: .v311) == 3 + 6 + 2 + 120)
        // up 1234: what is known where nobody vouches for the time; unsynced is two longer than synced. The packet's length takes two.
        var unsynced = message
        unsynced.message.time.quality = .unsynced
        unsynced.message.time.instant = Instant(nanoseconds: 1_234_567_890)
        let longer = properties + 2 + 5 + 2 + 4
        #expect(envelope.packetBytes(of: unsynced, payloadBytes: 5, version: .v5) == 3 + 6 + 2 + 1 + longer + 5)
        // With another 16 bytes the properties' length takes two.
        unsynced.isHistorical = true
        #expect(
            envelope.packetBytes(of: unsynced, payloadBytes: 5, version: .v5) == 3 + 6 + 2 + 2 + longer + 5 + 11 + 5)
    }
}

@Suite("InFlight")
struct InFlightTests {
    private func item(_ number: Int) -> InFlight.Item {
        InFlight.Item(
            packetIdentifier: Int32(number), claimed: claimed("", .opaque, id: Int64(number)),
            published: Instant(nanoseconds: Int64(number))
        )
    }

    @Test("acknowledgements in any order agree with a naive list", arguments: 1...10 as ClosedRange<UInt64>)
    func anyOrder(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var inFlight = InFlight()
        var naive: [Int] = []
        var next = 1
        for step in 0..<5000 {
            if naive.count < 100, naive.isEmpty || Bool.random(using: &random) {
                inFlight.append(item(next))
                naive.append(next)
                next += 1
            } else {
                let place = Bool.random(using: &random) ? 0 : Int.random(in: 0..<naive.count, using: &random)
                let number = naive.remove(at: place)
                let acknowledged = inFlight.acknowledge(Int32(number))
                #expect(acknowledged?.claimed.id == MessageIDs.make(Int64(number)), "seed \(seed), step \(step)")
                #expect(inFlight.acknowledge(Int32(number)) == nil, "seed \(seed), step \(step)")
            }
            #expect(inFlight.count == naive.count, "seed \(seed), step \(step)")
            #expect(
                inFlight.oldest?.published == naive.first.map { Instant(nanoseconds: Int64($0)) },
                "seed \(seed), step \(step)"
            )
        }
        inFlight.removeAll()
        #expect(inFlight.count == 0 && inFlight.oldest?.published == nil)
    }
}
