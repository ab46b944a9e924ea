import Readings
package import Settings

/// A device that sends text lines over a serial port. The lines go to the pipeline as they are, which decodes them.
package struct SerialSensor: SensorDriver {
    package static let name = "serial"
    package static let summary =
        "a device on a serial port that sends text lines; decode says what a line holds. Opened again after it was unplugged."
    package static let keys: [Key] = [
        .string(
            "port", required: true, example: "\"/dev/serial/by-path/platform-usb-0:1.2:1.0-port0\"",
            "The port. Names below /dev/serial/by-path stay the same when things are plugged in anew."),
        .integer("baud", in: 50...4_000_000, default: 9_600, "Speed in bits per second."),
        .integer("data_bits", in: 5...8, default: 8, "Bits of a character."),
        .choice("parity", ["none", "even", "odd"], default: "none", "Parity bit."),
        .integer("stop_bits", in: 1...2, default: 1, "Stop bits."),
        .choice("frame", ["line"], default: "line", "How the bytes are cut: text lines."),
        .string("delimiter", default: "\n", "What ends a line; with \"\\n\" a carriage return before it is dropped."),
        .integer("max_length", in: 1...65_536, default: 1_024, "Longest line in bytes; longer ones are dropped."),
    ]

    let path: String
    let format: SerialPort.Format
    let delimiter: [UInt8]
    let maximumLength: Int

    package init?(_ reader: TableReader) {
        guard let path = reader.string("port"), let baud = reader.integer("baud"),
            let data = reader.integer("data_bits"),
            let parity = reader.choice("parity").flatMap(SerialPort.Parity.init(rawValue:)),
            let stop = reader.integer("stop_bits"), let length = reader.integer("max_length"),
            let delimiter = reader.string("delimiter")
        else { return nil }
        var isUsable = true
        if !path.hasPrefix("/") {
            reader.error("port: expected an absolute path, such as \"/dev/ttyUSB0\", found \"\(path)\"", at: "port")
            isUsable = false
        }
        if SerialPort.speeds[Int(baud)] == nil {
            let known = SerialPort.speeds.keys.sorted().map(String.init).joined(separator: ", ")
            reader.error("baud: \(baud) is not a standard speed; known are \(known)", at: "baud")
            isUsable = false
        }
        if delimiter.isEmpty || delimiter.utf8.count > 8 {
            reader.error("delimiter: expected 1 to 8 bytes", at: "delimiter")
            isUsable = false
        }
        guard isUsable else { return nil }
        self.path = path
        format = SerialPort.Format(baud: Int(baud), dataBits: Int(data), parity: parity, stopBits: Int(stop))
        self.delimiter = Array(delimiter.utf8)
        maximumLength = Int(length)
    }

    /// Five characters' time and at least 100 ms without a byte: the device is between two lines.
    private var silence: Duration { max(.milliseconds(100), .milliseconds(5 * 11 * 1_000 / format.baud)) }

    package func run(_ context: SensorContext) async throws(SensorError) {
        let port = try SerialPort(path: path, format: format)
        // When bytes come at once, the port was opened in the middle of a line, and half a number is a wrong number.
        let isTalking: Bool
        switch await context.poller.readable(port.descriptor, within: silence) {
        case .cancelled: return
        case .timedOut: isTalking = false
        case .ready: isTalking = true
        }
        var framer = LineFramer(delimiter: delimiter, maximumLength: maximumLength, skipsFirst: isTalking)
        context.isOpen()
        while true {
            switch await context.poller.readable(port.descriptor) {
            case .cancelled: return
            case .timedOut: continue
            case .ready:
                let overlong = framer.overlong
                for line in framer.push(try port.read(path: path)) { context.emit(.payload(line)) }
                context.drop(framer.overlong - overlong)
            }
        }
    }
}
