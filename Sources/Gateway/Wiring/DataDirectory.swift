import Glibc

/// The folder that holds everything that must survive: the outbox, and the control socket beside it.
enum DataDirectory {
    /// Creates it, with its parents, when it is missing, and makes sure that it can be used.
    static func prepare(_ path: String) throws(GatewayError) {
        let doing = "use the data directory \(path)"
        guard UnixSocketAddress(ControlSocket.path(in: path)) != nil else {
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

    private static func failure(doing: String, code: Int32, path: String) -> GatewayError {
        GatewayError(
            code == EACCES || code == EPERM ? .permission : .io, doing: doing,
            reason: String(cString: strerror(code)),
            remedy: code == EACCES || code == EPERM
                ? "run as the user that owns it, or name another with data_dir in [gateway]"
                : "check that the disk is mounted and writable, or name another with data_dir in [gateway]")
    }
}
