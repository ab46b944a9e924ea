extension [UInt8] {
    /// The first bytes, to show.
    package var hex: String {
        prefix(200).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
            + (count > 200 ? " … (\(count))" : "")
    }
}
