internal import Glibc

/// The kernel's clocks that never jump (clock_gettime(2)), in nanoseconds. Cost: no system call.
package enum KernelClock {
    /// Since boot, time spent suspended not counted: what poll(2) and the kernel's GPIO events use.
    package static var monotonic: Int64 { read(CLOCK_MONOTONIC) }

    /// Since boot, time spent suspended included.
    package static var boot: Int64 { read(CLOCK_BOOTTIME) }

    private static func read(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
