/// A table of the settings file: how its header is written, what it is for, and its keys.
package struct Section: Sendable {
    package enum Form: Hashable, Sendable {
        /// `[gateway]`
        case table(String)
        /// `[class.telemetry]`: any number of them, each with a name of its own.
        case named(String, example: String)
        /// `[[sensor]]`: any number of them.
        case array(String)
    }

    package let form: Form
    package let summary: String
    package let keys: [Key]
    /// Keys whose value makes the section what it is: `driver = "serial"`.
    package let fixed: [String: String]

    package init(_ form: Form, _ summary: String, keys: [Key], fixed: [String: String] = [:]) {
        self.form = form
        self.summary = summary
        self.keys = keys
        self.fixed = fixed
    }

    /// The first part of the header: the key at the top of the document.
    package var name: String {
        switch form {
        case .table(let name), .named(let name, _), .array(let name): name
        }
    }
}
