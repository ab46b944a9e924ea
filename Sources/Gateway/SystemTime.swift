import CLinux
import Glibc
package import Readings
import Synchronization

/// The kernel's clocks.
///
/// `now()` costs two vDSO calls; whether the clock is synchronised is asked of the kernel at most once a second, since
/// adjtimex(2) is a real system call.
package final class SystemTime: TimeSource {
    private struct Trust {
        var checkedAt: Int64 = .min
        var synced = false
    }

    private let trust = Mutex(Trust())

    package init() {}

    package func now() -> Timestamp {
        let boot = Self.read(CLOCK_BOOTTIME)
        let wall = Self.read(CLOCK_REALTIME)
        let synced = trust.withLock { trust in
            if trust.checkedAt == .min || boot - trust.checkedAt >= 1_000_000_000 {
                trust = Trust(checkedAt: boot, synced: clinux_clock_is_synced())
            }
            return trust.synced
        }
        return Timestamp(
            instant: Instant(nanoseconds: boot), unixNanoseconds: wall, quality: synced ? .synced : .unsynced)
    }

    private static func read(_ clock: clockid_t) -> Int64 {
        var spec = timespec()
        clock_gettime(clock, &spec)
        return Int64(spec.tv_sec) * 1_000_000_000 + Int64(spec.tv_nsec)
    }
}
