import FoundationEssentials
import Glibc
package import Logging
import NIOCore
package import NIOPosix

/// Answers questions about the running gateway on a Unix socket in the data directory, to whoever may open it: the
/// service's own user and root.
///
/// One request a connection: a line, answered with one JSON object, then the connection closes. The line is `status`, or
/// a ``DeviceRequest``,
/// ``SensorRequest`` or ``QueueRequest`` as JSON. A request is at most 2 MiB and a connection lives at most 30 s, so that nobody can hold
/// the server up.
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

        package init(
            status: @escaping @Sendable () async -> GatewayStatus?,
            device: @escaping @Sendable (DeviceRequest) async -> DeviceAnswer?,
            sensor: @escaping @Sendable (SensorRequest) async -> SensorAnswer?,
            queue: @escaping @Sendable (QueueRequest) async -> QueueAnswer?
        ) {
            self.status = status
            self.device = device
            self.sensor = sensor
            self.queue = queue
        }
    }

    private let path: String
    private let group: MultiThreadedEventLoopGroup
    private let logger: Logger
    private let answers: Answers

    package init(path: String, group: MultiThreadedEventLoopGroup, logger: Logger, answers: Answers) {
        self.path = path
        self.group = group
        self.logger = logger
        self.answers = answers
    }

    /// Listens until `stop` returns. A socket file left by an earlier process is replaced; that the data directory has
    /// one owner is the outbox's concern.
    package func run(until stop: @escaping @Sendable () async -> Void) async throws(Failure) {
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
                .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        } catch {
            throw Failure(description: "cannot open the control socket \(path): \(error)")
        }
        if chmod(path, 0o660) != 0 {
            logger.warning("the control socket keeps its default mode", metadata: ["path": "\(path)"])
        }
        await stop()
        try? await channel.close().get()
        unlink(path)
    }

    private final class RequestHandler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private static let limit = 2 << 20
        private let answers: Answers
        private var request: [UInt8] = []
        private var isAnswered = false

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
            Self.perform(Data(line), answers, to: context.channel)
        }

        private static func report(_ answers: Answers, to channel: any Channel) {
            Task {
                let answer = await answers.status()
                reply(channel, answer.map(ControlAnswer.status) ?? .error("the gateway is starting"))
            }
        }

        /// Reads the request off the event loop, which is the LAN's: it may hold a whole password file.
        private static func perform(_ line: Data, _ answers: Answers, to channel: any Channel) {
            Task {
                let answer: ControlAnswer?
                if let request = try? JSONDecoder().decode(DeviceRequest.self, from: line) {
                    answer = await answers.device(request).map(ControlAnswer.device)
                } else if let request = try? JSONDecoder().decode(SensorRequest.self, from: line) {
                    answer = await answers.sensor(request).map(ControlAnswer.sensor)
                } else if let request = try? JSONDecoder().decode(QueueRequest.self, from: line) {
                    answer = await answers.queue(request).map(ControlAnswer.queue)
                } else {
                    answer = .error("the request is not understood; is it of another version?")
                }
                reply(channel, answer ?? .error("the gateway is starting"))
            }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private func answer(_ channel: any Channel, _ answer: ControlAnswer) {
            isAnswered = true
            Self.reply(channel, answer)
        }

        private static func reply(_ channel: any Channel, _ answer: ControlAnswer) {
            let bytes = (try? JSONEncoder().encode(answer)) ?? Data()
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
    var error: String?

    static func status(_ status: GatewayStatus) -> Self { Self(status: status) }
    static func device(_ device: DeviceAnswer) -> Self { Self(device: device) }
    static func sensor(_ sensor: SensorAnswer) -> Self { Self(sensor: sensor) }
    static func queue(_ queue: QueueAnswer) -> Self { Self(queue: queue) }
    static func error(_ error: String) -> Self { Self(error: error) }
}
