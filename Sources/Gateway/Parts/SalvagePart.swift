import Outbox

/// Brings in what can be read of damaged outbox files, also of those that an earlier process left. What cannot be brought
/// in is in the log and in the outbox file's row of the table.
struct SalvagePart: Part {
    let name = PartName(.salvage)
    let outbox: OutboxStore

    func run(_ life: PartLife) async {
        life.isRunning()
        await life.stop.cancel { await outbox.salvageDamagedFiles() }
        // The outbox may have been closed before.
        await life.stop.wait()
    }
}
