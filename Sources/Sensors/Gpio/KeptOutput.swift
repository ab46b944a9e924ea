import CGpiod
import Glibc
import Linux
import Readings

/// An open output line. A copy of its descriptor is with the line keeper, so closing it changes nothing outside.
///
/// What was promised to happen to it, as the end of a pulse, is with the keeper and in a file before the line moves: it
/// happens also when this process dies at once. One task uses it.
struct KeptOutput: ~Copyable {
    private let descriptor: Int32
    private let doing: String
    private let variant: OutputKeeper.Variant
    private let keeper: OutputKeeper?
    private let record: OutputRecord?
    /// The record shall survive a power cut. Where the line starts in a configured state then, it is of no use.
    private let outlivesPowerCut: Bool
    /// What was to come when the line was opened.
    let resumed: OutputChanges
    /// `nil`: the keeper or the file may have something else.
    private var promised: OutputChanges?
    /// What of the keeping does not work; `nil`: all of it does.
    private(set) var problem: SensorError?

    /// - Parameter initial: what it becomes where the keeper does not have it; `nil`: it stays as it is.
    init(
        _ address: LineAddress, activeLow: Bool, drive: Int, initial: Bool?, _ context: SensorContext
    ) throws(SensorError) {
        let doing = "drive the GPIO line \(address)"
        let found = try address.find(doing: doing)
        let variant = OutputKeeper.Variant(identity: found.identity, activeLow: activeLow, drive: drive)
        let keeper = OutputKeeper(directory: context.directory)
        let record = context.directory.map { OutputRecord(directory: $0, name: variant.name) }
        var resumed = OutputChanges()
        var opened: Int32?
        if let kept = keeper?.kept(variant) {
            if cgpiod_value(kept.descriptor) >= 0 {
                // The keeper moves the line by itself, so its word counts and not the file's.
                opened = kept.descriptor
                resumed = kept.changes
                if resumed.isEmpty { record?.remove() }
            } else {
                // The chip was unplugged meanwhile.
                close(kept.descriptor)
                _ = keeper?.release(found.identity)
            }
        }
        var problem: Int32?
        if opened == nil {
            var value = initial
            switch record?.read() ?? .none {
            case .none: break
            case .ofThisBoot(let changes): resumed = changes
            case .ofAnotherBoot(let changes):
                // A power cut fell into a pulse. How long it has been is not known, so it is over.
                value = value ?? changes.pulseEnd?.value
                record?.remove()
            }
            let wanted = value.map { $0 ? 1 : 0 } ?? CGPIOD_KEEP
            let new = try found.requestDescriptor(doing: doing, keeper: keeper) { found in
                cgpiod_output_open(found.chip, found.offset, "tidegate", activeLow, Int32(drive), Int32(wanted))
            }
            opened = new
            problem = keeper?.keep(new, as: variant)
            // Of the same line with other settings, which it has no longer.
            for other in OutputKeeper.Variant.all(of: found.identity) where other != variant {
                context.directory.map { OutputRecord(directory: $0, name: other.name).remove() }
            }
        }
        // Properties only from here on, where nothing throws: Swift 6.2.3 fails on leaving a ~Copyable value half-made.
        descriptor = opened ?? -1
        self.doing = doing
        self.variant = variant
        self.keeper = keeper
        self.record = record
        outlivesPowerCut = initial == nil
        self.resumed = resumed
        promised = resumed.isEmpty ? resumed : nil
        self.problem = problem.map { Self.keeperProblem(doing, $0) }
    }

    deinit { close(descriptor) }

    /// The line's value now, as the kernel reads it.
    func value() throws(SensorError) -> Bool {
        let value = cgpiod_value(descriptor)
        guard value >= 0 else { throw SensorError(doing: doing, code: errno) }
        return value == 1
    }

    /// Replaces what is to come, and leaves the line as it is.
    mutating func promise(_ changes: OutputChanges) throws(SensorError) {
        if changes != promised { try set(try value(), then: changes) }
    }

    /// Sets the line. `changes` happen afterwards, whatever becomes of this process; whenever it dies, either this call has
    /// done nothing or they will happen.
    mutating func set(_ value: Bool, then changes: OutputChanges) throws(SensorError) {
        if changes == promised { return try setLine(value) }
        if !changes.isEmpty { write(changes) }
        if let keeper {
            var failed = keeper.set(value, then: changes, of: variant)
            if failed == ENOENT {
                // The keeper died. What it was told is told again, to a new one.
                failed = keeper.keep(descriptor, as: variant) ?? keeper.set(value, then: changes, of: variant)
            }
            if let failed {
                problem = Self.keeperProblem(doing, failed)
                try setLine(value)
            }
        } else {
            try setLine(value)
        }
        if changes.isEmpty, let record {
            record.remove()
            if outlivesPowerCut { record.syncSoon() }
        }
        promised = changes
    }

    private func setLine(_ value: Bool) throws(SensorError) {
        guard cgpiod_set(descriptor, value) == 0 else { throw SensorError(doing: doing, code: errno) }
    }

    /// Without the file the keeper still does its part: the command is carried out, and the problem is told.
    private mutating func write(_ changes: OutputChanges) {
        guard let record else { return }
        do throws(SystemCallError) {
            try record.write(changes)
            // The line does not wait for the disk.
            if outlivesPowerCut, changes.pulseEnd != nil { record.syncSoon() }
        } catch {
            problem = SensorError(error)
        }
    }

    private static func keeperProblem(_ doing: String, _ code: Int32) -> SensorError {
        SensorError(
            doing: "\(doing) while the gateway is away", code: code,
            remedies: [
                ENAMETOOLONG: "choose a shorter data_dir",
                ENOSPC: "the line keeper has 64 outputs, and takes no more",
            ])
    }
}
