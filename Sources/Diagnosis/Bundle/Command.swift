import Glibc

/// Runs another program and keeps what it says, within bounds.
enum Command {
    /// - Parameters:
    ///   - words: the program, looked for in PATH, and its arguments.
    ///   - limit: bytes of its output that are kept; what is beyond is thrown away.
    ///   - patience: it is killed when it has not ended by then.
    /// - Returns: what it wrote to standard output and error; `nil` when it cannot be started.
    static func run(
        _ words: [String], limit: Int = 1 << 20, patience: Duration = .seconds(10)
    ) -> (output: [UInt8], succeeded: Bool)? {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        for descriptor in [STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_adddup2(&actions, ends[1], descriptor)
        }
        for descriptor in ends { posix_spawn_file_actions_addclose(&actions, descriptor) }
        // Signals that this process ignores or blocks would be ignored or blocked there too (execve(2)).
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var all = sigset_t()
        sigfillset(&all)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK))
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var process = pid_t()
        let code = posix_spawnp(&process, words[0], &actions, &attributes, arguments, environ)
        close(ends[1])
        defer { close(ends[0]) }
        guard code == 0 else { return nil }
        let (output, isOver) = read(ends[0], limit: limit, patience: patience)
        if !isOver { kill(process, SIGKILL) }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return (output, isOver && status == 0)
    }

    /// - Returns: what was read, and whether the other end was closed in time.
    private static func read(_ descriptor: Int32, limit: Int, patience: Duration) -> ([UInt8], Bool) {
        let clock = ContinuousClock()
        let deadline = clock.now + patience
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while true {
            let left = (deadline - clock.now).components
            let milliseconds = Int32(clamping: left.seconds * 1_000 + left.attoseconds / 1_000_000_000_000_000)
            guard milliseconds > 0 else { return (output, false) }
            var waiting = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
            guard poll(&waiting, 1, milliseconds) > 0 else { continue }
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return (output, true) }
            output += chunk[..<min(count, max(0, limit - output.count))]
        }
    }
}
