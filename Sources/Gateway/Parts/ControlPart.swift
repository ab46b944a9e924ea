import Admin

/// One control socket, over which commands ask the running gateway. There is one in the runtime directory and one in the
/// data directory, so that a gateway whose data directory cannot be written can still be asked.
struct ControlPart: Part {
    let name: PartName
    private let path: String
    private let server: ControlServer

    init(path: String, server: ControlServer) {
        name = PartName(.control, path)
        self.path = path
        self.server = server
    }

    func run(_ life: PartLife) async throws(PartFailure) {
        do throws(ControlServer.Failure) {
            try await server.run(at: path, opened: { life.isRunning() }, until: { await life.stop.wait() })
        } catch {
            throw PartFailure(.outside, text: "\(error)")
        }
    }
}
