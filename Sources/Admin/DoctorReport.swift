/// What `tidegate doctor` found, check by check, in the order in which they were made.
package struct DoctorReport: Codable, Hashable, Sendable {
    package enum Verdict: String, Codable, Hashable, Sendable {
        case pass
        /// Works, and should be looked at.
        case warn
        case fail
        /// Was not looked at, and why.
        case skip
    }

    package struct Finding: Codable, Hashable, Sendable {
        /// What was looked at: `clock`, `upstream login`.
        package var check: String
        package var verdict: Verdict
        /// What was found; of what failed, what was tried and why it failed.
        package var text: String
        /// What to do; absent where there is nothing to be done.
        package var remedy: String?

        package init(_ check: String, _ verdict: Verdict, _ text: String, remedy: String? = nil) {
            self.check = check
            self.verdict = verdict
            self.text = text
            self.remedy = remedy
        }
    }

    package var findings: [Finding] = []

    package init() {}

    package var hasFailed: Bool { findings.contains { $0.verdict == .fail } }

    /// For a person on a ladder: a line each, and below what is not well what to do about it.
    package var text: String {
        var lines: [String] = []
        for finding in findings {
            let mark =
                switch finding.verdict {
                case .pass: "ok  "
                case .warn: "WARN"
                case .fail: "FAIL"
                case .skip: "-   "
                }
            let name = finding.check + String(repeating: " ", count: max(1, 20 - finding.check.count))
            let text = finding.text.split(separator: "\n", omittingEmptySubsequences: false)
            lines.append("\(mark)  \(name)\(text.first ?? "")")
            lines += text.dropFirst().map { "                          \($0)" }
            if let remedy = finding.remedy { lines.append("                          try: \(remedy)") }
        }
        let failed = findings.count { $0.verdict == .fail }
        let warned = findings.count { $0.verdict == .warn }
        lines.append(
            failed == 0 && warned == 0
                ? "everything is well" : "\(failed) failed, \(warned) to be looked at, of \(findings.count)")
        return lines.joined(separator: "\n")
    }
}
