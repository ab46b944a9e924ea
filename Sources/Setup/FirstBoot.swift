package import Configuration
import Glibc
import Linux
import Settings

/// Moves the settings that an installer has put on the boot partition, which any computer can write, to where the gateway
/// reads them: once, with the files that they name, readable by the gateway's user alone.
///
/// Files are taken along by relative names without `..`, so that they lie beside the settings as before, in the same
/// folders. Settings with a mistake stay on the boot partition, where the installer mends them. When any step fails, the
/// settings of before stay in force entirely (``FileExchange``). Every outcome but success is reported on the console, in
/// the log and by `tidegate status`.
package struct FirstBoot: Sendable {
    /// What came of it.
    package enum Outcome: Hashable, Sendable {
        /// There are no settings on the boot partition.
        case nothing
        /// These files lie beside the settings now.
        case taken([String])
        /// The settings have mistakes: nothing was moved, and why, with what to do.
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
    /// Lets tests make each call that changes the disk fail.
    var gate: FileExchange.Gate = { _ in 0 }

    /// - Parameters:
    ///   - settingsPath: where the gateway reads its settings.
    ///   - user: the new owner of the files, if there is such a user.
    package init(
        bootDirectories: [String] = bootDirectories, settingsPath: String, user: String, reportPath: String? = nil
    ) {
        self.bootDirectories = bootDirectories
        self.settingsPath = settingsPath.contains("/") ? settingsPath : "./\(settingsPath)"
        self.user = user
        self.reportPath = reportPath ?? BootReport.path
    }

    private var directory: String { settingsPath.lastIndex(of: "/").map { String(settingsPath[..<$0]) } ?? "." }

    private var exchange: FileExchange {
        FileExchange(folder: directory, decisive: settingsPath, owner: SystemUser.identity(of: user), gate: gate)
    }

    /// Does it, and leaves a report for `tidegate status` when something went wrong.
    package func run() throws(GatewayError) -> Outcome {
        unlink(reportPath)
        do throws(GatewayError) {
            return try attempt()
        } catch {
            report("\(error)")
            throw error
        }
    }

    private func attempt() throws(GatewayError) -> Outcome {
        do throws(SystemCallError) {
            try exchange.settle()
        } catch {
            throw failure("finish an earlier try to take the settings from the boot partition", error)
        }
        guard let boot = bootDirectories.first(where: { access("\($0)/\(Self.name)", F_OK) == 0 }) else {
            return .nothing
        }
        guard !Self.isSame(boot, directory) else {
            throw GatewayError(
                .usage, doing: "take the settings from \(boot)", reason: "the gateway reads them there already",
                remedy: "name the folder of the boot partition with --boot")
        }
        let source = "\(boot)/\(Self.name)"
        let text = try read(source)
        let result = SettingsLoader.load(
            text: String(decoding: text, as: UTF8.self), name: source, directory: directory)
        var mistakes = result.diagnostics.filter { $0.severity == .error }.map { "\($0)" }
        let names = beside(boot, result.settings, &mistakes)
        guard mistakes.isEmpty else { return try refuse(source, text, mistakes) }
        var files: [FileExchange.File] = []
        for name in names { files.append(.init(path: "\(directory)/\(name)", bytes: try read("\(boot)/\(name)"))) }
        files.append(.init(path: settingsPath, bytes: text))
        try replace(files, from: source)
        // The settings last: after a power cut they are still on the boot partition, and are taken once more.
        return remove(names.map { "\(boot)/\($0)" } + [source], taken: files.map(\.path))
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
            let levels = file.dropFirst(directory.utf8.count + 1).split(separator: "/").filter { $0 != "." }
            let name = levels.joined(separator: "/")
            if levels.contains("..") {
                mistakes.append(
                    "the settings name \(name): files are taken along only from beside them, without \"..\"")
            } else if "\(directory)/\(name)" == settingsPath {
                mistakes.append("the settings name \(name), which is the settings file itself")
            } else if access("\(boot)/\(name)", F_OK) == 0 {
                if !found.contains(name) { found.append(name) }
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

    private static func isSame(_ one: String, _ other: String) -> Bool {
        var (first, second) = (stat(), stat())
        return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev
            && first.st_ino == second.st_ino
    }

    // MARK: Files

    private func read(_ source: String) throws(GatewayError) -> [UInt8] {
        do {
            return try SmallFile.read(source, limit: Self.sizeLimit)
        } catch {
            throw GatewayError(
                .io, doing: "read \(source) from the boot partition",
                reason: error.code == EFBIG ? "it is larger than \(Self.sizeLimit) bytes" : error.reason,
                remedy: "write \(source) anew, with any computer, and start the board again; \(inForce)")
        }
    }

    private func replace(_ files: [FileExchange.File], from source: String) throws(GatewayError) {
        do throws(SystemCallError) {
            try exchange.replace(files)
        } catch {
            throw failure("take the settings from the boot partition (\(source))", error)
        }
    }

    /// What the gateway runs with after a failure.
    private var inForce: String {
        access(settingsPath, F_OK) == 0
            ? "until then \(settingsPath) stays in force as it was" : "until then the gateway has no settings"
    }

    private func failure(_ doing: String, _ error: SystemCallError) -> GatewayError {
        let remedy =
            switch error.code {
            case ENOSPC, EDQUOT, EMFILE, ENFILE: "free space on the disk of \(directory) (du -xh / | sort -h | tail)"
            case EROFS:
                "the disk of \(directory) is read-only: the kernel does that to a card with errors (journalctl -k); check it with fsck, and replace it"
            case EACCES, EPERM: "run this as root; \(directory) must be writable"
            case EISDIR, ENOTDIR, EEXIST: "remove the file or folder that has this name"
            default: "check the card (journalctl -k)"
            }
        return GatewayError(
            error.code == EACCES || error.code == EPERM ? .permission : .io, doing: doing,
            reason: "cannot \(error.doing): \(error.reason)",
            remedy: "\(remedy), and start the board again; \(inForce)")
    }

    private func remove(_ files: [String], taken: [String]) -> Outcome {
        let left = files.compactMap { file in
            unlink(file) == 0 ? nil : "\(file): \(ErrnoText.last)"
        }
        sync()
        if !left.isEmpty {
            report(
                """
                the settings were taken, but cannot be removed from the boot partition and would be taken again:
                \(left.joined(separator: "\n"))
                  try: remove them by hand
                """)
        }
        return .taken(taken)
    }

    private func refuse(_ source: String, _ text: [UInt8], _ mistakes: [String]) throws(GatewayError) -> Outcome {
        let problem =
            "the settings on the boot partition (\(source)) were not taken:\n"
            + mistakes.joined(separator: "\n")
            + "\n  try: mend the file there, with any computer, and start the board again"
        report(problem)
        // Without any others the gateway makes do with what of them can be used.
        if access(settingsPath, F_OK) != 0 {
            do throws(GatewayError) {
                try replace([.init(path: settingsPath, bytes: text)], from: source)
            } catch {
                throw GatewayError(
                    error.kind, doing: error.doing, reason: "\(error.reason)\n\(problem)", remedy: error.remedy)
            }
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
