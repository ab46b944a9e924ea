import Glibc
import Linux
import Pipeline
package import Settings

/// Finds, reads and checks the settings files. Needs no hardware and no network.
package enum SettingsLoader {
    package static let defaultPath = "/etc/tidegate/tidegate.toml"

    package struct Result: Sendable {
        /// `nil` when there is a mistake.
        package var settings: GatewaySettings?
        /// All mistakes and warnings, in the order of files and places.
        package var diagnostics: [Diagnostic]
        /// The files that were read.
        package var files: [String]
    }

    /// Reads `path` and, in the order of their names, the `*.toml` files of `conf.d` beside it.
    package static func load(_ path: String) -> Result {
        let diagnostics = Diagnostics()
        let (document, files) = documents(path, into: diagnostics)
        return read(document, directory: directory(of: path), files: files, diagnostics: diagnostics)
    }

    /// As ``load(_:)``, with what the files that the settings name would do to a gateway. A mistake in one of them is a mistake
    /// of the settings.
    package static func check(_ path: String) -> Result {
        var result = load(path)
        result.diagnostics += (result.settings ?? loadWhatCanBeUsed(path).settings).fileDiagnostics()
        if result.diagnostics.contains(where: { $0.severity == .error }) { result.settings = nil }
        return result
    }

    /// What of the settings can be used where there are mistakes: what these stand in is left out. A board must not be
    /// dumb for a slip in one sensor's table.
    ///
    /// Nothing is guessed of where messages belong. When the gateway's name or its data directory may be other ones than
    /// they seem, it has no upstream, and what would go there is held: not taken, not acknowledged.
    package static func loadWhatCanBeUsed(
        _ path: String
    ) -> (settings: GatewaySettings, diagnostics: [Diagnostic]) {
        let diagnostics = Diagnostics()
        let (document, files) = documents(path, into: diagnostics)
        let unreadable = diagnostics.list.filter { $0.severity == .error }
        let start = SourcePosition(file: path, line: 1, column: 1)
        let original = document ?? SettingsDocument(unknownFrom: start)
        let result = read(document, directory: directory(of: path), files: files, diagnostics: diagnostics)
        if let settings = result.settings { return (settings, result.diagnostics) }
        var usable = original
        takeOut(unreadable, from: &usable)
        // Each round takes something out, so that it ends; the last one has nothing left but defaults.
        while true {
            let rest = Diagnostics()
            let reader = SettingsReader(
                document: usable, directory: directory(of: path), diagnostics: rest, original: original)
            if var settings = reader.settings(), !rest.hasErrors {
                let mistakes = result.diagnostics.filter { $0.severity == .error }
                let unsure = ["id", "data_dir"].filter {
                    !usable.has($0, in: "gateway") && isInDoubt($0, original, mistakes)
                }
                guard !unsure.isEmpty else { return (settings, result.diagnostics) }
                settings.upstream = nil
                settings.forward = [.holdingEverything]
                let names = unsure.joined(separator: " and ")
                let held = Diagnostic(
                    .error,
                    "without a sure \(names) in [gateway], nothing is taken for the upstream: devices wait, QoS 0 and sensor values are lost"
                )
                return (settings, result.diagnostics + [held])
            }
            precondition(!usable.isEmpty, "the defaults have no mistakes")
            if !takeOut(rest.list.filter { $0.severity == .error }, from: &usable) {
                usable = SettingsDocument(unknownFrom: start)
            }
        }
    }

    /// Whether a key of `[gateway]` that has no usable value may have been meant to have one.
    private static func isInDoubt(_ key: String, _ document: SettingsDocument, _ mistakes: [Diagnostic]) -> Bool {
        if document.has(key, in: "gateway") || document.mayHide(["gateway"], among: SettingsKeys.sections) {
            return true
        }
        let known = SettingsKeys.gateway.map(\.name)
        return mistakes.contains { mistake in
            guard let position = mistake.position, let place = document.location(of: position) else { return true }
            guard place.section == "gateway" else { return false }
            // A mistyped key that is like another one is not meant for this.
            guard let meant = place.key.flatMap({ NearestName.of($0, among: known) }) else { return true }
            return meant == key
        }
    }

    @discardableResult
    private static func takeOut(_ mistakes: [Diagnostic], from document: inout SettingsDocument) -> Bool {
        // The rules' mistakes are the reader's to judge.
        let positions = mistakes.compactMap(\.position).filter {
            !["forward", "accept", "both"].contains(document.location(of: $0)?.section)
        }
        return document.takeOut(at: positions, byKey: ["gateway", "lan"], named: ["class"])
    }

    private static func documents(
        _ path: String, into diagnostics: Diagnostics
    ) -> (document: SettingsDocument?, files: [String]) {
        let fragments = fragments(in: "\(directory(of: path))/conf.d", into: diagnostics)
        let files = [path] + (fragments ?? [])
        var isIncomplete = fragments == nil
        var document: SettingsDocument?
        for file in files {
            do {
                let table = TOMLParser.parse(
                    try SmallFile.read(file, limit: TOMLParser.sizeLimit), file: file, into: diagnostics)
                if document == nil {
                    document = SettingsDocument(table)
                } else {
                    document?.merge(table, into: diagnostics)
                }
            } catch {
                diagnostics.error(
                    "cannot read \(file): \(error.reason)" + (file == path && error.code == ENOENT ? missingHint : ""))
                isIncomplete = true
            }
        }
        if isIncomplete { document?.lacksFile() }
        return (document, files)
    }

    /// Reads settings that do not lie in a file; `name` stands for it in messages.
    package static func load(text: String, name: String, directory: String = ".") -> Result {
        let diagnostics = Diagnostics()
        let document = SettingsDocument(TOMLParser.parse(text, file: name, into: diagnostics))
        return read(document, directory: directory, files: [name], diagnostics: diagnostics)
    }

    /// The settings, or an error that lists every mistake.
    package static func loadOrFail(_ path: String) throws(GatewayError) -> GatewaySettings {
        let result = load(path)
        guard let settings = result.settings else { throw failure(result, path: path) }
        return settings
    }

    /// What to say of settings that have mistakes: all of them.
    static func failure(_ result: Result, path: String) -> GatewayError {
        GatewayError(
            .configuration, doing: "use the settings", reason: result.diagnostics.map { "\n\($0)" }.joined(),
            remedy: "mend them, and look again with: tidegate check --config \(path)")
    }

    private static let missingHint =
        "\n  try: write one; `tidegate check --sample` prints a commented example"

    private static func read(
        _ document: SettingsDocument?, directory: String, files: [String], diagnostics: Diagnostics
    ) -> Result {
        let settings = document.flatMap {
            SettingsReader(document: $0, directory: directory, diagnostics: diagnostics).settings()
        }
        return Result(
            settings: diagnostics.hasErrors ? nil : settings, diagnostics: diagnostics.list, files: files)
    }

    /// The files of a directory whose names end in `.toml`, in the order of their names; none when it is missing, `nil`
    /// when it cannot be read.
    private static func fragments(in directory: String, into diagnostics: Diagnostics) -> [String]? {
        do throws(SystemCallError) {
            return try FolderEntries.names(in: directory)
                .filter { $0.hasSuffix(".toml") && !$0.hasPrefix(".") }.sorted().map { "\(directory)/\($0)" }
        } catch {
            if error.code == ENOENT { return [] }
            diagnostics.error("cannot read \(directory): \(error.reason)")
            return nil
        }
    }

    private static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
