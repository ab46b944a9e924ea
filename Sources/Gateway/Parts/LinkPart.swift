import Logging
import Outbox
import Readings
import Upstream

/// The way upstream, with one configuration. Each run makes a link of its own.
///
/// A broker that is away does not fail the part: the link itself connects again. The part fails when the link's thread
/// cannot be started, or hangs for good.
struct LinkPart: Part {
    let name = PartName(.upstream)
    let configuration: UpstreamConfiguration
    let outbox: OutboxStore
    let current: CurrentLink
    let commands: CommandRouter
    let time: any TimeSource
    let logger: Logger

    /// How long a stop waits for the acknowledgements of what is in flight.
    private static let drain = Duration.milliseconds(2_500)

    var problem: PartFailure? { current.link?.snapshot().failure }

    func run(_ life: PartLife) async throws(PartFailure) {
        let link: UpstreamLink
        do throws(LinkFault) {
            let commands = commands
            link = try UpstreamLink(
                configuration: configuration, outbox: outbox, time: time,
                accepted: { commands.accept($0, receipt: $1) }, logger: logger)
        } catch {
            throw PartFailure(.outside, text: "\(error)")
        }
        current.set(link)
        defer { current.set(nil) }
        life.isRunning()
        let fault = await withTaskGroup(of: LinkFault?.self) { tasks -> LinkFault? in
            tasks.addTask {
                do throws(LinkFault) {
                    try await link.run()
                    return nil
                } catch {
                    return error
                }
            }
            tasks.addTask {
                await life.stop.wait()
                link.shutdown(deadline: time.now().instant + Self.drain)
                return nil
            }
            let first = await tasks.next() ?? nil
            // The link has failed, or it is told to stop: then its end is waited for.
            if first == nil, life.stop.hasHappened { return await tasks.next() ?? nil }
            tasks.cancelAll()
            return first
        }
        if let fault { throw PartFailure(.inside, text: "\(fault)") }
    }
}

extension LinkSnapshot {
    /// What is wrong right now; `nil` when nothing is.
    var failure: PartFailure? {
        if !state.isUp, let lastFault { return PartFailure(.outside, text: "\(lastFault)") }
        if let refusal = refusedSubscriptions.first { return PartFailure(.outside, text: "\(refusal)") }
        if let certificateProblem {
            return PartFailure(
                .outside, text: "the certificates in the files are not in use: \(certificateProblem)")
        }
        return nil
    }
}
