package import Database
package import Readings

/// Why the outbox could not do something.
package enum OutboxError: Error, Hashable, Sendable, CustomStringConvertible {
    /// SQLite failed: the disk is full, the file is locked by another process or of a newer version, … Nothing of
    /// the call remains; the store stays usable.
    case database(SQLiteError)
    /// The outbox's thread could not be started.
    case thread(ThreadStartError)
    /// A damaged file could not be moved aside.
    case quarantine(path: String, code: Int32)
    /// A damaged file that was moved aside cannot be read, or not be renamed after it was read.
    case salvage(DamagedFile.Failure)
    /// While a damaged file was being brought in, a class came that needs a stream: it has to begin again.
    case salvageInterrupted(path: String)
    /// A class that the outbox does not have.
    case unknownClass(DeliveryClass)
    /// `close()` was called.
    case closed

    /// What was tried and why it failed, on one line.
    package var reason: String {
        switch self {
        case .database(let error): "cannot \(error.doing): \(error.reason)"
        case .thread(let error): error.description
        case .quarantine(let path, let code):
            "cannot move the damaged outbox \(path) aside: \(QuarantineError(path: path, code: code).reason)"
        case .salvage(let failure): "cannot read the damaged file \(failure.path): \(failure.reason)"
        case .salvageInterrupted(let path): "\(path) was not brought in to its end: a new class came"
        case .unknownClass(let name): "cannot use the class \(name): there is no such class"
        case .closed: "cannot use the outbox: it is closed"
        }
    }

    /// What a person can do; `nil` where there is nothing.
    package var remedy: String? {
        switch self {
        case .database(let error): error.remedy
        // The error's own text has it.
        case .thread: nil
        case .quarantine: "check that the service's user may write in its folder"
        case .salvage(let failure): "\(failure.remedy); the file stays where it is and is tried again"
        case .salvageInterrupted: nil
        case .unknownClass(let name):
            "see them with tidegate queue, or add a [class.\(name)] table to the settings"
        case .closed: nil
        }
    }

    package var description: String { reason + (remedy.map { "\n  try: \($0)" } ?? "") }

    /// Another try may succeed without anybody's doing anything to the file: the gateway can go on in memory until then.
    /// Not so where another process has the file, or a newer version wrote it.
    var isPassing: Bool {
        switch self {
        case .database(let error): error.condition != .locked && error.condition != .newerSchema
        case .quarantine: true
        case .thread, .salvage, .salvageInterrupted, .unknownClass, .closed: false
        }
    }
}
