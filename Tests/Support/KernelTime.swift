import Glibc
package import Readings

/// The kernel's clocks, said to be synchronised.
package struct KernelTime: TimeSource {
    package init() {}

    package func now() -> Timestamp {
        func read(_ clock: clockid_t) -> Int64 {
            var spec = timespec()
            clock_gettime(clock, &spec)
            return Int64(spec.tv_sec) * 1_000_000_000 + Int64(spec.tv_nsec)
        }
        return Timestamp(
            instant: Instant(nanoseconds: read(CLOCK_BOOTTIME)), unixNanoseconds: read(CLOCK_REALTIME), quality: .synced
        )
    }
}
