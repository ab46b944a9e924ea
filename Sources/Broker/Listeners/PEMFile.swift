import Glibc

/// Looks into a certificate's or key's file for the usual mistakes, so that they are named: the TLS library only says that
/// it cannot read it.
struct PEMFile {
    enum Content {
        case certificates
        case key
    }

    /// What is wrong with it and what to do; `nil` when it looks right. Blocks for reading it.
    static func mistake(in path: String, expecting content: Content) -> (reason: String, remedy: String)? {
        var information = stat()
        guard stat(path, &information) == 0 else {
            let code = errno
            return (
                String(cString: strerror(code)),
                code == EACCES
                    ? "let the gateway's user read it: namei -l \(path)" : "check the path in the settings"
            )
        }
        guard information.st_mode & S_IFMT == S_IFREG else {
            return ("it is no file", "name a file in PEM format")
        }
        guard information.st_size > 0 else { return ("the file is empty", "copy it again from where it was made") }
        guard access(path, R_OK) == 0 else {
            return (
                String(cString: strerror(errno)),
                "let the gateway's user read it, for example: chgrp tidegate \(path); chmod 640 \(path)"
            )
        }
        let labels = labels(path)
        let keys = labels.filter { $0.hasSuffix("PRIVATE KEY") }
        switch content {
        case .certificates:
            if labels.contains(where: { $0.hasSuffix("CERTIFICATE") }) { return nil }
            if !keys.isEmpty { return ("it holds a private key and no certificate", "exchange the two files") }
            return (
                "it holds no certificate in PEM format",
                "look at it with: openssl x509 -in \(path) -text; from DER: openssl x509 -inform der -in \(path) -out NEW"
            )
        case .key:
            if keys.contains(where: { $0.hasPrefix("ENCRYPTED") }) || labels.contains(encryptedMark) {
                return (
                    "the key has a passphrase, for which nobody can be asked",
                    "take it off with: openssl pkey -in \(path) -out NEW, and keep NEW from others (chmod 640)"
                )
            }
            if !keys.isEmpty { return nil }
            if !labels.isEmpty { return ("it holds a certificate and no private key", "exchange the two files") }
            return (
                "it holds no private key in PEM format",
                "look at it with: openssl pkey -in \(path) -check; from DER: openssl pkey -inform der -in \(path) -out NEW"
            )
        }
    }

    /// Every user of this machine may read the file.
    static func isReadableByAll(_ path: String) -> Bool {
        var information = stat()
        return stat(path, &information) == 0 && information.st_mode & 0o004 != 0
    }

    /// In a key of the old form with a passphrase (RFC 1421).
    private static let encryptedMark = "Proc-Type: 4,ENCRYPTED"
    private static let limit = 1 << 20

    /// The words of each `-----BEGIN …-----`, and the old mark of a passphrase.
    private static func labels(_ path: String) -> [String] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            while count < limit {
                let more = read(descriptor, buffer.baseAddress?.advanced(by: count), limit - count)
                guard more > 0 else { break }
                count += more
            }
        }
        return bytes.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }).compactMap { line in
            let text = String(decoding: line, as: UTF8.self)
            if text.hasPrefix(encryptedMark) { return encryptedMark }
            guard text.hasPrefix("-----BEGIN ") else { return nil }
            return String(text.dropFirst("-----BEGIN ".count).prefix { $0 != "-" })
        }
    }
}
