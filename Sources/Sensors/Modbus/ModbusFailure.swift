/// Why a request brought nothing.
package enum ModbusFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nobody answered in time.
    case noAnswer
    /// What came was no valid answer: wrong checksum, wrong length, another function.
    case damagedAnswer
    /// The answer of another device: late, or two have one address.
    case otherSlave
    /// The device refused (MODBUS Application Protocol V1.1b3 §7).
    case exception(Int)

    package var description: String {
        switch self {
        case .noAnswer: "it does not answer"
        case .damagedAnswer: "its answers are damaged"
        case .otherSlave: "another device answers in its place"
        case .exception(let code): "it refuses: \(Self.name(code))"
        }
    }

    /// Whether asking again at once may help; a refusal stays one.
    var isPassing: Bool {
        switch self {
        case .noAnswer, .damagedAnswer, .otherSlave: true
        // Acknowledge, busy, and a gateway whose device is silent.
        case .exception(let code): code == 5 || code == 6 || code == 11
        }
    }

    /// Whether the device itself was heard.
    var isAnswer: Bool { if case .exception(let code) = self { code != 10 && code != 11 } else { false } }

    private static func name(_ code: Int) -> String {
        switch code {
        case 1: "illegal function (1): it has no such table"
        case 2: "illegal data address (2): it has no such register; is the manual's table counted from 1 (one_based)?"
        case 3: "illegal data value (3)"
        case 4: "device failure (4)"
        case 5: "acknowledge (5): it needs more time"
        case 6: "device busy (6)"
        case 8: "memory parity error (8)"
        case 10: "gateway path unavailable (10)"
        case 11: "gateway target device failed to respond (11)"
        default: "exception \(code)"
        }
    }
}
