package import MQTT

/// When retained messages are written to flash. They are last values: of a topic that changes once a second a day has
/// 86,400, of which one matters. So a topic is written at most once per turn, however often it changed, and turns come
/// as often as a budget of flash allows. Pure; times are nanoseconds of one clock that does not jump.
///
/// A power cut or a kill loses the changes since the last turn that no PUBACK waited for: a second's where little changes,
/// up to ``longestPause`` where a lot does.
package struct RetainedSchedule {
    /// Bytes of flash a second that retained messages may cost: 26 MB a day.
    package static let bytesPerSecond: Int64 = 300
    /// Bytes that were not used so far and may be used at once.
    static let burst: Int64 = 16 << 10
    /// How long changes are gathered when nothing was written for a while.
    package static let gathering: Int64 = 1_000_000_000
    /// The longest pause between two turns. Where more topics change than the budget pays for, this bounds what is lost.
    package static let longestPause: Int64 = 600_000_000_000
    /// Acknowledgements beyond the budget wait together for a write, for so long.
    static let acknowledgementPause: Int64 = 250_000_000

    /// Topics whose last value is not on its way to the disk.
    package private(set) var topics: Set<WireText> = []
    /// When the first of them changed.
    private var changedAt: Int64 = 0
    /// Bytes to be used, as of `at`; below zero the next turn waits.
    private var credit = Self.burst
    private var at: Int64

    package init(now: Int64) { at = now }

    package mutating func note(_ topic: String, now: Int64) {
        if topics.isEmpty { changedAt = now }
        topics.insert(WireText(topic))
    }

    /// The topic goes to the disk by another way.
    package mutating func remove(_ topic: String) { topics.remove(WireText(topic)) }

    /// There is something to be used right now.
    package func hasCredit(now: Int64) -> Bool { credit(now: now) > 0 }

    /// When the next turn is; `nil` while nothing waits.
    package var dueAt: Int64? {
        guard !topics.isEmpty else { return nil }
        let missing = max(0, 1 - credit)
        let pause = missing > 0 ? min(Self.longestPause, missing * 1_000_000_000 / Self.bytesPerSecond + 1) : 0
        return max(changedAt + Self.gathering, at + pause)
    }

    /// The turn has come: what is to be written, all of it.
    package mutating func take() -> Set<WireText> {
        defer { topics = [] }
        return topics
    }

    /// `count` retained messages of `bytes` bytes together are written now.
    package mutating func spend(count: Int, bytes: Int, now: Int64) {
        guard count > 0 else { return }
        // Rows of 4 KiB pages that are three quarters full; one more for the page above them, and one that is begun.
        let pages = Int64(1 + (bytes + count * 80) * 4 / (3 * 4_096) + 1)
        let floor = -Self.longestPause / 1_000_000_000 * Self.bytesPerSecond
        credit = max(floor, credit(now: now) - pages * 4_096)
        at = now
    }

    private func credit(now: Int64) -> Int64 {
        let earned = max(0, now - at) / 1_000_000 * Self.bytesPerSecond / 1_000
        return min(Self.burst, credit + earned)
    }
}
