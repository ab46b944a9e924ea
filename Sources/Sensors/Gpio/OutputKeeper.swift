import CGpiod
import Glibc
import Readings

/// The line keeper: a process that keeps outputs open while the gateway is away, so that a restart or a crash moves no
/// relay, and that ends a pulse at its time whether the gateway is there or not.
///
/// Its calls block for some milliseconds, and for 2 s at most.
struct OutputKeeper: Sendable {
    private let socketPath: String
    /// Of the keeper that an earlier version of the gateway started, and an upgrade left running.
    private let oldSocketPath: String

    /// - Parameter directory: where its socket is; `nil` where no file can be kept.
    init?(directory: String?) {
        guard let directory else { return nil }
        socketPath = "\(directory)/keeper"
        oldSocketPath = "\(directory)/lines"
    }

    /// A line as it is configured: with other settings it is another output.
    struct Variant: Hashable, Sendable {
        /// Of the line.
        var identity: String
        var activeLow: Bool
        var drive: Int

        /// A line with every setting.
        static func all(of identity: String) -> [Self] {
            [false, true].flatMap { activeLow in
                [CGPIOD_PUSH_PULL, CGPIOD_OPEN_DRAIN, CGPIOD_OPEN_SOURCE].map {
                    Self(identity: identity, activeLow: activeLow, drive: $0)
                }
            }
        }

        /// The keeper's name for it.
        var name: String { "\(identity) \(activeLow ? "low" : "high") \(drive)" }
    }

    /// An output that was kept.
    struct Kept {
        /// To be closed.
        var descriptor: Int32
        /// What is still to come.
        var changes: OutputChanges
    }

    /// The output, when the keeper has it.
    func kept(_ variant: Variant) -> Kept? {
        var changes = cgpiod_changes()
        let descriptor = cgpiod_kept(socketPath, variant.name, &changes)
        if descriptor >= 0 { return Kept(descriptor: descriptor, changes: OutputChanges(changes)) }
        let old = cgpiod_kept_by_old(oldSocketPath, variant.name)
        guard old >= 0 else { return nil }
        // The old keeper ends once it has nothing left.
        if keep(old, as: variant) == nil { _ = cgpiod_release_by_old(oldSocketPath, variant.name) }
        return Kept(descriptor: old, changes: OutputChanges())
    }

    /// Hands a copy over, without changes to come.
    /// - Returns: `errno` when that fails.
    func keep(_ descriptor: Int32, as variant: Variant) -> Int32? {
        cgpiod_keep(socketPath, variant.name, descriptor) == 0 ? nil : errno
    }

    /// Sets the output and replaces the changes to come, in one step.
    /// - Returns: `errno` when that fails, `ENOENT` when the keeper does not have the output.
    func set(_ value: Bool, then changes: OutputChanges, of variant: Variant) -> Int32? {
        var changes = changes.forKeeper
        return cgpiod_kept_set(socketPath, variant.name, value, &changes) == 0 ? nil : errno
    }

    /// Releases the line however it is configured; false when the keeper did not have it.
    func release(_ identity: String) -> Bool {
        var wasKept = false
        for variant in Variant.all(of: identity) {
            if cgpiod_release(socketPath, variant.name) == 0 { wasKept = true }
            if cgpiod_release_by_old(oldSocketPath, variant.name) == 0 { wasKept = true }
        }
        return wasKept
    }
}

extension OutputChanges {
    /// As the keeper has it.
    fileprivate init(_ changes: cgpiod_changes) {
        func change(_ at: Int64, _ value: Bool) -> Change? {
            at == 0 ? nil : Change(at: Instant(nanoseconds: at), value: value)
        }
        self.init(
            pulseEnd: change(changes.boot_ns.0, changes.value.0), safe: change(changes.boot_ns.1, changes.value.1))
    }

    fileprivate var forKeeper: cgpiod_changes {
        cgpiod_changes(
            boot_ns: (pulseEnd?.at.nanoseconds ?? 0, safe?.at.nanoseconds ?? 0),
            value: (pulseEnd?.value ?? false, safe?.value ?? false))
    }
}
