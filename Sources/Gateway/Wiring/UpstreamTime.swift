import Readings
import Upstream

/// The time as the upstream tells it on `time_topic`: a number of Unix seconds or milliseconds.
enum UpstreamTime {
    /// Seconds of the year 2200; larger numbers are milliseconds.
    private static let largestSeconds: Int64 = 7_258_118_400

    /// Offers it as the time of now: what the line took is not known. What the broker may have kept is of some other time.
    static func tell(_ arrival: UpstreamArrival, to time: any TimeSource) {
        guard !arrival.mayHaveWaited, let utc = parse(arrival.payload) else { return }
        time.offer(utc: utc, at: time.now().instant)
    }

    /// Unix nanoseconds; `nil` when it is no such number.
    static func parse(_ payload: [UInt8]) -> Int64? {
        guard let text = String(validating: payload, as: UTF8.self), let number = Int64(text), number > 0 else {
            return nil
        }
        let (scaled, overflow) = number.multipliedReportingOverflow(
            by: number <= largestSeconds ? 1_000_000_000 : 1_000_000)
        return overflow ? nil : scaled
    }
}
