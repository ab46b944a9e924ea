/// A real mosquitto broker on a loopback port, memory only, with what it logs.
package final class MosquittoProcess: Sendable {
    package let port: Int
    package let process: ChildProcess
    private let directory: TemporaryDirectory

    /// Starts it and waits until it accepts connections.
    /// - Parameter settings: lines of mosquitto.conf(5) that replace `allow_anonymous true`.
    package init(port: Int = freePort(), settings: String = "allow_anonymous true") async throws {
        directory = try TemporaryDirectory()
        let path = try directory.write(
            """
            listener \(port) 127.0.0.1
            persistence false
            max_queued_messages 0
            log_type all
            log_dest stderr
            \(settings)

            """, to: "mosquitto.conf")
        self.port = port
        process = try ChildProcess(["mosquitto", "-c", path], environment: ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"])
        let process = process
        guard await eventually({ acceptsConnections(port) || process.endingIfOver != nil }),
            process.endingIfOver == nil
        else { throw ChildProcess.SpawnFailure(description: "mosquitto does not listen: \(process.errors)") }
    }

    package func stop() async { await process.kill() }
}

/// A `mosquitto_sub` that is subscribed once `init` returns, printing `topic payload` lines.
package final class Subscriber: Sendable {
    package let process: ChildProcess

    package init(port: Int, topic: String, arguments: [String] = ["-v"]) async throws {
        // -d prints the SUBACK, which is the only sign that the subscription stands.
        process = try ChildProcess(
            ["stdbuf", "-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", "\(port)", "-q", "1", "-t", topic]
                + arguments)
        let process = process
        guard await eventually({ process.output.contains("Subscribed (mid") }) else {
            throw ChildProcess.SpawnFailure(
                description: "mosquitto_sub did not subscribe: \(process.output)\(process.errors)")
        }
    }

    /// The messages so far, without mosquitto_sub's own remarks.
    package var messages: [Substring] {
        process.outputLines.filter { !$0.hasPrefix("Client ") && !$0.hasPrefix("Subscribed (mid") }
    }
}
