/// What a JSON text may cost its reader.
package struct JSONLimits: Hashable, Sendable {
    /// The longest text, in bytes; at most 4,294,967,294, because places in the text are kept in 32 bits.
    package var bytes: Int
    /// Arrays and objects inside each other, the outermost counted; 0 allows only a number, string, boolean or null.
    package var depth: Int
    /// Values of the text, names of members and arrays and objects counted. Each costs 12 bytes of memory while the
    /// text is held, and a text has at most half as many values as bytes.
    package var values: Int

    /// - Parameter bytes: the longest text; clamped to what 32 bits can name.
    package init(bytes: Int, depth: Int = Self.depth, values: Int = .max) {
        self.bytes = min(bytes, Int(UInt32.max) - 1)
        self.depth = depth
        self.values = values
    }

    /// The depth that is read everywhere. Devices and clouds nest at most about ten deep.
    package static let depth = 32
}
