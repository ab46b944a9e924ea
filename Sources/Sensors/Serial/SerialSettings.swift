import Settings

/// What every driver on a serial line has to know of it.
package struct SerialSettings: Hashable, Sendable {
    package var identity: SerialIdentity
    package var format: SerialPort.Format

    /// The keys, with the driver's own usual speed and parity.
    static func keys(baud: Int64 = 9_600, parity: String = "none", dataBits: Bool = true) -> [Key] {
        [
            .string(
                "port", example: "\"/dev/serial/by-path/platform-usb-0:1.2:1.0-port0\"",
                "The port's path; or, with usb, where it is plugged in. See what is there with: tidegate sensor scan"),
            .string(
                "usb", example: "\"0403:6001@1-1.2\"",
                "Instead of port: vendor, product and place of a USB adapter, found again after it was plugged in anew."
            ),
            .integer("baud", in: 50...12_000_000, default: baud, "Speed in bits per second; any that the port can do."),
        ]
            + (dataBits ? [.integer("data_bits", in: 5...8, default: 8, "Bits of a character.")] : []) + [
                .choice("parity", ["none", "even", "odd", "mark", "space"], default: parity, "Parity bit."),
                .integer("stop_bits", in: 1...2, default: 1, "Stop bits."),
                .choice("flow", ["none", "rts-cts", "xon-xoff"], default: "none", "Flow control."),
                .choice(
                    "rs485", ["off", "rts", "rts-inverted"], default: "off",
                    "Let the kernel switch the direction of an RS-485 driver by RTS. Adapters that do it themselves need off."
                ),
                .duration(
                    "rs485_before", in: .zero...(.milliseconds(100)), default: "0ms",
                    "Time between switching to sending and the first bit."),
                .duration(
                    "rs485_after", in: .zero...(.milliseconds(100)), default: "0ms",
                    "Time between the last bit and switching back."),
            ]
    }

    init(identity: SerialIdentity, format: SerialPort.Format) {
        self.identity = identity
        self.format = format
    }

    /// `nil` when there is a mistake, which is told.
    init?(_ reader: TableReader, dataBits: Bool = true) {
        guard let baud = reader.integer("baud"), let stop = reader.integer("stop_bits"),
            let parity = reader.choice("parity").flatMap(SerialPort.Parity.init(rawValue:)),
            let flow = reader.choice("flow").flatMap(SerialPort.Flow.init(rawValue:)),
            let rs485 = reader.choice("rs485")
        else { return nil }
        if rs485 == "off" {
            for key in ["rs485_before", "rs485_after"] where reader.has(key) {
                reader.error("\(key) has a meaning only with rs485 = \"rts\" or \"rts-inverted\"", at: key)
            }
        }
        let data = dataBits ? reader.integer("data_bits") ?? 8 : 8
        format = SerialPort.Format(
            baud: Int(baud), dataBits: Int(data), parity: parity, stopBits: Int(stop), flow: flow,
            rs485: rs485 == "off"
                ? nil
                : SerialPort.RS485(
                    isInverted: rs485 == "rts-inverted", before: reader.duration("rs485_before") ?? .zero,
                    after: reader.duration("rs485_after") ?? .zero))
        switch (reader.string("port"), reader.string("usb")) {
        case (let path?, nil):
            guard path.hasPrefix("/") else {
                reader.error("port: expected an absolute path, such as \"/dev/ttyUSB0\", found \"\(path)\"", at: "port")
                return nil
            }
            identity = .path(path)
        case (nil, let usb?):
            do throws(SerialIdentity.Failure) {
                identity = try SerialIdentity(usb: usb)
            } catch {
                reader.error("usb: expected \(error.expected), found \"\(usb)\"", at: "usb")
                return nil
            }
        case (nil, nil):
            if !reader.has("port"), !reader.has("usb") {
                reader.error("\(reader.path) needs the key \"port\" or \"usb\", as in port = \"/dev/ttyUSB0\"")
            }
            return nil
        case (_?, _?):
            reader.error("usb stands instead of port: leave one of them out", at: "usb")
            return nil
        }
    }
}
