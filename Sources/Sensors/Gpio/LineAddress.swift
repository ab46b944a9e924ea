import Glibc
import Settings

/// Which GPIO line: its label, its pin on the header, or as a last resort its number in a chip. Each kernel numbers the
/// chips anew, so a chip is never named by its number alone.
package struct LineAddress: Hashable, Sendable, CustomStringConvertible {
    private enum Line: Hashable, Sendable {
        case label(String)
        case pin(Int)
        case offset(UInt32)
    }

    /// A line that was found.
    struct Found: Sendable {
        /// `/dev/gpiochip0`.
        var chip: String
        var offset: UInt32
        /// The chip's label and the offset: the same line on any boot.
        var identity: String
        /// The name under which it is requested; `nil`: it is free.
        var consumer: String?

        /// The line, requested by `open`, which answers `nil` and `errno` when it cannot be had. What is still with the
        /// keeper from other settings, as an output that is an input now, is let go first.
        func request<Line: ~Copyable>(
            doing: String, keeper: OutputKeeper?, _ open: (Self) -> Line?
        ) throws(SensorError) -> Line {
            if let line = open(self) { return line }
            var code = errno
            if code == EBUSY, keeper?.release(identity) == true {
                if let line = open(self) { return line }
                code = errno
            }
            throw SensorError(
                doing: "\(doing) (\(chip), line \(offset))", code: code,
                remedies: [
                    EBUSY:
                        "it is held by \(consumer.map { "\"\($0)\"" } ?? "another program or driver"); stop that, or use another line",
                    EACCES: DeviceAccess.remedy(for: chip),
                    EINVAL: "the chip does not do that bias, edge or drive; leave it out",
                    EOPNOTSUPP: "the chip does not do that bias or drive; leave it out",
                ])
        }

        /// The same for a line that is a plain descriptor; `open` answers -1 and `errno`.
        func requestDescriptor(
            doing: String, keeper: OutputKeeper?, _ open: (Self) -> Int32
        ) throws(SensorError) -> Int32 {
            try request(doing: doing, keeper: keeper) { found in
                let descriptor = open(found)
                return descriptor >= 0 ? descriptor : nil
            }
        }
    }

    static let keys: [Key] = [
        .string("line", example: "\"GPIO17\"", "The line's label, as tidegate sensor scan prints it."),
        .integer(
            "pin", in: 1...40, example: "11", "Instead of line: the pin of the 40-pin header of Raspberry Pi boards."),
        .string(
            "chip", example: "\"pinctrl-bcm2711\"",
            "Only on this chip, by its label or path. Needed where two chips have a line of the same label."),
        .integer(
            "chip_offset", in: 0...65_535, example: "17",
            "Instead of line, for lines without a label: the line's number in the chip, which must then be given."),
    ]

    private let line: Line
    private let chip: String?

    /// `nil` when there is a mistake, which is told.
    init?(_ reader: TableReader) {
        chip = reader.string("chip")
        switch (reader.string("line"), reader.integer("pin"), reader.integer("chip_offset")) {
        case (let label?, nil, nil):
            guard !label.isEmpty, label.utf8.count < 64 else {
                reader.error("line: expected a label of 1 to 63 bytes, such as \"GPIO17\"", at: "line")
                return nil
            }
            line = .label(label)
        case (nil, let pin?, nil):
            guard HeaderPin.labels(of: Int(pin)) != nil else {
                reader.error("pin: pin \(pin) of the header is no GPIO line but power or ground", at: "pin")
                return nil
            }
            line = .pin(Int(pin))
        case (nil, nil, let offset?):
            guard chip != nil else {
                reader.error(
                    "chip_offset needs the chip it counts in, as in chip = \"pinctrl-bcm2711\"", at: "chip_offset")
                return nil
            }
            line = .offset(UInt32(clamping: offset))
        case (nil, nil, nil):
            reader.error("\(reader.path) needs the key \"line\" or \"pin\", as in line = \"GPIO17\"")
            return nil
        default:
            let extra = ["pin", "chip_offset"].first { reader.has($0) } ?? "pin"
            reader.error("only one of line, pin and chip_offset can say which line it is", at: extra)
            return nil
        }
    }

    package var description: String {
        let name =
            switch line {
            case .label(let label): label
            case .pin(let pin): "at pin \(pin)"
            case .offset(let offset): "\(offset)"
            }
        return chip.map { "\(name) of \($0)" } ?? name
    }

    /// The chip that has the line or, where that cannot be told, all that there are.
    var chipFiles: [String] {
        if let found = try? find(doing: "find the line") { return [found.chip] }
        return SysfsFile.names(in: "/dev").filter { $0.hasPrefix("gpiochip") }.map { "/dev/\($0)" }
    }

    /// Looks for the line on all chips.
    func find(doing: String) throws(SensorError) -> Found {
        let chips = GpioChips.list()
        let candidates = chips.lines.filter { chip == nil || chip == $0.chip || chip == $0.label }
        let found: [GpioChips.Line]
        switch line {
        case .label(let label): found = candidates.filter { $0.name == label }
        case .pin(let pin):
            let labels = HeaderPin.labels(of: pin) ?? []
            found = labels.lazy.map { label in candidates.filter { $0.name == label } }.first { !$0.isEmpty } ?? []
        case .offset(let offset): found = candidates.filter { $0.offset == offset }
        }
        guard let first = found.first else { throw absent(chips, candidates, doing: doing) }
        guard found.count == 1 else {
            throw SensorError(
                doing: doing, reason: "several chips have such a line: \(found.map(\.label).joined(separator: ", "))",
                remedy: "say which one, as in chip = \"\(first.label)\"")
        }
        return Found(
            chip: first.chip, offset: first.offset, identity: "\(first.label):\(first.offset)", consumer: first.consumer
        )
    }

    private func absent(_ chips: GpioChips, _ candidates: [GpioChips.Line], doing: String) -> SensorError {
        if let denied = chips.denied {
            return SensorError(
                doing: doing, reason: "no permission to open \(denied)", remedy: DeviceAccess.remedy(for: denied))
        }
        if chips.count == 0 {
            return SensorError(
                doing: doing, reason: "this machine shows no GPIO chip (/dev/gpiochip*)",
                remedy: "see that the board's GPIO driver is loaded: ls /sys/bus/gpio/devices", isAbsent: true)
        }
        if let chip, candidates.isEmpty {
            return SensorError(
                doing: doing,
                reason: "there is no chip \(chip)"
                    + NearestName.hint(chip, among: Set(chips.lines.map(\.label)).sorted()),
                remedy: "see what is there with: tidegate sensor scan", isAbsent: true)
        }
        var hint = ""
        if case .label(let label) = line { hint = NearestName.hint(label, among: candidates.map(\.name)) }
        return SensorError(
            doing: doing, reason: "no chip has such a line\(hint)",
            remedy: "see what is there with: tidegate sensor scan", isAbsent: true)
    }
}
