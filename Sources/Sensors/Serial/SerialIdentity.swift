import Glibc

/// Which serial port: a path, or a place on the USB tree that stays the same when the adapter is plugged in anew, also
/// for adapters without a serial number.
package enum SerialIdentity: Hashable, Sendable, CustomStringConvertible {
    /// `/dev/ttyAMA0`, or a link below `/dev/serial/by-id` or `by-path`; followed at each opening.
    case path(String)
    /// Vendor and product in hexadecimal, and where it is plugged in, as the kernel names it: `1-1.2`, or with the
    /// interface of a chip that has several ports `1-1.2:1.1`; `nil`: wherever.
    case usb(vendor: String, product: String, place: String?)

    package struct Failure: Error, Hashable, Sendable {
        package var expected: String
    }

    /// Parses `usb = "0403:6001@1-1.2"`; the place may be left out.
    package init(usb text: String) throws(Failure) {
        let failure = Failure(
            expected: "VENDOR:PRODUCT@BUS-PORT, such as \"0403:6001@1-1.2\" (see: tidegate sensor scan)")
        let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let ids = halves[0].split(separator: ":", omittingEmptySubsequences: false)
        guard ids.count == 2, ids.allSatisfy({ $0.utf8.count == 4 && $0.allSatisfy(\.isHexDigit) }) else {
            throw failure
        }
        var place: String?
        if halves.count == 2 {
            let isPlace =
                halves[1].contains("-") && halves[1].allSatisfy { $0.isASCII && ($0.isNumber || "-.:".contains($0)) }
            guard isPlace else { throw failure }
            place = String(halves[1])
        }
        self = .usb(vendor: ids[0].lowercased(), product: ids[1].lowercased(), place: place)
    }

    package var description: String {
        switch self {
        case .path(let path): path
        case .usb(let vendor, let product, let place): "\(vendor):\(product)" + (place.map { "@\($0)" } ?? "")
        }
    }

    /// The port's file, if it is there.
    var files: [String] { (try? path()).flatMap { SysfsFile.exists($0) ? [$0] : nil } ?? [] }

    /// The path to open now.
    /// - Parameter root: where `sys` and `dev` are; `""` outside tests.
    package func path(root: String = "") throws(SensorError) -> String {
        switch self {
        case .path(let path): return path
        case .usb(let vendor, let product, let place):
            return try find(vendor: vendor, product: product, place: place, root: root)
        }
    }

    private func find(vendor: String, product: String, place: String?, root: String) throws(SensorError) -> String {
        let ports = SerialPorts.list(root: root)
        let found = ports.filter { port in
            guard let usb = port.usb, usb.vendor == vendor, usb.product == product else { return false }
            return place == nil || place == usb.place || place == usb.interface
        }
        let doing = "find the serial port \(self)"
        guard let first = found.first else {
            let there = ports.compactMap { $0.usb?.description }
            throw SensorError(
                doing: doing, reason: "no such adapter is plugged in",
                remedy: there.isEmpty
                    ? "plug it in; no USB serial port is there now"
                    : "plug it in; these are there: \(there.joined(separator: ", "))",
                isAbsent: true)
        }
        guard found.count == 1 else {
            throw SensorError(
                doing: doing, reason: "there are several",
                remedy: "say which: \(found.compactMap { $0.usb?.description }.joined(separator: ", "))")
        }
        return first.path
    }
}

/// The serial ports that are there.
package enum SerialPorts {
    /// Where a USB serial port is plugged in, and what it says it is.
    package struct USB: Hashable, Sendable, CustomStringConvertible {
        package var vendor: String
        package var product: String
        /// `1-1.2`: bus and ports on the way.
        package var place: String
        /// `1-1.2:1.0`: and the interface.
        package var interface: String
        /// What its maker calls it; empty when it does not say.
        package var name: String
        /// The only port of its adapter.
        package var isAlone: Bool

        /// As `usb = "…"` is written.
        package var description: String { "\(vendor):\(product)@\(isAlone ? place : interface)" }
    }

    package struct Port: Hashable, Sendable {
        package var path: String
        package var usb: USB?
        /// Links below `/dev/serial` that lead to it.
        package var links: [String]
    }

    /// Reads the kernel's own list; a port without hardware behind it, of which there are many, is left out.
    package static func list(root: String = "") -> [Port] {
        let links = links(root: root)
        var ports: [Port] = []
        for name in SysfsFile.names(in: "\(root)/sys/class/tty") {
            guard let device = realPath("\(root)/sys/class/tty/\(name)/device") else { continue }
            // The 8250 driver makes ports for hardware that may not be there: those have no type.
            if SysfsFile.text("\(root)/sys/class/tty/\(name)/type") == "0" { continue }
            let path = "\(root)/dev/\(name)"
            ports.append(Port(path: path, usb: usb(device, root: root), links: links[name] ?? []))
        }
        let adapters = Dictionary(grouping: ports.compactMap(\.usb), by: \.place)
        for index in ports.indices {
            if let place = ports[index].usb?.place { ports[index].usb?.isAlone = adapters[place]?.count == 1 }
        }
        return ports
    }

    /// Walks up to the interface and its device, as in …/usb1/1-1/1-1.2/1-1.2:1.0/ttyUSB0.
    private static func usb(_ device: String, root: String) -> USB? {
        var path = device[...]
        var interface: String?
        while let slash = path.lastIndex(of: "/"), slash > path.startIndex {
            let name = String(path[path.index(after: slash)...])
            if interface == nil, name.contains(":"), access("\(path)/bInterfaceNumber", F_OK) == 0 { interface = name }
            if let vendor = SysfsFile.text("\(path)/idVendor"), let product = SysfsFile.text("\(path)/idProduct") {
                return USB(
                    vendor: vendor.lowercased(), product: product.lowercased(), place: name,
                    interface: interface ?? name, name: SysfsFile.text("\(path)/product") ?? "",
                    isAlone: true)
            }
            path = path[..<slash]
        }
        return nil
    }

    private static func links(root: String) -> [String: [String]] {
        var links: [String: [String]] = [:]
        for folder in ["by-path", "by-id"] {
            for name in SysfsFile.names(in: "\(root)/dev/serial/\(folder)") {
                let link = "\(root)/dev/serial/\(folder)/\(name)"
                guard let target = realPath(link)?.split(separator: "/").last else { continue }
                links[String(target), default: []].append(link)
            }
        }
        return links
    }

    private static func realPath(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }
}
