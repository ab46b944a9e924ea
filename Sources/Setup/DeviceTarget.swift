import Admin
package import Configuration
import Glibc
import Linux

/// Which gateway `tidegate device` is about.
package struct DeviceTarget: Sendable {
    /// Of a gateway that was found, and whose folder is not known: its socket.
    package let dataDirectory: String
    /// Where it is asked; `nil`: no gateway runs.
    let socketPath: String?
    /// It was neither named nor found in the usual place, but is the only gateway that runs on this machine.
    package let isFound: Bool

    package var isRunning: Bool { socketPath != nil }

    package var statePath: String { "\(dataDirectory)/state.db" }

    /// The gateway of `dataDirectory` or, where that was not named and nobody answers there, the one that runs on this
    /// machine with other settings: to change a file that no gateway reads would help nobody.
    /// - Parameter isNamed: the settings file or the folder stands on the command line.
    /// - Throws: where several gateways run, or one may not be asked.
    package static func find(_ dataDirectory: String, isNamed: Bool) throws(GatewayError) -> DeviceTarget {
        let usual = ControlSocket.path(in: dataDirectory)
        do throws(ControlClient.Failure) {
            if try ControlClient.isAnswered(socketPath: usual) {
                return DeviceTarget(dataDirectory: dataDirectory, socketPath: usual, isFound: false)
            }
        } catch {
            throw GatewayError(error, doing: "ask the running gateway")
        }
        let none = DeviceTarget(dataDirectory: dataDirectory, socketPath: nil, isFound: false)
        guard !isNamed else { return none }
        let others = try running()
        guard others.count <= 1 else {
            throw GatewayError(
                .usage, doing: "choose a gateway",
                reason: "several run here: \(others.map(\.dataDirectory).joined(separator: ", "))",
                remedy: "name one with --data-dir, or its settings with -c")
        }
        return others.first ?? none
    }

    /// The gateways that run on this machine: those whose control sockets answer as one (proc(5), `/proc/net/unix`).
    private static func running() throws(GatewayError) -> [DeviceTarget] {
        guard let bytes = try? SmallFile.read("/proc/net/unix", limit: 4 << 20) else { return [] }
        let inFolder = ControlSocket.path(inDataDirectory: "")
        // A gateway has several sockets; its process says which are its.
        var found: [Int: DeviceTarget] = [:]
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let path = String(line.drop { $0 != "/" })
            let name = path.split(separator: "/").last ?? ""
            guard name.hasPrefix("control"), name.hasSuffix(".sock") else { continue }
            do throws(ControlClient.Failure) {
                let process = try ControlClient.status(socketPath: path).processID ?? 0
                let isInFolder = path.hasSuffix(inFolder)
                guard isInFolder || found[process] == nil else { continue }
                found[process] = DeviceTarget(
                    dataDirectory: isInFolder ? String(path.dropLast(inFolder.count)) : path, socketPath: path,
                    isFound: true)
            } catch .permission {
                throw GatewayError(
                    .permission, doing: "ask the gateway at \(path)", reason: "no permission",
                    remedy: "run this as root or as the gateway's user")
            } catch {
                // Another program's socket of this name, or one that nobody serves.
            }
        }
        return found.values.sorted { $0.dataDirectory < $1.dataDirectory }
    }

    /// Makes sure that there is a state file: to look at it must not make one.
    func requireState() throws(GatewayError) {
        guard access(statePath, F_OK) != 0 else { return }
        let code = errno
        throw GatewayError(
            code == EACCES ? .permission : .unavailable, doing: "read users and access rules of \(statePath)",
            reason: String(cString: strerror(code)),
            remedy: code == EACCES
                ? "run this as root or as the gateway's user"
                : "name the gateway's settings with -c, or its folder with --data-dir; a gateway that never ran has no "
                    + "users")
    }
}
