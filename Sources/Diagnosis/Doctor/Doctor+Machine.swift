import Admin
import Configuration
import Database
import Glibc
import Linux
import Readings
import Timekeeping

/// What the gateway stands on: the clock, the power, the disk.
extension Doctor {
    // MARK: Clock

    func clockFinding() -> DoctorReport.Finding {
        var wall = timespec()
        clock_gettime(CLOCK_REALTIME, &wall)
        let seconds = Int64(wall.tv_sec)
        let text = rfc3339(unixNanoseconds: seconds * 1_000_000_000)
        let remedy =
            "timedatectl set-ntp true, and see that an NTP server answers (timedatectl timesync-status); without a network a GPS receiver, time_topic in [upstream], or a clock chip"
        if status?.clockIsTrusted == true || time.now().quality == .synced {
            return .init("clock", .pass, "it is trusted, and says \(text)")
        }
        // A day of tolerance: the day of the build is known, not its hour.
        if seconds * 1_000_000_000 < SystemTime.built - 86_400_000_000_000 {
            return .init(
                "clock", .fail,
                "it says \(text), which is before this program was built: nobody has told the board the time. Readings are kept, and get their time later",
                remedy: remedy)
        }
        return .init("clock", .warn, "it says \(text), and nothing vouches for it", remedy: remedy)
    }

    // MARK: Power

    /// What the firmware of a Raspberry Pi says of its supply (rpi_volt of hwmon); `nil` where it says nothing.
    func powerFinding() -> DoctorReport.Finding? {
        for number in 0..<16 {
            let folder = "/sys/class/hwmon/hwmon\(number)"
            guard Self.line("\(folder)/name") == "rpi_volt" else { continue }
            guard Self.line("\(folder)/in0_lcrit_alarm") == "1" else {
                return .init("power", .pass, "the supply holds")
            }
            return .init(
                "power", .fail, "the board's supply is or was too weak: cards break and USB devices vanish over that",
                remedy: "use the board's own supply, and a short, thick cable")
        }
        return nil
    }

    // MARK: Storage

    func storageFindings() -> [DoctorReport.Finding] {
        let directory = settings.gateway.dataDirectory
        var information = stat()
        guard stat(directory, &information) == 0 else {
            let code = errno
            guard code == ENOENT else {
                return [Self.failure("data", "look at \(directory)", code, remedy: "check data_dir in [gateway]")]
            }
            return [
                .init("data", .warn, "\(directory) is not there yet", remedy: "start the gateway once: it makes it")
            ]
        }
        guard information.st_mode & S_IFMT == S_IFDIR else {
            return [.init("data", .fail, "\(directory) is no folder", remedy: "check data_dir in [gateway]")]
        }
        var findings: [DoctorReport.Finding] = []
        let mount = Mount(of: directory)
        findings += mountFindings(mount, directory)
        if !service.may(7, information) {
            findings.append(
                .init(
                    "data", .fail, "the gateway's user \(service.name) may not use \(directory)",
                    remedy: "chown -R \(service.name): \(directory)"))
        }
        findings += [spaceFinding(directory), writeFinding(directory)].compactMap(\.self)
        findings += wearFindings(mount)
        if findings.isEmpty {
            let free = FileSystemSpace.available(at: directory).map { "\($0 / 1_000_000) MB free" } ?? ""
            findings.append(.init("data", .pass, "\(directory): \(free)\(mount.map { ", \($0.type)" } ?? "")"))
        }
        return findings
    }

    private func spaceFinding(_ directory: String) -> DoctorReport.Finding? {
        guard let free = FileSystemSpace.available(at: directory) else { return nil }
        let remedy =
            "find what fills it (du -xh / | sort -h | tail; journalctl --vacuum-size=50M), or lower min_free in [gateway]"
        let text = "\(free / 1_000) kB are left where \(directory) lies"
        if free < settings.gateway.minimumFree {
            return .init(
                "disk space", .fail,
                "\(text): the disk is full, and messages of classes without reserve are dropped or refused",
                remedy: remedy)
        }
        guard free < 4 * settings.gateway.minimumFree else { return nil }
        return .init("disk space", .warn, text, remedy: remedy)
    }

    /// Writes a file, makes it durable and removes it.
    private func writeFinding(_ directory: String) -> DoctorReport.Finding? {
        let path = "\(directory)/.doctor-\(getpid())"
        let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        var code = file >= 0 ? 0 : errno
        if file >= 0 {
            let page = [UInt8](repeating: 0, count: 4_096)
            if write(file, page, page.count) != page.count || fsync(file) != 0 { code = errno }
            close(file)
            unlink(path)
        }
        let doing = "write to \(directory)"
        switch code {
        case 0: return nil
        case EROFS:
            return Self.failure(
                "disk", doing, code,
                remedy:
                    "the disk is read-only: the kernel does that to a card with errors (journalctl -k | grep -iE 'ext4|mmc'); check it with fsck, and replace it; if it is meant to be, move data_dir"
            )
        case ENOSPC, EDQUOT:
            return Self.failure("disk", doing, code, remedy: "free some space: du -xh / | sort -h | tail")
        case EACCES where geteuid() != 0:
            return .init("disk", .skip, "whether \(directory) can be written is for root or \(service.name) to see")
        case EIO:
            return Self.failure("disk", doing, code, remedy: "the storage fails: journalctl -k; replace the card")
        default: return Self.failure("disk", doing, code, remedy: "check the storage: journalctl -k")
        }
    }

