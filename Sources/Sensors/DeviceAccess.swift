import Glibc

/// What to do when a device may not be opened.
enum DeviceAccess {
    /// Names the group that may open the device at `path` and the user that has to join it.
    static func remedy(for path: String) -> String {
        var status = stat()
        // Given to root alone: no group helps before udev has given it to one.
        guard stat(path, &status) == 0, status.st_gid != 0, status.st_mode & 0o060 == 0o060,
            let group = groupName(status.st_gid)
        else { return "give its group access: install Tidegate's udev rules, and plug it in anew or restart" }
        return "add the gateway's user to its group: usermod -aG \(group) \(userName()); then restart the gateway"
    }

    private static func groupName(_ number: gid_t) -> String? {
        var entry = group()
        var found: UnsafeMutablePointer<group>?
        var text = [CChar](repeating: 0, count: 4_096)
        guard getgrgid_r(number, &entry, &text, text.count, &found) == 0, found != nil else { return nil }
        return entry.gr_name.map { String(cString: $0) }
    }

    /// Of who runs this process.
    private static func userName() -> String {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var text = [CChar](repeating: 0, count: 4_096)
        guard getpwuid_r(geteuid(), &entry, &text, text.count, &found) == 0, found != nil, let name = entry.pw_name
        else { return "tidegate" }
        return String(cString: name)
    }
}
