import Configuration
import Glibc
import Linux

/// Who runs the gateway, or would: a user and the groups that the kernel asks about.
struct Servant: Sendable {
    static let serviceUser = "tidegate"

    let name: String
    let user: uid_t
    let groups: Set<gid_t>
    /// It is the gateway's own process that was looked at.
    let isRunning: Bool

    /// - Parameter processID: the running gateway's.
    init(processID: Int?) {
        if let processID, let running = Self.ofProcess(processID) {
            self = running
        } else if geteuid() == 0, let service = Self.ofUser(Self.serviceUser) {
            self = service
        } else {
            self.init(
                name: Self.name(of: geteuid()), user: geteuid(), groups: Self.ownGroups, isRunning: false)
        }
    }

    private init(name: String, user: uid_t, groups: Set<gid_t>, isRunning: Bool) {
        self.name = name
        self.user = user
        self.groups = groups
        self.isRunning = isRunning
    }

    /// proc_pid_status(5)
    private static func ofProcess(_ processID: Int) -> Servant? {
        guard let bytes = try? SmallFile.read("/proc/\(processID)/status", limit: 64 << 10) else { return nil }
        var numbers: [Substring: [UInt32]] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, ["Uid", "Gid", "Groups"].contains(parts[0]) else { continue }
            numbers[parts[0]] = parts[1].split { $0 == " " || $0 == "\t" }.compactMap { UInt32($0) }
        }
        guard let user = numbers["Uid"]?.dropFirst().first, let group = numbers["Gid"]?.dropFirst().first else {
            return nil
        }
        return Servant(
            name: name(of: user), user: user, groups: Set((numbers["Groups"] ?? []) + [group]), isRunning: true)
    }

    private static func ofUser(_ name: String) -> Servant? {
        guard let identity = SystemUser.identity(of: name) else { return nil }
        var count: Int32 = 64
        var groups = [gid_t](repeating: 0, count: Int(count))
        guard getgrouplist(name, identity.group, &groups, &count) >= 0 else { return nil }
        return Servant(
            name: name, user: identity.user, groups: Set(groups.prefix(Int(count))), isRunning: false)
    }

    private static var ownGroups: Set<gid_t> {
        var groups = [gid_t](repeating: 0, count: 256)
        let count = getgroups(Int32(groups.count), &groups)
        return Set(groups.prefix(Int(max(0, count))) + [getegid()])
    }

    private static func name(of user: uid_t) -> String {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var text = [CChar](repeating: 0, count: 4_096)
        guard getpwuid_r(user, &entry, &text, text.count, &found) == 0, found != nil, let name = entry.pw_name else {
            return "user \(user)"
        }
        return String(cString: name)
    }

    static func groupName(_ number: gid_t) -> String {
        var entry = group()
        var found: UnsafeMutablePointer<group>?
        var text = [CChar](repeating: 0, count: 4_096)
        guard getgrgid_r(number, &entry, &text, text.count, &found) == 0, found != nil, let name = entry.gr_name else {
            return "\(number)"
        }
        return String(cString: name)
    }

    /// Whether it may use a file, by the bits of its mode (path_resolution(7)); access lists are not looked at.
    /// - Parameter bits: 4 to read, 2 to write, 1 to search.
    func may(_ bits: UInt32, _ information: stat) -> Bool {
        if user == 0 { return true }
        let shift: UInt32 = information.st_uid == user ? 6 : groups.contains(information.st_gid) ? 3 : 0
        return (information.st_mode >> shift) & bits == bits
    }
}

/// Which processes hold something, by what their descriptors lead to.
enum Holders {
    struct Holder: Hashable, Sendable, CustomStringConvertible {
        var processID: Int
        var name: String

        var description: String { "\(name) (process \(processID))" }
    }

    /// - Parameter isMeant: whether a descriptor leads there: a path, or `socket:[1234]` (proc_pid_fd(5)). Of processes that
    ///   this one may not look into nothing is known.
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

    /// Who listens on a TCP port, whatever the address.
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
