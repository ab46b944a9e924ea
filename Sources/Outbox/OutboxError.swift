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
    /// A damaged file that was moved aside cannot be read.
    case salvage(DamagedFile.Failure)
    /// A class that the configuration does not name.
    case unknownClass(DeliveryClass)
    /// `close()` was called.
    case closed

    package var description: String {
        switch self {
        case .database(let error): error.description
        case .thread(let error): error.description
        case .quarantine(let path, let code):
            "cannot move the damaged outbox \(path) aside: errno \(code)\n"
                + "  try: check that the service's user may write in its folder"
        case .salvage(let failure):
            "\(failure)\n  try: check the storage (journalctl -k); the file stays where it is and is tried again"
        case .unknownClass(let name):
            "cannot use the class \(name): there is no such class\n  try: see them with tidegate queue, or add a [class.\(name)] table to the settings"
        case .closed: "cannot use the outbox: it is closed"
        }
    }
}
