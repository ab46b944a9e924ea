import Admin
import ArgumentParser
import Configuration
import Glibc
import Setup

extension Tidegate {
    /// Users of the LAN listener, and what they may do.
    struct Device: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Who may use the LAN listener, and what they may do there.",
            discussion: """
                Each device, or each kind of device, logs in as a user. While there are no access rules, everybody who \
                is let in may do everything; with the first rule, whatever no rule allows is denied. Changes hold at \
                once, also for devices that are connected. The commands speak to the gateway that runs, also where it runs with \
                other settings than the usual ones; when none runs they change its state file, and say which.

                  tidegate device add pump-7
                  tidegate device allow --user pump-7 readwrite 'pumps/{user}/#'
                  tidegate device rules
                """,
            subcommands: [
                Add.self, Passwd.self, Remove.self, List.self, Import.self, Allow.self, Disallow.self, Deny.self,
                Rules.self, Reopen.self,
            ])
    }

    struct DeviceOptions: ParsableArguments {
        @OptionGroup var gateway: GatewayOptions

        /// Does what needs no confirmation.
        func perform(_ request: DeviceRequest) async throws(GatewayError) {
            finish(try await ask(request, try target(for: request)))
        }

        /// Says first what would come of it, and asks whether to go on.
        /// - Parameters:
        ///   - isConfirmed: `--yes` stands on the command line.
        ///   - needsAnswer: without a terminal to ask at, nothing is done; else it is said and done.
        func perform(
            isConfirmed: Bool, needsAnswer: Bool, _ request: (_ isConfirmed: Bool) -> DeviceRequest
        ) async throws(GatewayError) {
            let target = try target(for: request(isConfirmed))
            let answer = try await ask(request(isConfirmed), target)
            guard let question = answer.question else { return finish(answer) }
            StandardError.print("tidegate: \(question)")
            if isatty(STDIN_FILENO) != 0 {
                StandardError.print("Go on? Type yes:")
                guard readLine() == "yes" else {
                    StandardError.print("tidegate: nothing was changed")
                    Glibc.exit(64)
                }
            } else if needsAnswer {
                StandardError.print("tidegate: nothing was changed\n  try: the same with --yes")
                Glibc.exit(64)
            }
            finish(try await ask(request(true), target))
        }

        private func target(for request: DeviceRequest) throws(GatewayError) -> DeviceTarget {
            let target = try DeviceTarget.find(gateway.dataDirectory, isNamed: gateway.isNamed)
            if target.isFound {
                StandardError.print("tidegate: this is about the gateway of \(target.dataDirectory), which runs")
            } else if !target.isRunning, request.changes {
                StandardError.print("tidegate: no gateway runs on it: this changes \(target.statePath)")
            }
            return target
        }

        private func ask(_ request: DeviceRequest, _ target: DeviceTarget) async throws(GatewayError) -> DeviceAnswer {
            try await DeviceCommands.perform(
                request, target: target, hasCertificateUsers: gateway.hasCertificateUsers)
        }

        private func finish(_ answer: DeviceAnswer) {
            if let failure = answer.failure {
                StandardError.print("tidegate: \(failure.text)")
                Glibc.exit(failure.exitCode)
            }
            print(answer.text)
            if let note = answer.note { StandardError.print("tidegate: \(note)") }
        }
    }
}

