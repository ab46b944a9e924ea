import Glibc
import Linux

/// The folder that holds everything that must survive: the outbox, and the control socket beside it.
package enum DataDirectory {
    /// Creates it, with its parents, when it is missing, and makes sure that it can be used.
    package static func prepare(_ path: String) throws(GatewayError) {
        let doing = "use the data directory \(path)"
        guard (try? UnixSocketAddress("\(path)/control.sock")) != nil else {
            throw GatewayError(
                .configuration, doing: doing, reason: "its name is too long for a socket inside it",
                remedy: "choose a path of at most 90 characters for data_dir")
        }
        var partial = path.hasPrefix("/") ? "" : "."
        for component in path.split(separator: "/") {
            partial += "/\(component)"
            guard mkdir(partial, 0o750) == 0 || errno == EEXIST || access(partial, F_OK) == 0 else {
                throw failure(doing: doing, code: errno, path: path)
            }
        }
        guard access(path, R_OK | W_OK | X_OK) == 0 else { throw failure(doing: doing, code: errno, path: path) }
    }

    package static let outboxName = "outbox.db"

    package static func outbox(in directory: String) -> String { "\(directory)/\(outboxName)" }

    /// Makes sure that there is an outbox already: looking at a queue must not make one.
    package static func requireOutbox(in directory: String) throws(GatewayError) {
        let path = outbox(in: directory)
        guard access(path, F_OK) != 0 else { return }
        let code = errno
        throw GatewayError(
            code == EACCES ? .permission : .unavailable, doing: "open the queue \(path)",
            reason: ErrnoText.text(code),
            remedy: code == EACCES
                ? "run this as root or as the gateway's user"
                : "check data_dir in [gateway], or name the folder with --data-dir; a gateway that never ran has none")
    }

    /// Gives a database that was perhaps made by root to the directory's owner: root's files would lock the service's
    /// user out.
    package static func giveToOwner(_ directory: String, database name: String) {
        var information = stat()
        guard geteuid() == 0, stat(directory, &information) == 0, information.st_uid != 0 else { return }
        for suffix in ["", "-wal", "-shm"] {
            _ = lchown("\(directory)/\(name)\(suffix)", information.st_uid, information.st_gid)
        }
    }

    private static func failure(doing: String, code: Int32, path: String) -> GatewayError {
        GatewayError(
            code == EACCES || code == EPERM ? .permission : .io, doing: doing,
            reason: ErrnoText.text(code),
            remedy: code == EACCES || code == EPERM
                ? "run as the user that owns it, or name another with data_dir in [gateway]"
                : "check that the disk is mounted and writable, or name another with data_dir in [gateway]")
    }
}
