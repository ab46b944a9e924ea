import Configuration
import Glibc
import Linux

/// The user of the gateway that runs or would run, with the groups that the kernel asks about.
struct ServiceIdentity: Sendable {
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
    private static func ofProcess(_ processID: Int) -> ServiceIdentity? {
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
        return ServiceIdentity(
            name: name(of: user), user: user, groups: Set((numbers["Groups"] ?? []) + [group]), isRunning: true)
    }

    private static func ofUser(_ name: String) -> ServiceIdentity? {
        guard let identity = SystemUser.identity(of: name) else { return nil }
        var count: Int32 = 64
        var groups = [gid_t](repeating: 0, count: Int(count))
        guard getgrouplist(name, identity.group, &groups, &count) >= 0 else { return nil }
        return ServiceIdentity(
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
