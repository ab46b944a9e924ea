import CGpiod
import Glibc

/// The process that keeps outputs open while the gateway is away, so that no relay follows a restart or a crash.
///
/// Its calls block for some milliseconds at most; they are made when a line is opened, not while it is used.
struct LineHolder: Sendable {
    private let socketPath: String

    /// - Parameter directory: where its socket is; `nil` where nothing can be kept.
    init?(directory: String?) {
        guard let directory else { return nil }
        socketPath = "\(directory)/lines"
    }

    /// A line as it is configured: with other settings it is another output.
    struct Variant: Sendable {
        /// Of the line.
        var identity: String
        var activeLow: Bool
        var drive: Int

        fileprivate var name: String { "\(identity) \(activeLow ? "low" : "high") \(drive)" }
    }

    /// The output, when it is held; to be closed.
    func held(_ variant: Variant) -> Int32? {
        let descriptor = cgpiod_held(socketPath, variant.name)
        return descriptor >= 0 ? descriptor : nil
    }

    /// Hands a copy over; `errno` when it fails.
    func hold(_ descriptor: Int32, as variant: Variant) -> Int32? {
        cgpiod_hold(socketPath, variant.name, descriptor) == 0 ? nil : errno
    }

    /// Lets go of the line however it is configured; false when it was not held.
    func letGo(_ identity: String) -> Bool {
        var wasHeld = false
        for activeLow in [false, true] {
            for drive in [CGPIOD_PUSH_PULL, CGPIOD_OPEN_DRAIN, CGPIOD_OPEN_SOURCE] {
                let variant = Variant(identity: identity, activeLow: activeLow, drive: drive)
                if cgpiod_let_go(socketPath, variant.name) == 0 { wasHeld = true }
            }
        }
        return wasHeld
    }
}
