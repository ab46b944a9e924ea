import CGpiod
import Readings
import Settings

/// What an input line is asked for, whether its level counts or its edges: the settings that both have.
struct GpioInput: Hashable, Sendable {
    enum Edge: String, Hashable, Sendable {
        case both
        case rising
        case falling

        var flags: Int32 {
            switch self {
            case .both: Int32(CGPIOD_RISING | CGPIOD_FALLING)
            case .rising: Int32(CGPIOD_RISING)
            case .falling: Int32(CGPIOD_FALLING)
            }
        }
    }

    static let keys: [Key] = [
        .boolean("active_low", default: false, "true: the contact pulls the line to ground when it is active."),
        .choice("bias", ["as-is", "disabled", "pull-up", "pull-down"], default: "as-is", "The line's own resistor."),
    ]

    private let activeLow: Bool
    private let bias: Int32

    init?(_ reader: TableReader) {
        guard let activeLow = reader.boolean("active_low"), let bias = reader.choice("bias") else { return nil }
        self.activeLow = activeLow
        self.bias =
            switch bias {
            case "disabled": Int32(CGPIOD_BIAS_DISABLED)
            case "pull-up": Int32(CGPIOD_BIAS_PULL_UP)
            case "pull-down": Int32(CGPIOD_BIAS_PULL_DOWN)
            default: Int32(CGPIOD_BIAS_AS_IS)
            }
    }

    /// - Parameter debounce: by the kernel; zero: not at all.
    func options(_ edge: Edge, debounce: Duration) -> cgpiod_options {
        cgpiod_options(
            edges: edge.flags, active_low: activeLow, bias: bias,
            debounce_us: UInt32(clamping: debounce.wholeNanoseconds / 1_000))
    }
}
