import Glibc
import NIOCore

/// The file of a control socket: told from another one that takes its path.
struct ControlSocketFile: Sendable {
    private let path: String
    private let device: UInt64
    private let inode: UInt64

    /// The file that lies at `path` now; `nil` where none does.
    init?(_ path: String) {
        var information = stat()
        guard lstat(path, &information) == 0 else { return nil }
        self.path = path
        device = UInt64(information.st_dev)
        inode = UInt64(information.st_ino)
    }

    /// It has not been removed or replaced. Cost: one system call.
    var isInPlace: Bool {
        var information = stat()
        return lstat(path, &information) == 0 && UInt64(information.st_dev) == device
            && UInt64(information.st_ino) == inode
    }

    /// Removes it if it is in its place.
    func remove() { if isInPlace { unlink(path) } }

    /// Removes a socket that no process listens on any more.
    /// - Throws: when something else lies at `path`, or a process listens there.
    static func makeRoom(at path: String) throws(ControlServer.Failure) {
        var information = stat()
        guard lstat(path, &information) == 0 else { return }
        guard information.st_mode & S_IFMT == S_IFSOCK else {
            throw ControlServer.Failure(
                description: "cannot open the control socket \(path): a file or folder that is no socket lies there"
                    + "\n  try: remove it")
        }
        var isAnswered = false
        do throws(ControlClient.Failure) {
            isAnswered = try ControlClient.isAnswered(socketPath: path)
        } catch {
            // A socket that cannot be asked is another user's.
            isAnswered = true
        }
        guard !isAnswered else {
            throw ControlServer.Failure(
                description: "cannot open the control socket \(path): another program listens there"
                    + "\n  try: find it with: ss -xlp, and stop it")
        }
        unlink(path)
    }

    static func failure(at path: String, _ error: any Error) -> ControlServer.Failure {
        let code = (error as? IOError)?.errnoCode
        let reason = code.map { String(cString: strerror($0)) } ?? "\(error)"
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        return ControlServer.Failure(
            description: "cannot open the control socket \(path): \(reason)"
                + "\n  try: make sure that \(folder) is there and that the gateway's user may write to it")
    }

    static func taken(_ path: String) -> ControlServer.Failure {
        ControlServer.Failure(
            description: "the control socket \(path) was removed or replaced by another program"
                + "\n  try: leave that file to the gateway, which makes it again")
    }
}
