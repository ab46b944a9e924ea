/// What `tidegate reload` and `tidegate check --diff` ask for: reads the settings again.
package struct ReloadRequest: Codable, Hashable, Sendable {
    /// Says what would change, and changes nothing.
    package var isDryRun: Bool
    /// The settings file that the command means; refused where the gateway runs on another one. Absolute.
    package var path: String?

    package init(isDryRun: Bool, path: String? = nil) { (self.isDryRun, self.path) = (isDryRun, path) }

    private enum CodingKeys: String, CodingKey { case isDryRun = "reloadIsDryRun", path }
}

/// What a reload did, or would do.
package struct ReloadAnswer: Codable, Hashable, Sendable {
    /// One line for each thing that changes.
    package var changes: [String]
    /// What the settings' reading had to say: mistakes and warnings.
    package var diagnostics: [String]
    /// Why nothing was changed, or the earlier settings were put back.
    package var failure: RequestFailure?

    package init(changes: [String] = [], diagnostics: [String] = [], failure: RequestFailure? = nil) {
        (self.changes, self.diagnostics, self.failure) = (changes, diagnostics, failure)
    }
}
