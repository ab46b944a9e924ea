import Readings
package import Settings

/// A device that sends text lines over a serial port. The lines go to the pipeline as they are, which decodes them.
package struct SerialSensor: SensorDriver {
    package static let name = "serial"
    package static let summary =
        "a device on a serial port that sends text lines; decode says what a line holds. Opened again after it was unplugged."
    package static let keys: [Key] =
        SerialSettings.keys() + [
            .choice("frame", ["line"], default: "line", "How the bytes are cut: text lines."),
            .string(
                "delimiter", default: "\n", "What ends a line; with \"\\n\" a carriage return before it is dropped."),
            .integer("max_length", in: 1...65_536, default: 1_024, "Longest line in bytes; longer ones are dropped."),
        ]

    let serial: SerialSettings
    let delimiter: [UInt8]
    let maximumLength: Int

    package init?(_ reader: TableReader) {
        guard let serial = SerialSettings(reader), let length = reader.integer("max_length"),
            let delimiter = reader.string("delimiter")
        else { return nil }
        var isUsable = true
        if delimiter.isEmpty || delimiter.utf8.count > 8 {
            reader.error("delimiter: expected 1 to 8 bytes", at: "delimiter")
            isUsable = false
        }
        guard isUsable else { return nil }
        self.serial = serial
        self.delimiter = Array(delimiter.utf8)
        maximumLength = Int(length)
    }

    /// Five characters' time and at least 100 ms without a byte: the device is between two lines.
    private var silence: Duration { max(.milliseconds(100), serial.format.characterTime * 5) }

    package func run(_ context: SensorContext) async throws(SensorError) {
        let port = try SerialPort(serial)
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
                for line in framer.push(try port.read()) { context.emit(.payload(line)) }
                context.drop(framer.overlong - overlong)
            }
        }
    }
}
