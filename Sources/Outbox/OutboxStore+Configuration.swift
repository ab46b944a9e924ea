package import Readings

extension OutboxStore {
    /// Where the store lies and what it may keep.
    package struct Configuration: Sendable {
        /// The database file, in a folder that exists; its log lies beside it with `-wal` appended.
        package var path: String
        /// The delivery classes and their bounds.
        package var classes: [DeliveryClass: ClassLimits]
        /// The bounds of a class that the file knows and `classes` does not, until it is drained: by default none, so that
        /// nothing is lost because a class is no longer in the settings.
        package var otherClasses = ClassLimits.unlimited
        /// Where the age of messages is counted.
        package var time: any TimeSource
        /// The boot that `time`'s instants belong to.
        package var boot: BootID
        /// The upstream topic of a class's gap records; called on the outbox's thread.
        package var gapTopic: @Sendable (DeliveryClass) -> String
        /// How long to wait for another process to let go of the file.
        package var lockTimeoutMilliseconds: Int32 = 2000
        /// Stored messages that are on their way, or settled and not recorded as such, at most: what a crash would
        /// deliver again.
        package var window = Int.max
        /// What may be in memory alone, all classes together, before it is stored whatever the link does.
        package var memoryMessages = 16_384
        package var memoryBytes: Int64 = 8 << 20
        /// Bytes of the file system that only classes with ``ClassLimits/isReserved`` use. Half of them are held by a file
        /// beside the database, lest somebody else take them.
        package var minimumFree: Int64 = 0
        /// Where the file cannot be opened at the start, and it is neither in use by another process nor of a newer version,
        /// the outbox works in memory until it can be.
        package var startsWithoutFile = false
        /// The file may not grow beyond this many pages of 4 KiB; `nil` for no limit but the disk's.
        package var maximumPages: Int?

        /// The bounds of a class, or of what a salvage made of one.
        /// - Parameter retired: of classes that were in `classes` before.
        func limits(of name: DeliveryClass, retired: [DeliveryClass: ClassLimits] = [:]) -> ClassLimits {
            guard let salvaged = name.salvaged else { return classes[name] ?? retired[name] ?? otherClasses }
            var limits = classes[salvaged] ?? retired[salvaged] ?? otherClasses
            // It comes beside what is new, which must not wait for it.
            limits.overflow = .dropOldest
            limits.order = .interleave
            limits.priority = 1
            return limits
        }

        /// - Parameter boot: without one the kernel's own; where that is not known, a random one, so that no age is
        ///   ever counted across what may be two boots.
        package init(
            path: String, classes: [DeliveryClass: ClassLimits] = [.telemetry: ClassLimits()],
            time: any TimeSource, boot: BootID? = nil,
            gapTopic: @escaping @Sendable (DeliveryClass) -> String
        ) {
            self.path = path
            self.classes = classes
            self.time = time
            self.boot = boot ?? .current() ?? BootID("unknown-\(UInt64.random(in: 0 ... .max))")
            self.gapTopic = gapTopic
        }
    }
}
