/// Whether a value can be believed, in the words of OPC (OPC UA part 8, status codes).
package enum Quality: String, Hashable, Sendable, CaseIterable {
    /// Measured and decoded as expected.
    case good
    /// Usable, with a doubt that the source itself expressed.
    case uncertain
    /// Not to be used: the source said that it failed.
    case bad
    /// The last value there was, not refreshed within the sensor's `stale_after`.
    case stale
}
