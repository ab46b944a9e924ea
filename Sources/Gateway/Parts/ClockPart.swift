import Logging
import Outbox
import Readings
import Timekeeping

/// Keeps the time that is known over a power cut, and tells the outbox when there is one.
struct ClockPart: Part {
    let name = PartName(.clock)
    let file: ClockFile
    let time: any TimeSource
    let outbox: OutboxStore
    let logger: Logger

    func run(_ life: PartLife) async {
        life.isRunning()
        await life.stop.cancel { await follow() }
        if let lasting = time.lasting { file.write(unixNanoseconds: lasting) }
    }

    private func follow() async {
        var isTrusted: Bool?
        var schedule = ClockFile.Schedule()
        while !Task.isCancelled {
            let now = time.now()
            if isTrusted != (now.quality == .synced) {
                isTrusted = now.quality == .synced
                if isTrusted == true {
                    logger.info("the clock is trusted")
                } else {
                    logger.warning(
                        "the clock is not trusted: readings get their wall time once it is",
                        metadata: [
                            "try":
                                "timedatectl (is there an NTP server?), a GPS receiver, or time_topic in [upstream]"
                        ])
                }
            }
            if isTrusted == true { await outbox.clockIsTrusted() }
            if let lasting = time.lasting, schedule.isDue(lasting, now: now.instant) {
                file.write(unixNanoseconds: lasting)
            }
            try? await Task.sleep(for: .seconds(5))
        }
    }
}
