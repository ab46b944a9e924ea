/// A topic, a level of one or a client identifier, compared byte by byte: MQTT normalises nothing [MQTT-4.7.3-4], while
/// Swift's strings take two spellings of one character for equal.
package struct WireText: Hashable, Sendable {
    package let string: String

    package init(_ string: String) { self.string = string }

    package static func == (a: WireText, b: WireText) -> Bool { a.string.utf8.elementsEqual(b.string.utf8) }

    package func hash(into hasher: inout Hasher) {
        let isHashed: Void? = string.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if isHashed == nil { for byte in string.utf8 { hasher.combine(byte) } }
    }
}
