import CGpiod

/// The chips and lines that are there.
package struct GpioChips: Sendable {
    package struct Line: Hashable, Sendable {
        /// Empty for a line without a label.
        package var name: String
        package var chip: String
        /// The chip's label.
        package var label: String
        package var offset: UInt32
        package var isOutput: Bool
        /// The name under which it is requested, "a driver" where the kernel does not say; `nil`: it is free.
        package var consumer: String?
    }

    package private(set) var lines: [Line] = []
    /// How many chips there are, those included that may not be opened.
    package private(set) var count = 0
    /// The first chip that may not be opened.
    package private(set) var denied: String?

    /// Asks the kernel; opens each chip for a moment.
    package static func list() -> Self {
        final class Box { var lines: [Line] = [] }
        let box = Box()
        var denied = (0..<64).map { _ in CChar(0) }
        var chips = Self()
        chips.count = Int(
            cgpiod_each_line(
                { line, context in
                    guard let line = line?.pointee, let context else { return false }
                    let consumer = GpioChips.text(line.consumer)
                    Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().lines.append(
                        Line(
                            name: GpioChips.text(line.name), chip: GpioChips.text(line.chip),
                            label: GpioChips.text(line.label), offset: line.offset,
                            isOutput: line.output,
                            consumer: line.used ? (consumer.isEmpty ? "a driver" : consumer) : nil)
                    )
                    return false
                }, Unmanaged.passUnretained(box).toOpaque(), &denied))
        chips.lines = box.lines
        let path = String(decoding: denied.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chips.denied = path.isEmpty ? nil : path
        return chips
    }

    /// A C string in an array of its own.
    private static func text<T>(_ characters: T) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
