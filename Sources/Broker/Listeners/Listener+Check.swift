extension Listener {
    /// Reads the files of TLS as a listener that opens does, without opening it. Blocks for the disk.
    /// - Throws: why the listener cannot work with them.
    package func checkTLS() throws(BrokerError) {
        if let tls { _ = try TLSContext(tls, for: self) }
    }
}