extension Tidegate.Device {
    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Add a user, or give one another password.",
            discussion: "Asks for the password, or takes it from standard input, up to the end of the line.")

        @OptionGroup var options: Tidegate.DeviceOptions
        @Argument(help: "The user's name.") var name: String

        func run() async throws {
            do throws(GatewayError) {
                try await options.perform(.add(user: name, password: try PasswordPrompt.read(for: name)))
            } catch { throw exit(with: error) }
        }
    }

    struct Passwd: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a user another password.",
            discussion: "Asks for the password, or takes it from standard input, up to the end of the line.")

        @OptionGroup var options: Tidegate.DeviceOptions
        @Argument(help: "The user's name.") var name: String

        func run() async throws {
            do throws(GatewayError) {
                try await options.perform(.setPassword(user: name, password: try PasswordPrompt.read(for: name)))
            } catch { throw exit(with: error) }
        }
    }

    struct Remove: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Remove a user, with its rules and sessions, and close its connections.",
            discussion: "Where its rules are the only ones, everything is allowed to everybody then: this asks first.")

        @OptionGroup var options: Tidegate.DeviceOptions
        @Argument(help: "The user's name.") var name: String
        @Flag(help: "Do not ask.") var yes = false

        func run() async throws {
            do throws(GatewayError) {
                try await options.perform(isConfirmed: yes, needsAnswer: true) { .remove(user: name, isConfirmed: $0) }
            } catch { throw exit(with: error) }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the users.")

        @OptionGroup var options: Tidegate.DeviceOptions

        func run() async throws {
            do throws(GatewayError) { try await options.perform(.users) } catch { throw exit(with: error) }
        }
    }

    struct Import: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take over the users of a password file that mosquitto_passwd wrote.",
            discussion: "All of them or, when there is a mistake in the file, none. Other users stay.")

        @OptionGroup var options: Tidegate.DeviceOptions
        @Argument(help: "The file.", completion: .file()) var file: String

        func run() async throws {
            do throws(GatewayError) {
                try await options.perform(.importPasswords(text: try PasswordPrompt.file(file)))
            } catch { throw exit(with: error) }
        }
    }

    struct Allow: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Allow something.",
            discussion: """
                read: to be sent messages of matching topics. write: to publish to them. subscribe: to subscribe to \
                filters that match nothing else. readwrite: all three. In the filter {user} stands for the user's name \
                and {client} for the client identifier, which a device chooses: {client} alone confines nobody. With \
                the first rule everything else is denied: which devices that cuts off is said before.
                """)

        @OptionGroup var options: Tidegate.DeviceOptions
        @Option(help: "Only for this user; for everybody unless given.") var user: String?
        @Argument(help: "read, write, subscribe or readwrite.") var access: String
        @Argument(help: "A topic filter, such as 'sensors/{user}/#'.") var filter: String
        @Flag(help: "Do not ask.") var yes = false

        func run() async throws {
            do throws(GatewayError) {
                try await options.perform(isConfirmed: yes, needsAnswer: false) {
                    .allow(user: user, access: access, filter: filter, isConfirmed: $0)
                }
            } catch { throw exit(with: error) }
        }
    }

    struct Disallow: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a rule away again.",
            discussion: "Without the last rule everything is allowed to everybody: this asks first.")

        @OptionGroup var options: Tidegate.DeviceOptions
        @Argument(help: "The rule's number; see them with: tidegate device rules") var rule: Int64
        @Flag(help: "Do not ask.") var yes = false

        func run() async throws {
            do throws(GatewayError) {
                try await options.perform(isConfirmed: yes, needsAnswer: true) { .removeRule(rule, isConfirmed: $0) }
            } catch { throw exit(with: error) }
        }
    }

    /// What `disallow` was called once. It denied nothing, and what it did may be the opposite of what its name says.
    struct Deny: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Is now called disallow.", shouldDisplay: false)

        @Argument(parsing: .allUnrecognized) var words: [String] = []

        func run() async throws {
            throw ValidationError(
                "nothing can be denied: what no rule allows is. To take a rule away: tidegate device disallow NUMBER")
        }
    }

    struct Rules: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List the access rules: number, user, access, topic filter.")

        @OptionGroup var options: Tidegate.DeviceOptions

        func run() async throws {
            do throws(GatewayError) { try await options.perform(.rules) } catch { throw exit(with: error) }
        }
    }

    struct Reopen: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "After rules were lost with a damaged file: let no rules mean again that everything is allowed.")

        @OptionGroup var options: Tidegate.DeviceOptions

        func run() async throws {
            do throws(GatewayError) { try await options.perform(.reopen) } catch { throw exit(with: error) }
        }
    }
}
