import Glibc
import Testing

/// Modbus devices on one line, a pty, that can be made to misbehave: pymodbus's, as Tests/Peers/modbus_slaves.py has
/// them.
package final class ModbusSlaves {
    private let addresses: [Int]
    private let directory: TemporaryDirectory
    private var process: ChildProcess
    /// The device file of the line.
    package var line: String { directory["line"] }

    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    /// Returns when they answer.
    package init(_ addresses: [Int]) async throws {
        self.addresses = addresses
        directory = try TemporaryDirectory()
        process = try Self.start(addresses, in: directory)
        try await isReady()
    }

    private static func start(_ addresses: [Int], in directory: TemporaryDirectory) throws -> ChildProcess {
        try ChildProcess(
            [
                "\(root)/.build/clients/bin/python", "\(root)/Tests/Peers/modbus_slaves.py", directory["line"],
                directory["faults"],
            ] + addresses.map { "\($0)" })
    }

    private func isReady() async throws {
        let process = process
        try #require(await eventually(within: .seconds(60)) { process.output.contains("ready") }, "\(process.errors)")
    }

    /// One line each, as modbus_slaves.py describes them.
    package func faults(_ lines: [String]) throws {
        _ = try directory.write(lines.joined(separator: "\n"), to: "faults.new")
        try #require(rename(directory["faults.new"], directory["faults"]) == 0)
    }

    /// The values of the registers that were written, in their order, one at a time.
    package var writes: [Int] { directory.lines("faults.writes").compactMap { Int($0) } }

    /// The line is gone until `plugIn`.
    package func unplug() async {
        await process.kill()
        unlink(line)
    }

    package func plugIn() async throws {
        process = try Self.start(addresses, in: directory)
        try await isReady()
    }
}
