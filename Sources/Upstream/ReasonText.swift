internal import CMosquitto
internal import Glibc

/// MQTT 5.0 reason codes in words.
enum ReasonText {
    /// As in the standard, with the code.
    static func of(_ code: UInt8) -> String {
        "\(String(cString: mosquitto_reason_string(Int32(code)))) (0x\(String(code, radix: 16)))"
    }
}

/// An errno in words.
func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
