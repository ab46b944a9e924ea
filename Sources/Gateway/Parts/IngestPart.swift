/// The way from the intake through the pipeline into the outbox.
struct IngestPart: Part {
    let name = PartName(.ingest)
    let ingest: Ingest
    let intake: GatewayIntake

    /// Stops once everything that came in is committed; a store that fails is given 1 s.
    func run(_ life: PartLife) async {
        life.isRunning()
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await ingest.run() }
            tasks.addTask {
                await life.stop.wait()
                intake.finish()
                try? await Task.sleep(for: .seconds(1))
            }
            await tasks.next()
            tasks.cancelAll()
        }
    }
}
