import NIOCore
import NIOHTTP1
import NIOWebSocket

/// The opening handshake of a WebSocket connection that carries MQTT (RFC 6455 §4, MQTT 5.0 §6).
enum WebSocketUpgrade {
    /// Adds what takes the handshake. Behind it must come whatever takes the MQTT bytes, named `successor`.
    /// - Parameter refused: hears why a handshake was refused, and what to do.
    static func configure(
        _ pipeline: ChannelPipeline.SynchronousOperations, successor: String, frameLimit: Int, origins: OriginPolicy,
        refused: @escaping (_ reason: String, _ remedy: String?) -> Void
    ) throws {
        let refusal = WebSocketRefusal(refused)
        try pipeline.configureHTTPServerPipeline(
            withPipeliningAssistance: false,
            withServerUpgrade: (
                upgraders: [
                    Upgrader(refusal: refusal, successor: successor, frameLimit: frameLimit, origins: origins)
                ],
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
        private let origins: OriginPolicy
        private let response = NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, request in
                channel.eventLoop.makeSucceededFuture(WebSocketUpgrade.headers(for: request))
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })

        init(refusal: WebSocketRefusal, successor: String, frameLimit: Int, origins: OriginPolicy) {
            self.origins = origins
            self.refusal = refusal
            self.successor = successor
            self.frameLimit = frameLimit
        }

        func buildUpgradeResponse(
            channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
        ) -> EventLoopFuture<HTTPHeaders> {
            let headers = upgradeRequest.headers
            let origin = headers["Origin"]
            guard origins.permits(origins: origin, host: headers.first(name: "Host")) else {
                refusal.cause = .origin(origin.joined(separator: ", "))
                return channel.eventLoop.makeFailedFuture(ForeignOrigin())
            }
            refusal.cause = .subprotocol(headers["Sec-WebSocket-Protocol"].joined(separator: ", "))
            return response.buildUpgradeResponse(
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

/// The handshake comes from a web page that may not have one.
private struct ForeignOrigin: Error {}

/// Answers HTTP requests that are no handshake, or none that may be.
final class WebSocketRefusal: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = Never
    typealias OutboundOut = HTTPServerResponsePart

    /// Why there will be no MQTT, unless the handshake succeeds.
    enum Cause {
        case noHandshake
        /// The subprotocols that were asked for.
        case subprotocol(String)
        case origin(String)
    }

    var cause = Cause.noHandshake
    private let refused: (_ reason: String, _ remedy: String?) -> Void
    private var isAnswered = false

    init(_ refused: @escaping (_ reason: String, _ remedy: String?) -> Void) { self.refused = refused }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .head = Self.unwrapInboundIn(data) { answer(context) }
    }

    /// The handshake failed, most often since it asks for another subprotocol; or it is no HTTP at all.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOWebSocketUpgradeError || error is ForeignOrigin {
            answer(context)
        } else if error is HTTPParserError {
            refused("what came is no HTTP", "let the client speak MQTT over WebSocket, or use a plain listener")
            context.close(promise: nil)
        } else {
            // Of TLS, most often: the client's handler knows.
            context.fireErrorCaught(error)
        }
    }

    private func answer(_ context: ChannelHandlerContext) {
        guard !isAnswered else { return }
        isAnswered = true
        let status: HTTPResponseStatus
        let text: String
        switch cause {
        case .noHandshake:
            status = .upgradeRequired
            text = "This address speaks MQTT over WebSocket only: ask for the subprotocol \"mqtt\".\n"
            refused("an HTTP request came that is no WebSocket handshake", nil)
        case .subprotocol(let asked):
            status = .upgradeRequired
            text = "This address speaks MQTT over WebSocket only: ask for the subprotocol \"mqtt\".\n"
            refused(
                asked.isEmpty
                    ? "the client asks for no subprotocol" : "the client asks for the subprotocol \(asked)",
                "let the client ask for the subprotocol mqtt")
        case .origin(let origin):
            status = .forbidden
            text = "Web pages of this origin may not connect: see origins in the gateway's [[listener]].\n"
            refused(
                "web pages of the origin \(origin) may not connect",
                "if they shall: origins = [\"ORIGIN\"] in [[listener]]")
        }
        let body = ByteBuffer(string: text)
        var headers: HTTPHeaders = [
            "Connection": "close", "Content-Type": "text/plain", "Content-Length": "\(body.readableBytes)",
        ]
        if status == .upgradeRequired {
            headers.replaceOrAdd(name: "Connection", value: "Upgrade, close")
            headers.add(name: "Upgrade", value: "websocket")
        }
        context.write(
            Self.wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: headers))),
            promise: nil)
        context.write(Self.wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(Self.wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }
}
