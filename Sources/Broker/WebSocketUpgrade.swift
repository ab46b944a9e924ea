import NIOCore
import NIOHTTP1
import NIOWebSocket

/// The opening handshake of a WebSocket connection that carries MQTT (RFC 6455 §4, MQTT 5.0 §6).
enum WebSocketUpgrade {
    /// Adds what takes the handshake. Behind it must come whatever takes the MQTT bytes, named `successor`.
    static func configure(_ pipeline: ChannelPipeline.SynchronousOperations, successor: String, frameLimit: Int) throws
    {
        let refusal = WebSocketRefusal()
        try pipeline.configureHTTPServerPipeline(
            withPipeliningAssistance: false,
            withServerUpgrade: (
                upgraders: [Upgrader(refusal: refusal, successor: successor, frameLimit: frameLimit)],
                completionHandler: { _ in }
            ))
        try pipeline.addHandler(refusal)
    }

    /// Puts the frames' handlers where HTTP's were: NIO's own upgrader would add them behind the successor.
    private final class Upgrader: HTTPServerProtocolUpgrader {
        let supportedProtocol = "websocket"
        let requiredUpgradeHeaders: [String] = []
        private let refusal: WebSocketRefusal
        private let successor: String
        private let frameLimit: Int
        private let response = NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, request in
                channel.eventLoop.makeSucceededFuture(WebSocketUpgrade.headers(for: request))
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })

        init(refusal: WebSocketRefusal, successor: String, frameLimit: Int) {
            self.refusal = refusal
            self.successor = successor
            self.frameLimit = frameLimit
        }

        func buildUpgradeResponse(
            channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
        ) -> EventLoopFuture<HTTPHeaders> {
            response.buildUpgradeResponse(
                channel: channel, upgradeRequest: upgradeRequest, initialResponseHeaders: initialResponseHeaders)
        }

        func upgrade(context: ChannelHandlerContext, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
            let pipeline = context.channel.pipeline.syncOperations
            return context.eventLoop.makeCompletedFuture {
                let place = try pipeline.context(name: successor).handler
                try pipeline.addHandlers(
                    [
                        WebSocketFrameEncoder(),
                        ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: frameLimit)),
                        WebSocketProtocolErrorHandler(), WebSocketBytes(),
                    ], position: .before(place))
                pipeline.removeHandler(refusal, promise: nil)
            }
        }
    }

    /// The headers to add to the response; `nil`: the client does not ask for MQTT [MQTT-6.0.0-3] [MQTT-6.0.0-4]. The
    /// name that 3.1 had is answered too.
    private static func headers(for request: HTTPRequestHead) -> HTTPHeaders? {
        let asked = request.headers[canonicalForm: "Sec-WebSocket-Protocol"]
        guard let name = ["mqtt", "mqttv3.1"].first(where: { name in asked.contains { $0 == name } }) else {
            return nil
        }
        return ["Sec-WebSocket-Protocol": name]
    }
}

/// Answers HTTP requests that are no handshake.
final class WebSocketRefusal: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = Never
    typealias OutboundOut = HTTPServerResponsePart

    private static let text = "This address speaks MQTT over WebSocket only: ask for the subprotocol \"mqtt\".\n"

    private var isAnswered = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head = Self.unwrapInboundIn(data) { answer(context) }
    }

    /// The handshake failed, most often since it asks for another subprotocol; or it is no HTTP at all.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOWebSocketUpgradeError { answer(context) } else { context.close(promise: nil) }
    }

    private func answer(_ context: ChannelHandlerContext) {
        guard !isAnswered else { return }
        isAnswered = true
        let body = ByteBuffer(string: Self.text)
        let head = HTTPResponseHead(
            version: .http1_1, status: .upgradeRequired,
            headers: [
                "Upgrade": "websocket", "Connection": "Upgrade, close", "Content-Type": "text/plain",
                "Content-Length": "\(body.readableBytes)",
            ])
        context.write(Self.wrapOutboundOut(.head(head)), promise: nil)
        context.write(Self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(Self.wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }
}
