import Admin
import ArgumentParser
import Configuration
import Diagnosis
import Gateway
import Glibc
import Sensors

extension Tidegate {
    /// The board's own sensors.
    struct Sensor: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "The board's own sensors: what is configured, what they say, what could be wired.",
            discussion: """
                  tidegate sensor list
                  tidegate sensor read meter --preview
                  tidegate sensor scan
                  tidegate sensor scan --port /dev/ttyUSB0 --modbus
                """,
            subcommands: [List.self, Read.self, Scan.self])
    }
}

extension Tidegate.Sensor {
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the configured sensors: their state, last values and how old they are.")

        @OptionGroup var gateway: GatewayOptions
        @Flag(help: "Print one JSON array instead, for scripts.") var json = false

        func run() async throws {
            do throws(GatewayError) {
                let (settings, directory) = try gateway.load()
                let sensors = try SensorCommands.list(settings: settings, dataDirectory: directory)
                if json { return print(ControlClient.json(sensors)) }
                print(sensors.isEmpty ? "no sensors are configured" : sensors.map(\.text).joined(separator: "\n"))
            } catch { throw exit(with: error) }
        }
    }

    struct Read: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a sensor once: what came from the device, and what becomes of it.",
            discussion: "Asks the running gateway; without one, opens the sensor itself.")

        @OptionGroup var gateway: GatewayOptions
        @Argument(help: "The sensor's id.") var id: String
        @Flag(help: "Show Modbus registers in every type and order that they could hold.") var preview = false
        @Flag(help: "Print one JSON object instead, for scripts.") var json = false
        @Option(help: ArgumentHelp("How long to wait for something new, up to 25.", valueName: "seconds"))
        var wait = 10.0

        func run() async throws {
            do throws(GatewayError) {
                let (settings, directory) = try gateway.load()
                let answer = try await SensorCommands.read(
                    id, settings: settings, dataDirectory: directory, seconds: wait)
                if let others = answer.others {
                    throw GatewayError(
                        .usage, doing: "read \(id)", reason: "there is no such sensor",
                        remedy: others.isEmpty ? "none is configured" : "one of \(others.joined(separator: ", "))")
                }
                print(json ? ControlClient.json(answer) : answer.text(showsPreview: preview))
                if answer.raw == nil, answer.readings.isEmpty { Glibc.exit(GatewayError.Kind.unavailable.rawValue) }
            } catch { throw exit(with: error) }
        }
    }

    struct Scan: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Show what is there: GPIO lines and the programs that hold them, serial ports, the kernel's own sensors.",
            discussion: """
                With --port and --modbus: ask every address at every speed and parity, and list the devices that answer. A port that \
                the running gateway uses is busy: stop it first.
                """)

        @Option(help: "A serial port, by its path or as usb = \"…\" is written.") var port: String?
        @Flag(help: "Look for Modbus devices on the port.") var modbus = false
        @Option(help: ArgumentHelp("Only these speeds, separated by commas.", valueName: "speeds")) var baud: String?
        @Option(help: ArgumentHelp("Only these parities: none, even, odd.", valueName: "parities")) var parity: String?
        @Option(help: ArgumentHelp("Only these addresses, as in 1-16.", valueName: "range")) var addresses = "1-247"

        func validate() throws {
            if modbus != (port != nil) { throw ValidationError("--port and --modbus are used together") }
            _ = try scan()
        }

        private func scan() throws -> ModbusScan {
            var scan = ModbusScan()
            if let baud {
                scan.bauds = try baud.split(separator: ",").map { text in
                    guard let speed = Int(text), (50...12_000_000).contains(speed) else {
                        throw ValidationError("\"\(text)\" is no speed")
                    }
                    return speed
                }
            }
            if let parity {
                scan.parities = try parity.split(separator: ",").map { text in
                    guard let parity = SerialPort.Parity(rawValue: String(text)) else {
                        throw ValidationError("\"\(text)\" is no parity: none, even or odd")
                    }
                    return parity
                }
            }
            let bounds = addresses.split(separator: "-").compactMap { Int($0) }
            guard let first = bounds.first, let last = bounds.last, bounds.count <= 2, (1...247).contains(first),
                (first...247).contains(last)
            else { throw ValidationError("\"\(addresses)\" is no range of addresses from 1 to 247, as in 1-16") }
            scan.slaves = first...last
            return scan
        }

        func run() async throws {
            guard let port else { return print(HardwareScan.text) }
            let scan = try scan()
            do throws(GatewayError) {
                try HardwareScan.modbus(port: port, scan) { line in
                    // At once, also into a pipe: it takes minutes.
                    let bytes = Array("\(line)\n".utf8)
                    _ = write(STDOUT_FILENO, bytes, bytes.count)
                }
            } catch { throw exit(with: error) }
        }
    }
}
