import Configuration

/// The folder of everything that must survive. Made when it is missing; looked at again until it can be used.
struct DataDirectoryPart: Part {
    let name: PartName
    private let path: String

    init(path: String) {
        name = PartName(.dataDirectory, path)
        self.path = path
    }

    func run(_ life: PartLife) async throws(PartFailure) {
        do throws(GatewayError) {
            try DataDirectory.prepare(path)
        } catch {
            throw PartFailure(.outside, text: "\(error)")
        }
        life.isRunning()
        await life.stop.wait()
    }
}
