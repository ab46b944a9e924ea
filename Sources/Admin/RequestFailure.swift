/// Why the gateway did not do what a command asked for.
package struct RequestFailure: Codable, Hashable, Sendable {
    /// By sysexits(3).
    package var exitCode: Int32
    package var text: String

    package init(exitCode: Int32, text: String) {
        self.exitCode = exitCode
        self.text = text
    }
}
