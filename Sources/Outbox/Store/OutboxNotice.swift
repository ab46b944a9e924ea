package import Readings

/// Something that happened to the outbox's file and that a person should read in the log. Told once per change.
package enum OutboxNotice: Hashable, Sendable {
    /// The file was found damaged and was moved aside. An empty one took its place, with the messages that memory held.
    case replaced(Recovery)
    /// There is no file that could be used: messages are in memory alone.
    case memoryOnly(OutboxCondition.Problem)
    /// There is a file again; it has the messages that memory held.
    case fileInUse(path: String)
    /// The counters of a class were not those of its rows; now they are.
    case mended(CountDifference)
    /// What could be read of a damaged file waits for the upstream.
    case salvaged(OutboxStore.Salvage)
    /// A damaged file cannot be brought in yet. It stays where it is and is tried again.
    case unsalvaged(path: String, OutboxCondition.Problem)
}

/// What the file said of a class, and what its rows say.
package struct CountDifference: Hashable, Sendable {
    package var deliveryClass: DeliveryClass
    /// Messages, gap records included.
    package var told: Int64
    package var counted: Int64

    package init(deliveryClass: DeliveryClass, told: Int64, counted: Int64) {
        self.deliveryClass = deliveryClass
        self.told = told
        self.counted = counted
    }
}
