/// An authority of a test's own, and certificates that lead to it, made by openssl(1).
package struct Certificates: Sendable {
    package let folder: TemporaryDirectory

    /// With an authority called `ca`.
    package init() throws {
        folder = try TemporaryDirectory()
        try makeAuthority("ca")
    }

    package var authority: String { certificate("ca") }
    package func certificate(_ name: String) -> String { folder["\(name).crt"] }
    package func key(_ name: String) -> String { folder["\(name).key"] }

    package func makeAuthority(_ name: String) throws {
        try openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=test \(name)", "-keyout",
            key(name), "-out", certificate(name))
    }

    /// A certificate with `name` as its common name, in a file of that name; it takes the place of an earlier one.
    /// - Parameter extensions: a line as in x509v3_config(5).
    package func issue(_ name: String, _ extensions: String, by authority: String = "ca", days: Int = 2) throws {
        try openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=\(name)",
            "-keyout", key(name), "-out",
            folder["\(name).csr"])
        try folder.write(extensions + "\n", to: "\(name).ext")
        try openssl(
            "x509", "-req", "-in", folder["\(name).csr"], "-CA", certificate(authority), "-CAkey", key(authority),
            "-CAcreateserial", "-days", "\(days)", "-extfile", folder["\(name).ext"], "-out", certificate(name))
    }

    private func openssl(_ arguments: String...) throws {
        guard try ChildProcess.run(["openssl"] + arguments, output: folder["openssl.log"]) == 0 else {
            throw ChildProcess.SpawnFailure(
                description: "openssl \(arguments): \(textOfFile(folder["openssl.log"]))")
        }
    }
}
