import Glibc
package import Logging
import NIOCore
package import NIOPosix
import Readings

/// Answers questions about the running gateway on Unix sockets, to the programs that may open them: those of the service's
/// own user and of root.
///
/// One request a connection: a line, answered with one JSON object, then the connection closes. The line is `status`, or
/// a ``DeviceRequest``,
/// ``SensorRequest`` or ``QueueRequest`` as JSON. A request is at most 2 MiB; a connection that is silent
/// for 30 s is closed, one whose request is being answered after two minutes.
package final class ControlServer: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    /// Who answers; each answers `nil` while the gateway is starting.
    package struct Answers: Sendable {
        package var status: @Sendable () async -> GatewayStatus?
        package var device: @Sendable (DeviceRequest) async -> DeviceAnswer?
        package var sensor: @Sendable (SensorRequest) async -> SensorAnswer?
        package var queue: @Sendable (QueueRequest) async -> QueueAnswer?
        package var reload: @Sendable (ReloadRequest) async -> ReloadAnswer?

        package init(
            status: @escaping @Sendable () async -> GatewayStatus?,
            device: @escaping @Sendable (DeviceRequest) async -> DeviceAnswer?,
            sensor: @escaping @Sendable (SensorRequest) async -> SensorAnswer?,
            queue: @escaping @Sendable (QueueRequest) async -> QueueAnswer?,
            reload: @escaping @Sendable (ReloadRequest) async -> ReloadAnswer?
        ) {
            self.status = status
            self.device = device
            self.sensor = sensor
            self.queue = queue
            self.reload = reload
        }
    }

    private let group: MultiThreadedEventLoopGroup
    private let logger: Logger
    private let answers: Answers

    package init(group: MultiThreadedEventLoopGroup, logger: Logger, answers: Answers) {
        self.group = group
        self.logger = logger
        self.answers = answers
    }

    /// Listens on `path` until `stop` returns. A socket file left by an earlier process is replaced.
    /// - Parameter opened: called once requests are answered there.
    /// - Throws: when the path cannot be used, and when another file takes its place later: looked for once a second,
    ///   since nobody tells.
    package func run(
        at path: String, opened: @Sendable () -> Void, until stop: @escaping @Sendable () async -> Void
    ) async throws(Failure) {
        try ControlSocketFile.makeRoom(at: path)
        let answers = answers
        let channel: any Channel
        do {
            channel = try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 8)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandlers([
                            IdleStateHandler(allTimeout: .seconds(30)), RequestHandler(answers),
                        ])
                    }
                }
                .bind(unixDomainSocketPath: path).get()
        } catch {
            throw ControlSocketFile.failure(at: path, error)
        }
        if chmod(path, 0o660) != 0 {
            logger.warning("the control socket keeps its default mode", metadata: ["path": "\(path)"])
        }
        let file = ControlSocketFile(path)
        opened()
        let isTaken = await withTaskGroup(of: Bool.self) { tasks in
            tasks.addTask {
                await stop()
                return false
            }
            tasks.addTask {
                while let file, file.isInPlace {
                    do { try await Task.sleep(for: .seconds(1)) } catch { return false }
                }
                return true
            }
            defer { tasks.cancelAll() }
            return await tasks.next() ?? false
        }
        try? await channel.close().get()
        if isTaken { throw ControlSocketFile.taken(path) }
        file?.remove()
    }

    private final class RequestHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private static let limit = 2 << 20
        private let answers: Answers
        private var request: [UInt8] = []
        private var isAnswered = false
        private var idleIntervals = 0
        private static let idleLimit = 3

        init(_ answers: Answers) { self.answers = answers }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard !isAnswered else { return }
            let bytes = Self.unwrapInboundIn(data)
            request += bytes.readableBytesView
            // Only what is new can have the end of the line in it.
            guard let end = request[(request.count - bytes.readableBytes)...].firstIndex(of: UInt8(ascii: "\n")) else {
                if request.count > Self.limit { answer(context.channel, .error("the request is too long")) }
                return
            }
            isAnswered = true
            let line = request[..<end]
            if line.elementsEqual("status".utf8) { return Self.report(answers, to: context.channel) }
            Self.perform(Array(line), answers, to: context.channel)
        }

        private static func report(_ answers: Answers, to channel: any Channel) {
            Task {
                let answer = await answers.status()
                reply(channel, answer.map(ControlAnswer.status) ?? .error("the gateway is starting"))
            }
        }

        /// Reads the request off the event loop, which is the LAN's: it may hold a whole password file.
        private static func perform(_ line: [UInt8], _ answers: Answers, to channel: any Channel) {
            Task { reply(channel, await answer(to: line, answers) ?? .error("the gateway is starting")) }
        }

        private static func answer(to line: [UInt8], _ answers: Answers) async -> ControlAnswer? {
            let request: JSONValue
            do throws(JSONError) {
                request = try JSONValue(reading: line, JSONLimits(bytes: limit))
            } catch {
                return .error("the request is not JSON that can be read: \(error)")
            }
            if let request = try? ControlCoding.decode(DeviceRequest.self, from: request) {
                return await answers.device(request).map(ControlAnswer.device)
            }
            if let request = try? ControlCoding.decode(SensorRequest.self, from: request) {
                return await answers.sensor(request).map(ControlAnswer.sensor)
            }
            if let request = try? ControlCoding.decode(QueueRequest.self, from: request) {
                return await answers.queue(request).map(ControlAnswer.queue)
            }
            if let request = try? ControlCoding.decode(ReloadRequest.self, from: request) {
                return await answers.reload(request).map(ControlAnswer.reload)
            }
            return .error("the request is not understood; is it of another version?")
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard event is IdleStateHandler.IdleStateEvent else { return }
            idleIntervals += 1
            // A reload takes its time to answer.
            if !isAnswered || idleIntervals > Self.idleLimit { context.close(promise: nil) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private func answer(_ channel: any Channel, _ answer: ControlAnswer) {
            isAnswered = true
            Self.reply(channel, answer)
        }

        private static func reply(_ channel: any Channel, _ answer: ControlAnswer) {
            let bytes = (try? ControlCoding.encode(answer)) ?? []
            var buffer = channel.allocator.buffer(capacity: bytes.count + 1)
            buffer.writeBytes(bytes)
            buffer.writeInteger(UInt8(ascii: "\n"))
            channel.writeAndFlush(buffer).whenComplete { _ in channel.close(promise: nil) }
        }
    }
}

/// What goes over the control socket: exactly one of them is there.
struct ControlAnswer: Codable, Sendable {
    var status: GatewayStatus?
    var device: DeviceAnswer?
    var sensor: SensorAnswer?
    var queue: QueueAnswer?
    var reload: ReloadAnswer?
    var error: String?

    static func status(_ status: GatewayStatus) -> Self { Self(status: status) }
    static func device(_ device: DeviceAnswer) -> Self { Self(device: device) }
    static func sensor(_ sensor: SensorAnswer) -> Self { Self(sensor: sensor) }
    static func queue(_ queue: QueueAnswer) -> Self { Self(queue: queue) }
    static func reload(_ reload: ReloadAnswer) -> Self { Self(reload: reload) }
    static func error(_ error: String) -> Self { Self(error: error) }
}
