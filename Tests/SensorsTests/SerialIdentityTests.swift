import Glibc
import Sensors
import TestSupport
import Testing

/// Ports by the place where they are plugged in, on a tree as the kernel shows it.
@Suite struct SerialIdentityTests {
    /// A root with USB adapters in it.
    final class Tree {
        let directory: TemporaryDirectory
        var root: String { directory.path }

        init() throws {
            directory = try TemporaryDirectory()
            make("sys/class/tty")
            make("dev/serial/by-path")
        }

        private func make(_ path: String) {
            var folder = root
            for part in path.split(separator: "/") {
                folder += "/\(part)"
                mkdir(folder, 0o755)
            }
        }

        private func write(_ text: String, to path: String) throws {
            let file = try #require(fopen("\(root)/\(path)", "w"))
            fputs(text, file)
            fclose(file)
        }

        /// An adapter's port appears as `name`.
        func plugIn(_ name: String, _ vendor: String, _ product: String, at place: String, interface: Int = 0) throws {
            let device = "sys/devices/platform/usb1/\(place)"
            let port = "\(device)/\(place):1.\(interface)/\(name)"
            make(port)
            try write("\(vendor)\n", to: "\(device)/idVendor")
            try write("\(product)\n", to: "\(device)/idProduct")
            try write("An adapter\n", to: "\(device)/product")
            try write("0\(interface)\n", to: "\(device)/\(place):1.\(interface)/bInterfaceNumber")
            make("sys/class/tty/\(name)")
            symlink("\(root)/\(port)", "\(root)/sys/class/tty/\(name)/device")
            try write("", to: "dev/\(name)")
            symlink("../../\(name)", "\(root)/dev/serial/by-path/platform-\(place)-port\(interface)")
        }

        func unplug(_ name: String) { unlink("\(root)/sys/class/tty/\(name)/device") }
    }

    @Test func anAdapterIsFoundAgainUnderAnotherName() throws {
        let tree = try Tree()
        let identity = try SerialIdentity(usb: "0403:6001@1-1.2")
        let absent = #expect(throws: SensorError.self) { try identity.path(root: tree.root) }
        #expect(absent?.isAbsent == true)
        try tree.plugIn("ttyUSB0", "0403", "6001", at: "1-1.2")
        try tree.plugIn("ttyUSB1", "0403", "6001", at: "1-1.3")
        #expect(try identity.path(root: tree.root) == "\(tree.root)/dev/ttyUSB0")
        // Plugged in anew while the other was there: it has another number now.
        tree.unplug("ttyUSB0")
        try tree.plugIn("ttyUSB2", "0403", "6001", at: "1-1.2")
        #expect(try identity.path(root: tree.root) == "\(tree.root)/dev/ttyUSB2")
        // Another make in that socket is not the one.
        #expect(throws: SensorError.self) { try SerialIdentity(usb: "067b:2303@1-1.2").path(root: tree.root) }
        let several = #expect(throws: SensorError.self) { try SerialIdentity(usb: "0403:6001").path(root: tree.root) }
        #expect(several?.remedy?.contains("0403:6001@1-1.3") == true)
    }

    @Test func aChipWithSeveralPortsNamesTheInterface() throws {
        let tree = try Tree()
        try tree.plugIn("ttyUSB0", "0403", "6010", at: "1-2", interface: 0)
        try tree.plugIn("ttyUSB1", "0403", "6010", at: "1-2", interface: 1)
        #expect(throws: SensorError.self) { try SerialIdentity(usb: "0403:6010@1-2").path(root: tree.root) }
        #expect(try SerialIdentity(usb: "0403:6010@1-2:1.1").path(root: tree.root) == "\(tree.root)/dev/ttyUSB1")
        let ports = SerialPorts.list(root: tree.root)
        #expect(ports.compactMap { $0.usb?.description } == ["0403:6010@1-2:1.0", "0403:6010@1-2:1.1"])
        #expect(ports.map(\.links) == [0, 1].map { ["\(tree.root)/dev/serial/by-path/platform-1-2-port\($0)"] })
    }

    @Test(arguments: ["", "0403", "0403:6001@", "0403:60011", "x403:6001", "0403:6001@usb", "0403:6001@1"])
    func whatIsNoPlaceIsRefused(text: String) {
        #expect(throws: SerialIdentity.Failure.self) { try SerialIdentity(usb: text) }
    }
}
