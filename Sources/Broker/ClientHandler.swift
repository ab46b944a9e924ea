import MQTT
import NIOCore

/// The socket's side of one client: feeds the core, and lets it stop the reading.
final class ClientHandler: ChannelDuplexHandler, NIOScheduledCallbackHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = Never
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// By which other handlers find it in the pipeline.
    static let name = "client"

    private let core: BrokerCore
    private let listener: OpenListener
    private var client: Client?
    private var timer: NIOScheduledCallback?
    private var eventLoop: (any EventLoop)?

    init(core: BrokerCore, listener: OpenListener) {
        self.core = core
        self.listener = listener
    }

    func channelActive(context: ChannelHandlerContext) {
        eventLoop = context.eventLoop
        guard let client = core.opened(context.channel, at: listener) else { return context.close(promise: nil) }
        self.client = client
        arm()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let client, !client.isClosing else { return }
        var bytes = Self.unwrapInboundIn(data)
        if var input = client.input {
            client.input = nil
            input.writeBuffer(&bytes)
            client.input = input
        } else {
            client.input = bytes
        }
        core.received(client)
    }

    /// From now on its keep alive counts.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ClientAccepted { return arm() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelReadComplete(context: ChannelHandlerContext) { core.endTurn() }

    /// The channel asks for more bytes after every read; while the client is paused it does not get them.
    func read(context: ChannelHandlerContext) {
        if let client, client.isPaused, !client.isClosing { return }
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        guard context.channel.isWritable, let client, !client.isClosing else { return }
        core.pump(client)
        client.flush()
    }

    func channelInactive(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
        if let client {
            core.gone(client)
            core.endTurn()
        }
        client = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let client, client.connection.version == nil, listener.tls != nil, let failure = TLSFailure.describe(error) {
            core.note(.tlsHandshake, of: client, reason: failure.reason, remedy: failure.remedy)
        }
        context.close(promise: nil)
    }

    /// What lies between TCP and MQTT does not let the client in.
    func handshakeRefused(_ reason: String, remedy: String?) {
        guard let client else { return }
        core.note(.webSocketHandshake, of: client, reason: reason, remedy: remedy)
    }

    // MARK: The connection's one timer

    private func arm() {
        timer?.cancel()
        timer = nil
        if let deadline = client?.connection.deadline { schedule(deadline) }
    }

    private func schedule(_ deadline: Int64) {
        timer = try? eventLoop?.assumeIsolated().scheduleCallback(
            at: .uptimeNanoseconds(UInt64(max(0, deadline))), handler: self)
    }

    func handleScheduledCallback(eventLoop: some EventLoop) {
        timer = nil
        guard let client else { return }
        if let next = core.timerFired(client) { schedule(next) }
    }
}

/// The core let the client in.
struct ClientAccepted {}
