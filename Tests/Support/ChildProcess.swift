package import Glibc
import Synchronization

/// A real program, started by a test and gone at its end at the latest. What it prints goes to files, so that a full
/// pipe can never stall it.
package final class ChildProcess: Sendable {
    package struct SpawnFailure: Error, CustomStringConvertible {
        package let description: String

        package init(description: String) { self.description = description }
    }

    package enum Ending: Hashable, Sendable {
        case exited(Int32)
        case signalled(Int32)

        /// From waitpid(2)'s status.
        fileprivate init(_ status: Int32) {
            self = status & 0x7F == 0 ? .exited(status >> 8 & 0xFF) : .signalled(status & 0x7F)
        }
    }

    package let pid: pid_t
    private let outputPath: String
    private let errorPath: String
    private let directory: TemporaryDirectory
    private let ending = Mutex<Ending?>(nil)

    /// Starts `arguments[0]`, searched in `PATH` unless it has a slash, with the environment and `environment` on top.
    /// - Parameter output: a file for what it prints on both, instead of one of its own for each.
    package init(
        _ arguments: [String], environment: [String: String] = [:], input: String = "/dev/null", output: String? = nil
    ) throws {
        directory = try TemporaryDirectory()
        outputPath = output ?? directory["stdout"]
        errorPath = output ?? directory["stderr"]
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, errorPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // The test runner blocks signals in some threads; a child must not inherit that.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var merged = Self.inherited()
        merged.merge(environment) { _, new in new }
        var envp: [UnsafeMutablePointer<CChar>?] = merged.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer { (argv + envp).forEach { free($0) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, arguments[0], &actions, &attributes, &argv, &envp)
        guard code == 0 else {
            throw SpawnFailure(description: "cannot start \(arguments[0]): \(String(cString: strerror(code)))")
        }
        pid = child
    }

    deinit {
        if ending.withLock({ $0 }) == nil {
            Glibc.kill(pid, SIGKILL)
            var status: Int32 = 0
            waitpid(pid, &status, 0)
        }
    }

    private static func inherited() -> [String: String] {
        var result: [String: String] = [:]
        var cursor = environ
        while let entry = cursor.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                result[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            cursor += 1
        }
        return result
    }

    /// What it printed on standard output so far.
    package var output: String { textOfFile(outputPath) }
    package var outputLines: [Substring] { output.split(separator: "\n") }
    /// What it printed on standard error so far.
    package var errors: String { textOfFile(errorPath) }

    /// Sends a signal, unless it has ended already.
    package func signal(_ number: Int32) {
        ending.withLock { if $0 == nil { _ = Glibc.kill(pid, number) } }
    }

    /// How it ended, if it has.
    package var endingIfOver: Ending? {
        ending.withLock { ending in
            if let ending { return ending }
            var status: Int32 = 0
            guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
            ending = Ending(status)
            return ending
        }
    }

    /// Waits for its end; `nil` when it still runs after `limit`.
    package func wait(upTo limit: Duration = .seconds(20)) async -> Ending? {
        _ = await eventually(within: limit) { self.endingIfOver != nil }
        return endingIfOver
    }

    /// Signals it and blocks until it is gone.
    package func end(_ number: Int32) {
        ending.withLock { ending in
            guard ending == nil else { return }
            _ = Glibc.kill(pid, number)
            var status: Int32 = 0
            while waitpid(pid, &status, 0) < 0, errno == EINTR {}
            ending = Ending(status)
        }
    }

    /// Runs a program to its end, blocking; returns its exit status, -1 when a signal ended it.
    package static func run(_ arguments: [String], output: String) throws -> Int32 {
        let process = try ChildProcess(arguments, output: output)
        return process.ending.withLock { ending in
            var status: Int32 = 0
            while waitpid(process.pid, &status, 0) < 0, errno == EINTR {}
            ending = Ending(status)
            if case .exited(let code) = ending { return code }
            return -1
        }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    package func kill() async {
        signal(SIGKILL)
        _ = await wait()
    }

    /// Anonymous resident memory, in bytes (`RssAnon` of /proc/PID/status, proc(5)).
    package var anonymousMemory: Int {
        for line in textOfFile("/proc/\(pid)/status").split(separator: "\n") where line.hasPrefix("RssAnon:") {
            return (line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Int($0) } ?? 0)
                * 1_024
        }
        return 0
    }
}

/// Runs a program to its end; `nil` as the ending when it took longer than `limit`.
package func runToEnd(
    _ arguments: [String], environment: [String: String] = [:], input: String = "/dev/null",
    upTo limit: Duration = .seconds(30)
) async throws -> (ending: ChildProcess.Ending?, output: String, errors: String) {
    let process = try ChildProcess(arguments, environment: environment, input: input)
    let ending = await process.wait(upTo: limit)
    return (ending, process.output, process.errors)
}

/// True when a program of that name is in `PATH`.
package func isInstalled(_ program: String) -> Bool {
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    let folders: [String] = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
    return folders.contains { access("\($0)/\(program)", X_OK) == 0 }
}
