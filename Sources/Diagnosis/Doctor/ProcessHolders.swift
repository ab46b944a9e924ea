import Configuration
import Glibc
import Linux

/// Which processes hold something, by what their descriptors lead to.
enum ProcessHolders {
    struct Holder: Hashable, Sendable, CustomStringConvertible {
        var processID: Int
        var name: String

        var description: String { "\(name) (process \(processID))" }
    }

    /// - Parameter isMeant: whether a descriptor leads there: a path, or `socket:[1234]` (proc_pid_fd(5)). Processes that this
    ///   one may not look into are left out.
    static func find(_ isMeant: (String) -> Bool) -> [Holder] {
        entries("/proc").compactMap { Int($0) }.sorted().compactMap { processID in
            let folder = "/proc/\(processID)/fd"
            guard entries(folder).contains(where: { isMeant(target("\(folder)/\($0)")) }) else { return nil }
            let name = (try? SmallFile.read("/proc/\(processID)/comm", limit: 64)) ?? []
            return Holder(
                processID: processID,
                name: String(decoding: name.filter { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
        }
    }

    /// The processes that listen on a TCP port, at any address.
    static func ofPort(_ port: Int) -> [Holder] {
        var sockets: Set<String> = []
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            guard let bytes = try? SmallFile.read(table, limit: 16 << 20) else { continue }
            for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n").dropFirst() {
                // Local address, state (0A: listening) and inode, proc_net_tcp(5).
                let fields = line.split(separator: " ")
                guard fields.count > 9, fields[3] == "0A", let colon = fields[1].lastIndex(of: ":"),
                    Int(fields[1][fields[1].index(after: colon)...], radix: 16) == port
                else { continue }
                sockets.insert("socket:[\(fields[9])]")
            }
        }
        return sockets.isEmpty ? [] : find { sockets.contains($0) }
    }

    private static func target(_ link: String) -> String {
        var buffer = [CChar](repeating: 0, count: 4_096)
        let count = readlink(link, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : ""
    }

    private static func entries(_ folder: String) -> [String] { (try? FolderEntries.names(in: folder)) ?? [] }
}
