import Broker

/// The broker for the LAN: sessions, subscriptions, retained messages. Its listeners are parts of their own.
struct LanPart: Part {
    let name = PartName(.lan)
    let broker: BrokerServer

    /// Stops last of what devices see: takes no more from them, and lets acknowledgements leave while the ingest part
    /// still runs.
    func run(_ life: PartLife) async throws(PartFailure) {
        do throws(BrokerError) {
            try await broker.start()
        } catch {
            throw PartFailure(.outside, text: "\(error)")
        }
        life.isRunning()
        await life.stop.wait()
        await broker.shutdown(deadline: .seconds(1))
    }
}
