import Readings

/// The kernel's own interfaces to sensors. Devices are found by their names: the numbers in `hwmon3` or `iio:device0` are
/// given anew at each boot.
enum SysfsKind: String, Hashable, Sendable, CaseIterable {
    /// 1-Wire thermometers (Documentation/w1/slaves/w1_therm.rst).
    case w1
    /// Industrial I/O: environmental sensors, converters (Documentation/ABI/testing/sysfs-bus-iio).
    case iio
    /// Hardware monitoring: temperatures, voltages, currents (Documentation/hwmon/sysfs-interface.rst).
    case hwmon
    /// Thermal zones (Documentation/driver-api/thermal/sysfs-api.rst).
    case thermal
    /// Fans' tachometers, of hwmon devices.
    case fan

    /// One device that is there.
    struct Device: Hashable, Sendable {
        /// What it calls itself.
        var name: String
        /// What else it may be called by.
        var label: String?
        var path: String
    }

    private var folder: String {
        switch self {
        case .w1: "/bus/w1/devices"
        case .iio: "/bus/iio/devices"
        case .hwmon, .fan: "/class/hwmon"
        case .thermal: "/class/thermal"
        }
    }

    /// Whether the kernel has this interface at all.
    func isThere(root: String) -> Bool { SysfsFile.exists(root + folder) }

    /// Whether there is a bus that devices of the kind could be on: the 1-Wire driver may be there without one.
    func hasBus(root: String) -> Bool {
        self != .w1 || !devices(root: root).isEmpty
            || SysfsFile.names(in: root + folder).contains { $0.hasPrefix("w1_bus_master") }
    }

    func devices(root: String) -> [Device] {
        let folder = root + folder
        return SysfsFile.names(in: folder).compactMap { number in
            let path = "\(folder)/\(number)"
            switch self {
            case .w1:
                // Family codes of thermometers: DS18S20, DS1822, DS18B20, DS1825, DS28EA00.
                guard ["10", "22", "28", "3b", "42"].contains(where: { number.hasPrefix("\($0)-") }) else { return nil }
                return Device(name: number, path: path)
            case .iio:
                guard number.hasPrefix("iio:device") else { return nil }
                return Device(
                    name: SysfsFile.text("\(path)/name") ?? number,
                    label: SysfsFile.text("\(path)/label"), path: path)
            case .hwmon, .fan:
                let device = Device(name: SysfsFile.text("\(path)/name") ?? number, path: path)
                return self == .fan && channels(of: device).isEmpty ? nil : device
            case .thermal:
                guard number.hasPrefix("thermal_zone") else { return nil }
                return Device(name: SysfsFile.text("\(path)/type") ?? number, path: path)
            }
        }
    }

    /// Everything that the device measures.
    func channels(of device: Device) -> [SysfsChannel] {
        switch self {
        case .w1: [SysfsChannel(name: "temperature", reading: .w1(path: "\(device.path)/w1_slave"), unit: Unit("Cel"))]
        case .thermal:
            [SysfsChannel(name: "temp", reading: .scaled(path: "\(device.path)/temp", scale: 0.001), unit: Unit("Cel"))]
        case .hwmon: hwmon(device).filter { $0.unit != Unit("1/min") }
        case .fan: hwmon(device).filter { $0.unit == Unit("1/min") }
        case .iio: iio(device)
        }
    }

    private func hwmon(_ device: Device) -> [SysfsChannel] {
        SysfsFile.names(in: device.path).compactMap { file in
            guard file.hasSuffix("_input") else { return nil }
            let name = String(file.dropLast(6))
            let path = "\(device.path)/\(file)"
            let kind = name.prefix { !$0.isNumber }
            if kind == "fan" {
                let drive = "\(device.path)/pwm\(name.dropFirst(3))"
                return SysfsChannel(
                    name: name, reading: .fan(path: path, drive: SysfsFile.exists(drive) ? drive : nil),
                    unit: Unit("1/min"))
            }
            guard let (scale, unit) = Self.hwmonUnits[String(kind)] else { return nil }
            return SysfsChannel(name: name, reading: .scaled(path: path, scale: scale), unit: Unit(unit))
        }
    }

    /// To SenML's units (RFC 8428 §12.1).
    private static let hwmonUnits: [String: (scale: Double, unit: String)] = [
        "temp": (0.001, "Cel"), "in": (0.001, "V"), "curr": (0.001, "A"), "power": (0.000_001, "W"),
        "energy": (0.000_001, "J"), "humidity": (0.001, "%RH"),
    ]

    /// From the kernel's units, by the first letters of the channel.
    private static let iioUnits: [(prefix: String, factor: Double, unit: String)] = [
        ("temp", 0.001, "Cel"), ("humidityrelative", 0.001, "%RH"), ("pressure", 1_000, "Pa"), ("voltage", 0.001, "V"),
        ("altvoltage", 0.001, "V"), ("current", 0.001, "A"), ("power", 0.001, "W"), ("illuminance", 1, "lx"),
        ("resistance", 1, "Ohm"), ("accel", 1, "m/s2"), ("anglvel", 1, "rad/s"), ("distance", 1, "m"),
    ]

    private func iio(_ device: Device) -> [SysfsChannel] {
        var channels: [SysfsChannel] = []
        let files = SysfsFile.names(in: device.path)
        for file in files where file.hasPrefix("in_") {
            let isInput = file.hasSuffix("_input")
            guard isInput || file.hasSuffix("_raw") else { continue }
            let name = String(file.dropFirst(3).dropLast(isInput ? 6 : 4))
            let known = Self.iioUnits.first { name.hasPrefix($0.prefix) }
            let path = "\(device.path)/\(file)"
            if isInput {
                channels.removeAll { $0.name == name }
                channels.append(
                    SysfsChannel(
                        name: name, reading: .scaled(path: path, scale: known?.factor ?? 1),
                        unit: known.map { Unit($0.unit) }))
            } else if !channels.contains(where: { $0.name == name }) {
                channels.append(
                    SysfsChannel(
                        name: name,
                        reading: .raw(
                            path: path, offset: attribute("offset", of: name, device, files),
                            scale: attribute("scale", of: name, device, files), factor: known?.factor ?? 1),
                        unit: known.map { Unit($0.unit) }))
            }
        }
        return channels
    }

    /// The channel's own, or that of all channels of its kind: `in_voltage0_scale`, `in_voltage_scale`.
    private func attribute(_ attribute: String, of name: String, _ device: Device, _ files: [String]) -> String? {
        let kind = name.prefix { !$0.isNumber && $0 != "_" }
        return ["in_\(name)_\(attribute)", "in_\(kind)_\(attribute)"].first(where: files.contains).map {
            "\(device.path)/\($0)"
        }
    }
}

/// Everything that the kernel's own drivers measure, for `sensor scan`.
package enum SysfsScan {
    package struct Found: Hashable, Sendable {
        /// As `kind = "…"` is written.
        package var kind: String
        /// As `device = "…"` is written.
        package var device: String
        package var channels: [String]

        package init(kind: String, device: String, channels: [String]) {
            self.kind = kind
            self.device = device
            self.channels = channels
        }
    }

    package static func list(root: String = "/sys") -> [Found] {
        SysfsKind.allCases.flatMap { kind in
            kind.devices(root: root).map { device in
                Found(kind: kind.rawValue, device: device.name, channels: kind.channels(of: device).map(\.name))
            }
        }
    }
}
