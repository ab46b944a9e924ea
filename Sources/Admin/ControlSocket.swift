import Glibc

/// Where the control sockets of a gateway lie.
///
/// One lies in the data directory. Two lie in the runtime directory, which is there when the disk is not: one named after
/// the data directory, and one named after the settings file, by which a command finds the gateway whose `data_dir` has
/// changed in that file.
package enum ControlSocket {
    /// In the data directory.
    package static func path(inDataDirectory directory: String) -> String { "\(directory)/control.sock" }

    /// Where the gateway itself opens its sockets: of the runtime directories systemd's `RUNTIME_DIRECTORY`, `/run/tidegate`
    /// for root, or the user's own is taken, the first that can be written to.
    package static func paths(dataDirectory: String, settingsPath: String?) -> [String] {
        let given = environment("RUNTIME_DIRECTORY").flatMap { $0.split(separator: ":").first.map(String.init) }
        let candidates = [given].compactMap { $0 } + (geteuid() == 0 ? [runtimeDirectory] : []) + userDirectories
        let directory = candidates.first { directory in
            mkdir(directory, 0o755)
            return access(directory, W_OK | X_OK) == 0
        }
        if let directory { removeAbandoned(in: directory) }
        let names = [dataDirectory, settingsPath].compactMap { $0 }
        return (directory.map { directory in names.map { path(in: directory, $0) } } ?? [])
            + [path(inDataDirectory: dataDirectory)]
    }

    /// The socket to ask the gateway of a data directory on: the first that is answered; the data directory's where none
    /// is. Cost: a connection or two.
    package static func path(in dataDirectory: String) -> String {
        answered([dataDirectory], otherwise: path(inDataDirectory: dataDirectory))
    }

    /// The socket to ask the gateway on that runs on a settings file, or else on a data directory.
    package static func path(settingsPath: String, dataDirectory: String) -> String {
        answered([settingsPath, dataDirectory], otherwise: path(inDataDirectory: dataDirectory))
    }

    private static func answered(_ names: [String], otherwise inDataDirectory: String) -> String {
        let candidates = names.flatMap { name in
            ([runtimeDirectory] + userDirectories).map { path(in: $0, name) }
        }
        return (candidates + [inDataDirectory]).first { (try? ControlClient.isAnswered(socketPath: $0)) == true }
            ?? inDataDirectory
    }

    /// Removes the sockets of gateways that were killed.
    private static func removeAbandoned(in directory: String) {
        guard let stream = opendir(directory) else { return }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard name.hasPrefix("control-"), name.hasSuffix(".sock") else { continue }
            let path = "\(directory)/\(name)"
            if (try? ControlClient.isAnswered(socketPath: path)) == false { unlink(path) }
        }
    }

    private static let runtimeDirectory = "/run/tidegate"

    private static var userDirectories: [String] {
        environment("XDG_RUNTIME_DIR").map { ["\($0)/tidegate"] } ?? []
    }

    private static func path(in directory: String, _ name: String) -> String {
        "\(directory)/control-\(digest(of: name)).sock"
    }

    /// 16 hexadecimal digits: 64-bit FNV-1a of a file's real path, or of its name where it is not there.
    private static func digest(of path: String) -> String {
        let real = realpath(path, nil)
        defer { free(real) }
        var name = real.map { String(cString: $0) } ?? path
        while name.utf8.count > 1, name.utf8.last == UInt8(ascii: "/") { name.removeLast() }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
}
