import Settings

/// The commented settings file that documents every key.
package enum SampleSettings {
    /// Written from the same declarations that files are checked against, so that no key can be missing.
    package static var text: String {
        SampleText.render(
            SettingsKeys.sections,
            heading: """
                Settings of a Tidegate gateway: /etc/tidegate/tidegate.toml, merged with conf.d/*.toml beside it. \
                Every key is here, with its default where it has one. Times and sizes are strings with their unit: \
                "250ms", "20s", "5m", "24h", "30d"; "512B", "64KiB", "200MB". Look for mistakes with: tidegate check
                """,
            active: ["gateway", "lan", "upstream"])
    }
}
