import FoundationEssentials
import Glibc
package import Logging
import NIOCore
package import NIOPosix

/// Answers questions about the running gateway on a Unix socket in the data directory, to whoever may open it: the
/// service's own user and root.
///
/// One request a connection: a line `status`, answered with one JSON object, then the connection closes. A request is
/// at most 64 bytes and a connection lives at most 5 s, so that nobody can hold the server up.
package final class ControlServer: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    private let path: String
    private let group: MultiThreadedEventLoopGroup
    private let logger: Logger
    private let status: @Sendable () async -> GatewayStatus?

    package init(
        path: String, group: MultiThreadedEventLoopGroup, logger: Logger,
        status: @escaping @Sendable () async -> GatewayStatus?
    ) {
        self.path = path
        self.group = group
        self.logger = logger
        self.status = status
    }

    /// Listens until `stop` returns. A socket file left by an earlier process is replaced; that the data directory has
    /// one owner is the outbox's concern.
    package func run(until stop: @escaping @Sendable () async -> Void) async throws(Failure) {
        let status = status
        let channel: any Channel
        do {
            channel = try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 8)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandlers([
                            IdleStateHandler(allTimeout: .seconds(5)), RequestHandler(status: status),
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

        private static let limit = 64
        private let status: @Sendable () async -> GatewayStatus?
        private var request: [UInt8] = []
        private var isAnswered = false

        init(status: @escaping @Sendable () async -> GatewayStatus?) { self.status = status }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard !isAnswered else { return }
            request += Self.unwrapInboundIn(data).readableBytesView
            guard let end = request.firstIndex(of: UInt8(ascii: "\n")) else {
                if request.count > Self.limit { answer(context.channel, .error("the request is too long")) }
                return
            }
            isAnswered = true
            guard request[..<end].elementsEqual("status".utf8) else {
                return answer(context.channel, .error("unknown request; known is: status"))
            }
            Self.report(status, to: context.channel)
        }

        private static func report(_ status: @escaping @Sendable () async -> GatewayStatus?, to channel: any Channel) {
            Task {
                let answer = await status()
                reply(channel, answer.map(ControlAnswer.status) ?? .error("the gateway is starting"))
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

/// What goes over the control socket: exactly one of the two is there.
struct ControlAnswer: Codable, Sendable {
    var status: GatewayStatus?
    var error: String?

    static func status(_ status: GatewayStatus) -> Self { Self(status: status) }
    static func error(_ error: String) -> Self { Self(error: error) }
}
