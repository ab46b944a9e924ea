/// A host and a port to listen on.
///
/// `*` stands for all addresses of the machine, of both families. `[::]` does too, because the kernel hands an IPv6 socket
/// that is bound to it the IPv4 connections as well; unlike `*` it needs a machine that has IPv6. `0.0.0.0` is IPv4 only.
package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    package var host: String
    /// 0: any free port.
    package var port: Int

    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    /// Parses `127.0.0.1:1883`, `[::1]:1883`, `localhost:1883` or `*:1883`; `nil` for anything else.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65_535).contains(port)
        else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, !host.contains(where: { $0 == " " || $0 == "/" }) else { return nil }
        self.init(host: String(host), port: port)
    }

    /// All addresses of this machine, of whichever families it has.
    package var isEveryAddress: Bool { host == "*" }

    /// Connections of both families come in here.
    package var isForAllFamilies: Bool { isEveryAddress || host == "::" }

    /// Reachable from this machine only.
    package var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
