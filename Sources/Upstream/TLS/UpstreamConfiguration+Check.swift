extension UpstreamConfiguration.TLS {
    /// Reads the files as the link does, without a connection. Blocks for the disk.
    /// - Throws: why no connection over TLS can work with them.
    package func check() throws(LinkFault) { _ = try ClientTLS(self, fingerprint: TLSFingerprint(of: paths)) }
}
