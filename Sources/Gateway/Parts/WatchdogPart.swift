/// Feeds systemd's watchdog for as long as the gateway gets on.
struct WatchdogPart: Part {
    let name = PartName(.watchdog)
    let watchdog: Watchdog

    func run(_ life: PartLife) async {
        life.isRunning()
        await life.stop.cancel { await watchdog.run() }
        await life.stop.wait()
    }
}