    private func mountFindings(_ mount: Mount?, _ directory: String) -> [DoctorReport.Finding] {
        guard let mount else { return [] }
        var findings: [DoctorReport.Finding] = []
        if ["tmpfs", "ramfs", "overlay"].contains(mount.type) {
            findings.append(
                .init(
                    "disk", .warn, "\(directory) lies on \(mount.type): a power cut takes what waits there",
                    remedy: "put data_dir on the card"))
        }
        if mount.options.contains("data=writeback") {
            findings.append(
                .init(
                    "disk", .warn,
                    "\(mount.point) is mounted with data=writeback: after a power cut files may hold garbage",
                    remedy: "remove data=writeback from /etc/fstab or cmdline.txt"))
        }
        if !mount.options.isDisjoint(with: ["nobarrier", "barrier=0"]) {
            findings.append(
                .init(
                    "disk", .fail,
                    "\(mount.point) is mounted without barriers: what was made durable may be lost with the power",
                    remedy: "remove nobarrier from /etc/fstab"))
        }
        return findings
    }

    /// What the storage and its file system say of themselves, where they do.
    private func wearFindings(_ mount: Mount?) -> [DoctorReport.Finding] {
        guard let name = mount?.device.split(separator: "/").last.map(String.init) else { return [] }
        var findings: [DoctorReport.Finding] = []
        if let errors = Self.line("/sys/fs/ext4/\(name)/errors_count").flatMap({ Int($0) }), errors > 0 {
            findings.append(
                .init(
                    "disk", .warn, "the file system on \(name) has counted \(errors) errors",
                    remedy: "check it with fsck; a card that goes on counting is to be replaced"))
        }
        // mmcblk0p2 is a part of mmcblk0.
        guard name.hasPrefix("mmcblk"), let end = name.firstIndex(of: "p") else { return findings }
        let device = "/sys/block/\(name[..<end])/device"
        // 1: normal, 2: 80 % of the spare blocks are used, 3: urgent (JESD84-B51, PRE_EOL_INFO).
        if let state = Self.line("\(device)/pre_eol_info").flatMap({ Int($0.dropFirst(2), radix: 16) }), state > 1 {
            findings.append(
                .init(
                    "disk", state > 2 ? .fail : .warn, "the storage \(name[..<end]) says that it wears out",
                    remedy: "replace it soon; tidegate queue export saves what waits"))
        }
        return findings
    }

    // MARK: Helpers

    private static func failure(
        _ check: String, _ doing: String, _ code: Int32, remedy: String
    ) -> DoctorReport.Finding {
        .init(check, .fail, "cannot \(doing): \(ErrnoText.text(code))", remedy: remedy)
    }

    /// The first line of a small file; `nil` when it is not there.
    static func line(_ path: String) -> String? {
        guard let bytes = try? SmallFile.read(path, limit: 4_096) else { return nil }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    }
}

/// What a path lies on (proc_pid_mountinfo(5)).
struct Mount: Sendable {
    var point: String
    var type: String
    var device: String
    /// Of the mount and of the file system.
    var options: Set<String>

    /// `nil` when the kernel does not say.
    init?(of path: String, table: String = "/proc/self/mountinfo") {
        guard let bytes = try? SmallFile.read(table, limit: 4 << 20), let real = realpath(path, nil) else { return nil }
        let place = String(cString: real)
        free(real)
        var best: Mount?
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let halves = line.split(separator: " ")
            guard let dash = halves.firstIndex(of: "-"), dash > 5, halves.count > dash + 3 else { continue }
            let point = halves[4].replacing("\\040", with: " ")
            guard place == point || point == "/" || place.hasPrefix("\(point)/"),
                point.utf8.count >= best?.point.utf8.count ?? 0
            else { continue }
            best = Mount(
                point: String(point), type: String(halves[dash + 1]), device: String(halves[dash + 2]),
                options: Set(
                    (halves[5].split(separator: ",") + halves[dash + 3].split(separator: ",")).map(String.init)))
        }
        guard let best else { return nil }
        self = best
    }

    private init(point: String, type: String, device: String, options: Set<String>) {
        self.point = point
        self.type = type
        self.device = device
        self.options = options
    }
}
