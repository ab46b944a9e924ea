internal import CMosquitto
internal import Outbox
internal import Readings

/// A claimed message as it goes over the wire.
struct Envelope {
    /// The last epoch, and its digits.
    private var known: (epoch: UInt64, digits: String) = (0, "")

    /// Bytes of the PUBLISH packet (MQTT 5.0 §3.3, 3.1.1 §3.3), to compare with the broker's maximum packet size:
    /// libmosquitto 2.0's own check forgets two bytes, and the broker would close the connection over them.
    func packetBytes(of claimed: OutboxStore.Claimed, payloadBytes: Int, version: WireVersion) -> Int {
        var remaining = 2 + claimed.message.topic.utf8.count + 2 + payloadBytes
        if version == .v5 {
            let values =
                claimed.stream.utf8.count + 16 + decimalDigits(claimed.sequence)
                + claimed.boot.name.utf8.count + claimed.message.time.quality.rawValue.utf8.count
                + decimalDigits(unixMilliseconds(claimed))
            let names = "stream".utf8.count + "epoch".utf8.count + "seq".utf8.count + "boot".utf8.count + 2 + 2
            let historical = claimed.isHistorical ? 5 + "historical".utf8.count + "1".utf8.count : 0
            let up = upMilliseconds(claimed)
            let upBytes = up < 0 ? 0 : 5 + "up".utf8.count + decimalDigits(up)
            let properties = 6 * 5 + names + values + upBytes + historical
            remaining += variableLengthBytes(properties) + properties
        }
        return 1 + variableLengthBytes(remaining) + remaining
    }

    /// Calls `body` with the user properties as C strings.
    mutating func withProperties<R>(
        of claimed: OutboxStore.Claimed, _ body: (UnsafePointer<cmosquitto_envelope>) -> R
    ) -> R {
        if known.epoch != claimed.epoch { known = (claimed.epoch, claimed.epochDigits) }
        let epoch = known.digits
        return claimed.stream.withCString { stream in
            epoch.withCString { epoch in
                claimed.boot.name.withCString { boot in
                    claimed.message.time.quality.rawValue.withCString { quality in
                        var properties = cmosquitto_envelope(
                            stream: stream, epoch: epoch, boot: boot, time_quality: quality,
                            sequence: claimed.sequence, unix_milliseconds: unixMilliseconds(claimed),
                            up_milliseconds: upMilliseconds(claimed), is_historical: claimed.isHistorical
                        )
                        return body(&properties)
                    }
                }
            }
        }
    }

    private func unixMilliseconds(_ claimed: OutboxStore.Claimed) -> Int64 {
        claimed.message.time.unixNanoseconds / 1_000_000
    }

    /// Where nobody vouches for the wall clock, the boot's own is what is known.
    private func upMilliseconds(_ claimed: OutboxStore.Claimed) -> Int64 {
        claimed.message.time.quality == .unsynced ? max(0, claimed.message.time.instant.nanoseconds / 1_000_000) : -1
    }

    private func decimalDigits(_ number: Int64) -> Int {
        var rest = number.magnitude
        var digits = number < 0 ? 2 : 1
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        return digits
    }

    /// MQTT 5.0 §1.5.5.
    private func variableLengthBytes(_ value: Int) -> Int {
        switch value {
        case ..<128: 1
        case ..<16_384: 2
        case ..<2_097_152: 3
        default: 4
        }
    }
}
