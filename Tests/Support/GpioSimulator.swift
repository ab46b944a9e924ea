import Glibc
import Synchronization

/// The kernel's gpio-sim, as the virtual machine of `Tests/VM/test-gpio` has it.
package enum GpioSimulator {
    package static let isHere = getenv("GPIO_SIM") != nil
    private static let folder = getenv("GPIO_SIM").map { String(cString: $0) } ?? ""

    /// Drives an input.
    package static func pull(_ line: Int, up: Bool) { toggle(line, [up]) }

    /// Drives an input through `levels`, as fast as the simulator can.
    package static func toggle(_ line: Int, _ levels: some Sequence<Bool>) {
        let file = open("\(folder)/sim_gpio\(line)/pull", O_WRONLY | O_CLOEXEC)
        precondition(file >= 0, "no simulated line \(line)")
        defer { close(file) }
        let up = Array("pull-up".utf8)
        let down = Array("pull-down".utf8)
        for level in levels { _ = level ? pwrite(file, up, up.count, 0) : pwrite(file, down, down.count, 0) }
    }

    /// What an output is at.
    package static func level(_ line: Int) -> Bool? {
        let file = open("\(folder)/sim_gpio\(line)/value", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var byte: UInt8 = 0
        return read(file, &byte, 1) == 1 ? byte == UInt8(ascii: "1") : nil
    }

    /// Looks at an output all the time, from a thread of its own, until `falls` is asked.
    package final class Watch: Sendable {
        private let isOver = Atomic(false)
        private let count = Atomic(0)
        private let watching = Mutex<Task<Void, any Error>?>(nil)

        package init(_ line: Int) {
            let task = Task {
                try await onOwnThread {
                    while !self.isOver.load(ordering: .relaxed) {
                        if GpioSimulator.level(line) != true { self.count.add(1, ordering: .relaxed) }
                        usleep(500)
                    }
                }
            }
            watching.withLock { $0 = task }
        }

        /// Ends the watch.
        /// - Returns: how often the line was not high.
        package func falls() async throws -> Int {
            isOver.store(true, ordering: .relaxed)
            try await watching.withLock { $0 }?.value
            return count.load(ordering: .relaxed)
        }
    }
}
