/// Writes one JSON text straight into bytes. A value; pure. Its caller opens and closes what it writes, in order; commas
/// are the writer's concern.
package struct JSONWriter: Sendable {
    package enum Style: Hashable, Sendable {
        /// No white space: `{"a":1}`.
        case compact
        /// A line a value, two spaces a level, and `"name" : value`.
        case pretty
    }

    package private(set) var bytes: [UInt8] = []
    private let style: Style
    private var depth = 0
    /// A comma comes before the next value or name.
    private var isAfterValue = false
    private var isAfterName = false

    package init(_ style: Style = .compact, capacity: Int = 0) {
        self.style = style
        bytes.reserveCapacity(capacity)
    }

    package mutating func beginObject() { begin(UInt8(ascii: "{")) }
    package mutating func endObject() { end(UInt8(ascii: "}")) }
    package mutating func beginArray() { begin(UInt8(ascii: "[")) }
    package mutating func endArray() { end(UInt8(ascii: "]")) }

    /// The name of a member of the object that is open. Its value comes next.
    package mutating func name(_ name: String) {
        separate()
        JSONString.append(name, to: &bytes)
        endName()
    }

    package mutating func writeNull() { writeWord("null".utf8) }
    package mutating func write(_ boolean: Bool) { writeWord((boolean ? "true" : "false").utf8) }
    package mutating func write(_ integer: some BinaryInteger) { writeWord(String(integer).utf8) }

    /// The shortest text that names this Double, `21.0` for 21; null where it is no finite one, because JSON has no word
    /// for that.
    package mutating func write(_ number: Double) {
        if number.isFinite { writeWord("\(number)".utf8) } else { writeNull() }
    }

    package mutating func write(_ text: String) {
        separate()
        JSONString.append(text, to: &bytes)
        isAfterValue = true
    }

    /// Copies a value that was read.
    package mutating func write(_ value: JSONValue) { value.write(to: &self) }

    mutating func writeWord(_ word: some Collection<UInt8>) {
        separate()
        bytes += word
        isAfterValue = true
    }

    /// A string that is escaped already, without its quotes.
    mutating func writeEscaped(_ text: ArraySlice<UInt8>, isName: Bool) {
        separate()
        bytes.append(UInt8(ascii: "\""))
        bytes += text
        bytes.append(UInt8(ascii: "\""))
        if isName { endName() } else { isAfterValue = true }
    }

    private mutating func endName() {
        bytes += (style == .pretty ? " : " : ":").utf8
        isAfterName = true
    }

    private mutating func begin(_ bracket: UInt8) {
        separate()
        bytes.append(bracket)
        depth += 1
        isAfterValue = false
    }

    private mutating func end(_ bracket: UInt8) {
        depth -= 1
        // Nothing stands between the brackets of what is empty.
        if isAfterValue { newLine() }
        bytes.append(bracket)
        isAfterValue = true
    }

    /// Writes what stands before a value or a name.
    private mutating func separate() {
        guard !isAfterName else {
            isAfterName = false
            return
        }
        if isAfterValue { bytes.append(UInt8(ascii: ",")) }
        if depth > 0 { newLine() }
        isAfterValue = false
    }

    private mutating func newLine() {
        guard style == .pretty else { return }
        bytes.append(UInt8(ascii: "\n"))
        for _ in 0..<depth { bytes += "  ".utf8 }
    }
}

/// JSON strings (RFC 8259 §7), written straight into bytes.
package enum JSONString {
    /// Appends `text` in quotes, escaping what must be: quotes, backslashes and control characters.
    package static func append(_ text: String, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { utf8 in
            var written = 0
            for (place, byte) in utf8.enumerated() where byte < 0x20 || byte == 0x22 || byte == 0x5C {
                out += utf8[written..<place]
                written = place + 1
                append(escaped: byte, to: &out)
            }
            out += utf8[written...]
        }
        out.append(UInt8(ascii: "\""))
    }

    private static func append(escaped byte: UInt8, to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\\"))
        guard byte < 0x20 else { return out.append(byte) }
        out += "u00".utf8
        out.append(UInt8(ascii: "0") + byte >> 4)
        let low = byte & 15
        out.append(low < 10 ? UInt8(ascii: "0") + low : UInt8(ascii: "a") + low - 10)
    }
}
