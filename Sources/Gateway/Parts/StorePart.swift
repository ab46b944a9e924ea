/// A file that is opened before anything else, and that its store itself replaces when it is damaged: it is in the table
/// of parts for what is wrong with it.
struct StorePart: Part {
    let name: PartName
    /// Cheap; any thread.
    let failure: @Sendable () -> PartFailure?

    var problem: PartFailure? { failure() }

    func run(_ life: PartLife) async {
        life.isRunning()
        await life.stop.wait()
    }
}
