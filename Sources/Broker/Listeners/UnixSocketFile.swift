import Glibc
import NIOCore

/// The file that a Unix socket has in the file system (unix(7)): it outlives a program that was killed, and must be
/// removed then, but never while a program still listens there.
struct UnixSocketFile: Equatable {
    let path: String
    private let device: UInt64
    private let inode: UInt64

    /// The file at `path` as it is now; `nil` where there is none.
    init?(_ path: String) {
        guard let information = Self.information(path) else { return nil }
        self.path = path
        device = UInt64(information.st_dev)
        inode = UInt64(information.st_ino)
    }

    /// The path still leads to this file.
    var isInPlace: Bool { UnixSocketFile(path) == self }

    /// Removes the file, unless another has taken its place.
    func remove() {
        if isInPlace { unlink(path) }
    }

    /// Makes sure that a socket can be bound to the path: removes one that nobody listens on any more.
    /// - Parameter isTrial: only looks, and leaves a file that nobody listens on.
    static func makeRoom(for listener: Listener, at path: String, isTrial: Bool = false) throws(BrokerError) {
        guard let information = information(path) else {
            let code = errno
            guard code != ENOENT else { return try requireFolder(of: path, for: listener) }
            throw failure(listener, path, code)
        }
        guard information.st_mode & S_IFMT == S_IFSOCK else {
            let kind = information.st_mode & S_IFMT == S_IFDIR ? "folder" : "file"
            throw BrokerError(
                .path, doing: "listen on \(listener)", reason: "a \(kind) that is no socket has that path",
                remedy: "move \(path) away, or choose another path")
        }
        switch connectError(path) {
        case ECONNREFUSED: break
        case ENOENT: return
        case EACCES, EPERM:
            throw BrokerError(
                .permission, doing: "listen on \(listener)", reason: "another user's socket has that path",
                remedy: "see whose it is with: ls -l \(path); remove it, or choose another path")
        default:
            throw BrokerError(
                .addressInUse, doing: "listen on \(listener)", reason: "another program listens there",
                remedy: "see which with: ss -xlp src \(path); stop it, or choose another path")
        }
        guard !isTrial, unlink(path) != 0, errno != ENOENT else { return }
        throw failure(listener, path, errno)
    }

    private static func requireFolder(of path: String, for listener: Listener) throws(BrokerError) {
        guard let slash = path.lastIndex(of: "/") else { return }
        let folder = slash == path.startIndex ? "/" : String(path[..<slash])
        var information = stat()
        guard stat(folder, &information) != 0 else {
            guard information.st_mode & S_IFMT != S_IFDIR else { return }
            throw failure(listener, folder, ENOTDIR)
        }
        guard errno != ENOENT else {
            throw BrokerError(
                .path, doing: "listen on \(listener)", reason: "the folder \(folder) does not exist",
                remedy: "make it, for the gateway's user to write in; below /run, RuntimeDirectory= in the unit does")
        }
        throw failure(listener, folder, errno)
    }

    private static func failure(_ listener: Listener, _ path: String, _ code: Int32) -> BrokerError {
        BrokerError(
            code == EACCES || code == EPERM ? .permission : .path, doing: "listen on \(listener)",
            reason: "\(path): \(String(cString: strerror(code)))",
            remedy: "choose a folder that the gateway's user may write in")
    }

    private static func information(_ path: String) -> stat? {
        var information = stat()
        return lstat(path, &information) == 0 ? information : nil
    }

    /// What connecting to the socket comes to: 0 where a program listens. Never waits for that program.
    private static func connectError(_ path: String) -> Int32 {
        guard let address = try? SocketAddress(unixDomainSocketPath: path) else { return ENAMETOOLONG }
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        return address.withSockAddr { connect(descriptor, $0, socklen_t($1)) == 0 ? 0 : errno }
    }
}
