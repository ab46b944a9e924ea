import Glibc
import TestSupport
import Testing

@testable import Sensors

@Suite struct DeviceAccessTests {
    @Test(.enabled(if: geteuid() == 0, "only root may give a file to a group"))
    func namesTheGroupThatMayOpenTheDevice() throws {
        let directory = try TemporaryDirectory()
        let path = try directory.write("", to: "device", mode: 0o660)
        let dialout = try #require(getgrnam("dialout")?.pointee.gr_gid)
        try #require(chown(path, geteuid(), dialout) == 0)
        #expect(DeviceAccess.remedy(for: path).contains("usermod -aG dialout "))
        // Not for the group to open: joining it would not help.
        chmod(path, 0o600)
        #expect(DeviceAccess.remedy(for: path).contains("udev rules"))
    }
}
