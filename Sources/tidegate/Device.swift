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
                once, also for devices that are connected; the gateway need not run.

                  tidegate device add pump-7
                  tidegate device allow --user pump-7 readwrite 'pumps/{client}/#'
                  tidegate device rules
                """,
            subcommands: [
                Add.self, Passwd.self, Remove.self, List.self, Import.self, Allow.self, Deny.self, Rules.self,
                Reopen.self,
            ])
    }

    struct DeviceOptions: ParsableArguments {
        @OptionGroup var gateway: GatewayOptions

        func perform(_ request: DeviceRequest) async throws(GatewayError) {
            let answer = try await DeviceCommands.perform(request, dataDirectory: gateway.dataDirectory)
            if let failure = answer.failure {
                StandardError.print("tidegate: \(failure.text)")
                Glibc.exit(failure.exitCode)
            }
            print(answer.text)
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
            abstract: "Remove a user, and close its connections.",
            discussion: "Rules for the name stay: without the last one everything would be allowed.")

        @OptionGroup var options: Tidegate.DeviceOptions
        @Argument(help: "The user's name.") var name: String

        func run() async throws {
            do throws(GatewayError) { try await options.perform(.remove(user: name)) } catch { throw exit(with: error) }
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
                filters that match nothing else. readwrite: all three. In the filter {client} stands for the client \
                identifier and {user} for the user's name.
                """)

        @OptionGroup var options: Tidegate.DeviceOptions
        @Option(help: "Only for this user; for everybody unless given.") var user: String?
        @Argument(help: "read, write, subscribe or readwrite.") var access: String
        @Argument(help: "A topic filter, such as 'sensors/{client}/#'.") var filter: String

        func run() async throws {
            do throws(GatewayError) {
                try await options.perform(.allow(user: user, access: access, filter: filter))
            } catch { throw exit(with: error) }
        }
    }

    struct Deny: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take a rule away again.",
            discussion: "With the last rule, everything is allowed again.")

        @OptionGroup var options: Tidegate.DeviceOptions
        @Argument(help: "The rule's number; see them with: tidegate device rules") var rule: Int64

        func run() async throws {
            do throws(GatewayError) { try await options.perform(.removeRule(rule)) } catch { throw exit(with: error) }
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
