import Admin
package import Configuration
import Glibc
import Linux
import Upstream

/// Gathers what somebody far away needs to help: one archive, without secrets and without what devices have sent.
package struct SupportBundle: Sendable {
    private let settingsPath: String
    private let settings: GatewaySettings

    /// - Parameter path: the settings file.
    package init(_ path: String) {
        settingsPath = path
        settings = SettingsLoader.loadWhatCanBeUsed(path).settings
    }

    /// Writes the archive (tar, gzip) for the caller alone.
    /// - Parameter target: its path; a file that is there already is kept.
    package func write(to target: String) async throws(GatewayError) {
        let doing = "write the support bundle \(target)"
        func failure(_ code: Int32) -> GatewayError {
            if code == EEXIST {
                return GatewayError(
                    .usage, doing: doing, reason: "it is there already", remedy: "name another file with --output")
            }
            return GatewayError(
                code == EACCES ? .permission : .io, doing: doing, reason: ErrnoText.text(code),
                remedy: "name a file in a folder that can be written to with --output")
        }
        // Gathering takes a while: what cannot be written is told before.
        guard access(target, F_OK) != 0 else { throw failure(EEXIST) }
        let folder = target.lastIndex(of: "/").map { String(target[...$0]) } ?? "."
        guard access(folder, W_OK | X_OK) == 0 else { throw failure(errno) }
        var redaction = Redaction(settings)
        let files = settingsFiles
        for file in files { redaction.learn(from: file.text) }
        var archive = TarArchive()
        let now = Int64(Glibc.time(nil))
        for (name, text) in await contents() + files {
            let bytes = redaction.applied(to: text, isSettings: name.hasPrefix("settings-"))
            archive.add("tidegate-bundle/\(name)", bytes, modified: now)
        }
        guard let packed = archive.packed() else { throw failure(ENOMEM) }
        let file = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure(errno) }
        defer { close(file) }
        var rest = packed[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let code = errno
                unlink(target)
                throw failure(code)
            }
            rest = rest.dropFirst(count)
        }
    }

    /// The settings as they are, by the names that they get in the archive.
    private var settingsFiles: [(name: String, text: String)] {
        SettingsLoader.load(settingsPath).files.enumerated().compactMap { number, path in
            guard let bytes = try? SmallFile.read(path, limit: 1 << 20) else { return nil }
            let name = path.split(separator: "/").last.map(String.init) ?? "\(number)"
            return ("settings-\(number)-\(name)", String(decoding: bytes, as: UTF8.self))
        }
    }

    private func contents() async -> [(name: String, text: String)] {
        let doctor = Doctor(settingsPath)
        let report = await doctor.examine()
        var contents: [(name: String, text: String)] = [
            ("version.txt", GatewayVersion.text), ("doctor.txt", ValueRedaction.text(report.text)),
            ("doctor.json", ValueRedaction.text(ControlClient.json(report))),
            ("wiring.txt", HardwareScan.text),
        ]
        if let status = doctor.status.map(ValueRedaction.status) {
            contents += [
                ("status.txt", ValueRedaction.text(status.text)),
                ("status.json", ValueRedaction.text(ControlClient.json(status))),
            ]
        }
        contents.append(("files.txt", files))
        contents.append(("system.txt", system))
        contents.append(
            (
                "log.txt",
                ValueRedaction.text(
                    said([
                        "journalctl", "--no-pager", "-o", "short-iso", "-n", "3000", "-u", "tidegate", "-u",
                        "tidegate-first-boot",
                    ]))
            ))
        contents.append(("kernel.txt", said(["journalctl", "--no-pager", "-k", "-n", "500"])))
        contents.append(
            (
                "unit.txt",
                said(["systemctl", "--no-pager", "status", "tidegate"]) + said(["systemctl", "cat", "tidegate"])
            ))
        return contents
    }

    /// What lies in the folders of settings and data: names, sizes, owners.
    private var files: String {
        let directories = [
            settingsPath.lastIndex(of: "/").map { String(settingsPath[..<$0]) } ?? ".", settings.gateway.dataDirectory,
        ]
        return directories.map { said(["ls", "-laR", $0]) }.joined(separator: "\n")
    }

    private var system: String {
        let programs = [
            ["uname", "-a"], ["uptime"], ["free"], ["df", "-h"], ["ip", "-brief", "address"], ["ip", "route"],
            ["timedatectl"], ["id", "tidegate"],
        ]
        let paths = [
            "/etc/os-release", "/proc/device-tree/model", "/etc/resolv.conf", "/proc/mounts", "/proc/cmdline",
            "/boot/firmware/config.txt",
        ]
        return
            (programs.map(said)
            + paths.map { path in
                let bytes = (try? SmallFile.read(path, limit: 256 << 10)) ?? []
                return "== \(path)\n" + String(decoding: bytes.filter { $0 != 0 }, as: UTF8.self)
            }).joined(separator: "\n")
    }

    private func said(_ words: [String]) -> String {
        let text = Command.run(words).map { String(decoding: $0.output, as: UTF8.self) } ?? "not available\n"
        return "== \(words.joined(separator: " "))\n\(text)"
    }
}
