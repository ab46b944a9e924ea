import Glibc
import Synchronization

/// A program that the test started, and that ends with it. Its output goes to a file.
final class ChildProcess: Sendable {
    private let identifier: Mutex<pid_t?>

    /// - Parameter output: the file that gets standard output and standard error.
    init(_ arguments: [String], output: String) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawnp(&child, arguments[0], &actions, &attributes, &pointers, environ)
        guard code == 0 else { throw TestFailure("cannot start \(arguments[0]): errno \(code)") }
        identifier = Mutex(child)
    }

    deinit { end(SIGKILL) }

    func signal(_ number: Int32) {
        identifier.withLock { if let child = $0 { _ = kill(child, number) } }
    }

    /// Signals and waits for the end.
    func end(_ number: Int32) {
        identifier.withLock {
            guard let child = $0 else { return }
            kill(child, number)
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            $0 = nil
        }
    }

    /// Runs to the end and returns the exit status.
    static func run(_ arguments: [String], output: String) throws -> Int32 {
        let process = try ChildProcess(arguments, output: output)
        return process.identifier.withLock {
            guard let child = $0 else { return -1 }
            var status: Int32 = 0
            while waitpid(child, &status, 0) < 0, errno == EINTR {}
            $0 = nil
            return status & 0x7F == 0 ? status >> 8 & 0xFF : -1
        }
    }

    static func isInstalled(_ program: String) -> Bool {
        ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"].contains {
            access("\($0)/\(program)", X_OK) == 0
        }
    }
}

/// `environ` is a global variable of C, which Swift 6 only allows to be read with care: nobody writes it here.
private nonisolated(unsafe) let environ = Glibc.environ
