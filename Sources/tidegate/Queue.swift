import Admin
import ArgumentParser
import Configuration
import Gateway
import Glibc

extension Tidegate {
    /// What waits for the upstream.
    struct Queue: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "What waits for the upstream: look at it, export it, drop it, try again what was refused.",
            discussion: """
                Without a subcommand: each class's length, bytes, oldest message, rate, and how long an outage may last \
                at that rate before messages are lost.

                  tidegate queue
                  tidegate queue peek --class events
                  tidegate queue export --jsonl > queue.jsonl
                  tidegate queue peek --refused
                  tidegate queue retry
                  tidegate queue purge --class bulk

                The gateway need not run.
                """,
            subcommands: [List.self, Peek.self, Export.self, Purge.self, Retry.self], defaultSubcommand: List.self)
    }
}

/// Which queue a command is about.
struct QueueOptions: ParsableArguments {
    @OptionGroup var gateway: GatewayOptions

    /// Calls `body` with a way to ask, and prints what it throws.
    func use(_ body: (QueueCommands) async throws(GatewayError) -> Void) async throws(GatewayError) {
        // A queue may be looked at without its gateway's settings, and when these have mistakes.
        let commands = try QueueCommands(try? gateway.load().settings, dataDirectory: gateway.dataDirectory)
        do throws(GatewayError) {
            try await body(commands)
        } catch {
            await commands.close()
            throw error
        }
        await commands.close()
    }
}

extension QueueCommands {
    /// - Throws: also what the answer says that could not be done.
    fileprivate func ask(_ request: QueueRequest) async throws(GatewayError) -> QueueAnswer {
        let answer = try await perform(request)
        if let failure = answer.failure {
            StandardError.print("tidegate: \(failure.text)")
            await close()
            Glibc.exit(failure.exitCode)
        }
        return answer
    }

    /// Calls `body` with message after message, `limit` of them at most.
    fileprivate func messages(
        class name: String?, refused: Bool, limit: Int = .max, _ body: (QueuedMessage) -> Void
    ) async throws(GatewayError) {
        var after: Int64?
        var left = limit
        while left > 0 {
            let answer = try await ask(
                .messages(class: name, refused: refused, after: after, limit: min(left, 1_000)))
            guard let messages = answer.messages, !messages.isEmpty else { return }
            for message in messages { body(message) }
            left -= messages.count
            guard let next = answer.next else { return }
            after = next
        }
    }
}

extension Tidegate.Queue {
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show each class's queue.")

        @OptionGroup var queue: QueueOptions
        @Flag(help: "Print one JSON array instead, for scripts.") var json = false

        func run() async throws {
            do throws(GatewayError) {
                try await queue.use { commands throws(GatewayError) in
                    let queues = try await commands.ask(.list).queues ?? []
                    print(json ? ControlClient.json(queues) : queues.map(\.text).joined(separator: "\n"))
                }
            } catch { throw exit(with: error) }
        }
    }

    struct Peek: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show the oldest messages: time, class, sequence, topic, payload.")

        @OptionGroup var queue: QueueOptions
        @Option(name: .customLong("class"), help: "Only this class.") var name: String?
        @Flag(help: "What the upstream refused, with its reason, instead.") var refused = false
        @Option(help: "How many.") var limit = 10

        func validate() throws {
            guard limit > 0 else { throw ValidationError("--limit: expected a number above 0") }
        }

        func run() async throws {
            do throws(GatewayError) {
                try await queue.use { commands throws(GatewayError) in
                    try await commands.messages(class: name, refused: refused, limit: limit) { print($0.text) }
                }
            } catch { throw exit(with: error) }
        }
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write all messages to standard output, one JSON object a line.",
            discussion: """
                Nothing is removed from the queue. The running gateway goes on delivering meanwhile: what it delivers \
                before it is read is not in the export. Payloads that are not UTF-8 stand in payloadBase64, what the \
                publisher said beside the payload in properties and expiry (seconds).
                """)

        @OptionGroup var queue: QueueOptions
        @Flag(help: "JSON lines: the one format there is.") var jsonl = false
        @Option(name: .customLong("class"), help: "Only this class.") var name: String?
        @Flag(help: "What the upstream refused instead.") var refused = false

        func run() async throws {
            do throws(GatewayError) {
                try await queue.use { commands throws(GatewayError) in
                    try await commands.messages(class: name, refused: refused) { print($0.json) }
                }
            } catch { throw exit(with: error) }
        }
    }

    struct Purge: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Drop what waits. It cannot be undone.",
            discussion: """
                Asks first. What is on its way at the moment stays; a gap record tells the upstream what was dropped.
                """)

        @OptionGroup var queue: QueueOptions
        @Option(name: .customLong("class"), help: "Only this class.") var name: String?
        @Flag(help: "Delete what the upstream refused instead.") var refused = false
        @Flag(help: "Do not ask.") var yes = false

        func run() async throws {
            do throws(GatewayError) {
                try await queue.use { commands throws(GatewayError) in
                    let queues = (try await commands.ask(.list).queues ?? []).filter { name == nil || $0.name == name }
                    let count = queues.reduce(0) { $0 + (refused ? $1.setAside : $1.messages) }
                    let what = refused ? "refused messages" : "messages that wait"
                    guard yes || confirms("drop \(count) \(what)\(name.map { " in \($0)" } ?? "")? [y/N] ") else {
                        throw GatewayError(
                            .usage, doing: "purge the queue", reason: "it was not confirmed",
                            remedy: "answer y, or give --yes")
                    }
                    print(try await commands.ask(.purge(class: name, refused: refused)).done ?? "")
                }
            } catch { throw exit(with: error) }
        }

        private func confirms(_ question: String) -> Bool {
            _ = Array(question.utf8).withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
            return ["y", "yes"].contains(readLine()?.lowercased())
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Put what the upstream refused at the end of the queue once more.",
            discussion: "After the reason is gone: the account has the right now, the limit is higher.")

        @OptionGroup var queue: QueueOptions
        @Option(name: .customLong("class"), help: "Only this class.") var name: String?

        func run() async throws {
            do throws(GatewayError) {
                try await queue.use { commands throws(GatewayError) in
                    print(try await commands.ask(.retry(class: name)).done ?? "")
                }
            } catch { throw exit(with: error) }
        }
    }
}
