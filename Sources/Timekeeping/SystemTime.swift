import CLinux
import Glibc
package import Readings
import Synchronization

/// The kernel's clocks, and what is known besides of the time.
///
/// `now()` costs two vDSO calls; whether the clock is synchronised is asked of the kernel at most once a second, since
/// adjtimex(2) is a real system call.
package final class SystemTime: TimeSource {
    private struct State {
        var checkedAt: Int64 = .min
        var isSynced = false
        var clock: TrustedClock
    }

    private let state: Mutex<State>

    /// - Parameter floor: the last time that was known, Unix nanoseconds.
    package init(floor: Int64 = SystemTime.built) {
        state = Mutex(State(clock: TrustedClock(floor: floor, built: Self.built, boot: Self.read(CLOCK_BOOTTIME))))
    }

    /// When this program was built, Unix nanoseconds: no time is before it.
    package static let built = clinux_build_time() * 1_000_000_000

    package func now() -> Timestamp { look { $0.now(boot: $1, wall: $2, isSynced: $3) } }

    package var lasting: Int64? { look { $0.lasting(boot: $1, wall: $2, isSynced: $3) } }

    private func look<R>(_ body: (_ clock: TrustedClock, _ boot: Int64, _ wall: Int64, _ isSynced: Bool) -> R) -> R {
        let boot = Self.read(CLOCK_BOOTTIME)
        let wall = Self.read(CLOCK_REALTIME)
        return state.withLock { state in
            if state.checkedAt == .min || boot - state.checkedAt >= 1_000_000_000 {
                state.checkedAt = boot
                state.isSynced = clinux_clock_is_synced()
            }
            return body(state.clock, boot, wall, state.isSynced)
        }
    }

    /// It counts while the kernel's clock is not synchronised.
    @discardableResult
    package func offer(utc: Int64, at instant: Instant) -> Bool {
        state.withLock { $0.clock.offer(utc: utc, at: instant) }
    }

    private static func read(_ clock: clockid_t) -> Int64 {
        var spec = timespec()
        clock_gettime(clock, &spec)
        return Int64(spec.tv_sec) * 1_000_000_000 + Int64(spec.tv_nsec)
    }
}
