import Admin
import CLinux
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
    /// - Parameter target: its path; what is there already is kept.
    package func write(to target: String) async throws(GatewayError) {
        let doing = "write the support bundle \(target)"
        guard access(target, F_OK) != 0 else {
            throw GatewayError(
                .usage, doing: doing, reason: "it is there already", remedy: "name another with --output")
        }
        var template = Array("/tmp/tidegate-bundle-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw GatewayError(.io, doing: doing, reason: ErrnoText.last)
        }
        let folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        defer { clinux_remove_tree(folder) }
        let redaction = Redaction(settings)
        for (name, text) in await contents() {
            let file = open("\(folder)/\(name)", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard file >= 0 else { throw GatewayError(.io, doing: doing, reason: ErrnoText.last) }
            let bytes = redaction.applied(to: text, isSettings: name.hasPrefix("settings-"))
            _ = Glibc.write(file, bytes, bytes.count)
            close(file)
        }
        let mask = umask(0o077)
        defer { umask(mask) }
        let name = folder.split(separator: "/").last.map(String.init) ?? folder
        let packed = Command.run(
            ["tar", "-czf", target, "--transform", "s/^\(name)/tidegate-bundle/", "-C", "/tmp", name],
            patience: .seconds(60))
        guard let packed, packed.succeeded else {
            let words = packed.map { String(decoding: $0.output, as: UTF8.self) } ?? "tar cannot be started"
            throw GatewayError(
                .io, doing: doing, reason: words, remedy: "name a place that can be written to with --output")
        }
    }

    private func contents() async -> [(name: String, text: String)] {
        let doctor = Doctor(settingsPath)
        let report = await doctor.examine()
        var contents = [
            ("version.txt", GatewayVersion.text), ("doctor.txt", report.text),
            ("doctor.json", ControlClient.json(report)),
            ("wiring.txt", HardwareScan.text),
        ]
        if let status = doctor.status {
            contents += [("status.txt", status.text), ("status.json", ControlClient.json(status))]
        }
        for (number, path) in SettingsLoader.load(settingsPath).files.enumerated() {
            guard let bytes = try? SmallFile.read(path, limit: 1 << 20) else { continue }
            let name = path.split(separator: "/").last.map(String.init) ?? "\(number)"
            contents.append(("settings-\(number)-\(name)", String(decoding: bytes, as: UTF8.self)))
        }
        contents.append(("files.txt", files))
        contents.append(("system.txt", system))
        contents.append(
            (
                "log.txt",
                said([
                    "journalctl", "--no-pager", "-o", "short-iso", "-n", "3000", "-u", "tidegate", "-u",
                    "tidegate-first-boot",
                ])
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
