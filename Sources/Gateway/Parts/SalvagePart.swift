import Logging
import Outbox

/// Brings in what can be read of damaged outbox files, also of those that an earlier process left.
struct SalvagePart: Part {
    let name = PartName(.salvage)
    let outbox: OutboxStore
    /// Yields whenever the outbox found its file damaged.
    let damage: AsyncStream<Void>
    let again: AsyncStream<Void>.Continuation
    let logger: Logger

    func run(_ life: PartLife) async {
        life.isRunning()
        await life.stop.cancel {
            again.yield()
            for await _ in damage where !Task.isCancelled { await salvage() }
        }
        // The stream ends with the gateway.
        await life.stop.wait()
    }

    private func salvage() async {
        for file in outbox.damagedFiles {
            do {
                let salvage = try await outbox.salvage(file.path, number: file.number)
                logger.notice(
                    "what could be read of a damaged outbox waits for the upstream",
                    metadata: [
                        "file": "\(salvage.file)", "saved": "\(salvage.saved)", "lost": "\(salvage.lost)",
                    ])
            } catch {
                logger.error("a damaged outbox cannot be salvaged yet", metadata: ["error": "\(error)"])
                Task.detached { [again] in
                    try? await Task.sleep(for: .seconds(30))
                    again.yield()
                }
                break
            }
        }
    }
}
