package import Configuration
import Glibc
import Settings

/// Takes the settings that an installer has put on the boot partition, which any computer can write, to where the
/// gateway reads them: once, with the files that they name, for the gateway's user alone.
///
/// Files are taken along by relative names without `..`, so that they lie beside the settings as before, in the same
/// folders. Nothing is moved that has a mistake: it stays where the installer put it, to be mended there, and what is
/// wrong is said wherever somebody may look.
package struct FirstBoot: Sendable {
    /// What came of it.
    package enum Outcome: Hashable, Sendable {
        /// There was nothing.
        case nothing
        /// These files lie beside the settings now.
        case taken([String])
        /// Nothing was moved, and why, with what to do.
        case refused(String)
    }

    /// Where a boot partition is seen: Raspberry Pi OS of today, and of before.
    package static let bootDirectories = ["/boot/firmware", "/boot"]
    private static let name = "tidegate.toml"
    private static let sizeLimit = 1 << 20

    private let bootDirectories: [String]
    private let settingsPath: String
    private let user: String
    private let reportPath: String

    /// - Parameters:
    ///   - settingsPath: where the gateway reads its settings.
    ///   - user: whom the files are given to, if there is such a user.
    package init(
        bootDirectories: [String] = bootDirectories, settingsPath: String, user: String, reportPath: String? = nil
    ) {
        self.bootDirectories = bootDirectories
        self.settingsPath = settingsPath
        self.user = user
        self.reportPath = reportPath ?? BootReport.path
    }

    private var directory: String { settingsPath.lastIndex(of: "/").map { String(settingsPath[..<$0]) } ?? "." }

    /// Does it, and leaves a report for `tidegate status` when there is something to say.
    package func run() throws(GatewayError) -> Outcome {
        unlink(reportPath)
        guard let boot = bootDirectories.first(where: { access("\($0)/\(Self.name)", F_OK) == 0 }) else {
            return .nothing
        }
        let source = "\(boot)/\(Self.name)"
        var mistakes: [String] = []
        var files: [String] = []
        do {
            let text = String(decoding: try FileBytes.read(source, limit: Self.sizeLimit), as: UTF8.self)
            let result = SettingsLoader.load(text: text, name: source, directory: directory)
            mistakes = result.diagnostics.filter { $0.severity == .error }.map { "\($0)" }
            files = beside(boot, result.settings, &mistakes)
        } catch {
            mistakes = ["cannot read \(source): \(error)"]
        }
        guard mistakes.isEmpty else { return try refuse(source, mistakes) }
        mkdir(directory, 0o755)
        var taken: [String] = []
        for file in files { taken.append(try take("\(boot)/\(file)", to: "\(directory)/\(file)")) }
        if access(settingsPath, F_OK) == 0 { rename(settingsPath, "\(settingsPath).old") }
        // The settings last: after a power cut they are still there, and it is done once more.
        taken.append(try take(source, to: settingsPath))
        return try remove(files.map { "\(boot)/\($0)" } + [source], taken)
    }

    /// The files beside the settings that they name, by their names there.
    private func beside(_ boot: String, _ settings: GatewaySettings?, _ mistakes: inout [String]) -> [String] {
        var found: [String] = []
        for file in settings?.namedFiles ?? [] {
            guard file.hasPrefix("\(directory)/") else {
                if file.hasPrefix("\(boot)/") {
                    mistakes.append(
                        "the settings name \(file), which will not stay there: name it by \"\(Self.last(file))\"")
                }
                continue
            }
            let name = String(file.dropFirst(directory.utf8.count + 1))
            if name.split(separator: "/").contains("..") {
                mistakes.append(
                    "the settings name \(name): files are taken along only from beside them, without \"..\"")
            } else if access("\(boot)/\(name)", F_OK) == 0 {
                found.append(name)
            } else if access(file, F_OK) != 0, !Self.isCredential(name) {
                mistakes.append("the settings name \(name), which is neither beside them nor in \(directory)")
            }
        }
        return found
    }

    /// systemd hands it to the service (systemd.exec(5), `LoadCredential=`): from where it looks by itself, by its own name
    /// or by the one that the service's unit has for it.
    private static func isCredential(_ name: String) -> Bool {
        ["/etc/credstore", "/etc/credstore.encrypted", "/run/credstore", "/run/credstore.encrypted"].contains {
            folder in
            [name, "tidegate.\(name)"].contains { access("\(folder)/\($0)", F_OK) == 0 }
        }
    }

    private static func last(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

    /// Copies a file, for the gateway's user alone, whole or not at all.
    private func take(_ source: String, to target: String) throws(GatewayError) -> String {
        func failure(_ reason: String) -> GatewayError {
            GatewayError(
                .io, doing: "take \(source) to \(target)", reason: reason,
                remedy: "check the card (journalctl -k), and start the board again")
        }
        let bytes: [UInt8]
        do {
            bytes = try FileBytes.read(source, limit: Self.sizeLimit)
        } catch {
            throw failure("\(error)")
        }
        let owner = SystemUser.identity(of: user)
        makeFolders(above: target, owner)
        let draft = "\(target).new"
        unlink(draft)
        let file = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure(String(cString: strerror(errno))) }
        if let owner { fchown(file, owner.user, owner.group) }
        let isWritten = write(file, bytes, bytes.count) == bytes.count && fsync(file) == 0
        let code = errno
        close(file)
        guard isWritten, rename(draft, target) == 0 else {
            throw failure(String(cString: strerror(isWritten ? errno : code)))
        }
        return target
    }

    private func makeFolders(above target: String, _ owner: (user: uid_t, group: gid_t)?) {
        var folder = directory
        for name in target.dropFirst(directory.utf8.count).split(separator: "/").dropLast() {
            folder += "/\(name)"
            if mkdir(folder, 0o750) == 0, let owner { chown(folder, owner.user, owner.group) }
        }
    }

    private func remove(_ files: [String], _ taken: [String]) throws(GatewayError) -> Outcome {
        // The new names are on the disk before the old ones go.
        sync()
        let left = files.filter { unlink($0) != 0 }
        sync()
        guard let first = left.first else { return .taken(taken) }
        let problem = """
            the settings were taken, but cannot be removed from the boot partition (\(first)): they would be taken again
              try: remove them by hand
            """
        report(problem)
        return .taken(taken)
    }

    private func refuse(_ source: String, _ mistakes: [String]) throws(GatewayError) -> Outcome {
        let problem =
            "the settings on the boot partition (\(source)) were not taken:\n"
            + mistakes.joined(separator: "\n")
            + "\n  try: mend the file there, with any computer, and start the board again"
        report(problem)
        // Without any others the gateway makes do with what of them can be used.
        if access(settingsPath, F_OK) != 0 {
            mkdir(directory, 0o755)
            _ = try take(source, to: settingsPath)
        }
        return .refused(problem)
    }

    /// For `tidegate status`, and on the console, where somebody may have a screen.
    private func report(_ problem: String) {
        for (path, flags) in [(reportPath, O_CREAT | O_TRUNC), ("/dev/console", O_NOCTTY | O_NONBLOCK)] {
            let file = open(path, O_WRONLY | O_CLOEXEC | flags, 0o644)
            guard file >= 0 else { continue }
            let bytes = Array((path == reportPath ? problem : "tidegate: \(problem)\r\n").utf8)
            _ = write(file, bytes, bytes.count)
            close(file)
        }
    }
}
