import Readings
import Testing
import Timekeeping
import Upstream

@testable import Gateway

@Suite struct UpstreamTimeTests {
    @Test(
        arguments: [
            ("1795500000", 1_795_500_000_000_000_000), ("1795500000123", 1_795_500_000_123_000_000), ("", nil),
            ("soon", nil), ("-1", nil), ("9223372036854775807", nil), ("1795500000.5", nil),
        ] as [(String, Int64?)])
    func theUpstreamsTime(text: String, unixNanoseconds: Int64?) {
        #expect(UpstreamTime.parse(Array(text.utf8)) == unixNanoseconds)
    }

    /// A message that waited at the broker tells the time of another hour.
    @Test func whatWaitedIsNotBelieved() {
        let time = SystemTime(floor: 1_795_500_000_000_000_000)
        var arrival = UpstreamArrival(topic: "time", payload: Array("1895500000".utf8), retain: false)
        arrival.mayHaveWaited = true
        UpstreamTime.tell(arrival, to: time)
        // Where the kernel's clock is synchronised its word goes before.
        guard time.now().quality == .unsynced else { return }
        arrival.mayHaveWaited = false
        UpstreamTime.tell(arrival, to: time)
        #expect(time.now().quality == .synced)
    }
}
