package import Configuration
package import Sensors

/// What `tidegate sensor scan` finds on this board.
package enum HardwareScan {
    /// What is there: GPIO lines and the programs that hold them, serial ports, devices of the kernel's own drivers.
    package static var text: String {
        var lines: [String] = []
        let chips = GpioChips.list()
        lines.append("GPIO: \(chips.count) chips")
        if let denied = chips.denied { lines.append("  no permission to open \(denied)") }
        var chip = ""
        for line in chips.lines {
            if line.chip != chip {
                chip = line.chip
                lines.append("  \(line.label) (\(line.chip))")
            }
            guard !line.name.isEmpty || line.consumer != nil else { continue }
            lines.append(
                "    \(line.offset): \(line.name.isEmpty ? "without a label" : line.name), \(line.isOutput ? "output" : "input")"
                    + (line.consumer.map { ", held by \($0)" } ?? ""))
        }
        let ports = SerialPorts.list()
        lines.append("serial ports: \(ports.count)")
        for port in ports {
            lines.append("  \(port.path)" + (port.usb.map { "  usb = \"\($0)\"  \($0.name)" } ?? ""))
            lines += port.links.map { "    \($0)" }
        }
        let found = SysfsScan.list()
        lines.append("devices of the kernel's drivers: \(found.count)")
        for device in found {
            lines.append(
                "  kind = \"\(device.kind)\", device = \"\(device.device)\": \(device.channels.joined(separator: ", "))"
            )
        }
        return lines.joined(separator: "\n")
    }

    /// Looks for Modbus devices on a port, and says what it finds as it finds it.
    package static func modbus(port: String, _ scan: ModbusScan, print: (String) -> Void) throws(GatewayError) {
        let identity: SerialIdentity
        do throws(SerialIdentity.Failure) {
            identity = port.hasPrefix("/") ? .path(port) : try SerialIdentity(usb: port)
        } catch {
            throw GatewayError(
                .usage, doing: "scan \(port)", reason: "it is neither a path nor a USB place",
                remedy: "name it as tidegate sensor scan does: \(error.expected)")
        }
        var count = 0
        do throws(SensorError) {
            try scan.run(on: identity, progress: { print("\($0.description) …") }) { attempt, finding in
                switch finding {
                case .device:
                    count += 1
                    print("  device \(attempt.slave) answers at \(attempt.format.description)")
                case .damaged:
                    print("  something answers to \(attempt.slave) at \(attempt.format.description), damaged")
                }
            }
        } catch {
            throw GatewayError(.unavailable, doing: error.doing, reason: error.reason, remedy: error.remedy)
        }
        print(count == 0 ? "no device answered" : "\(count) answers")
    }
}
