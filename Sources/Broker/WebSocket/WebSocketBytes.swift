import NIOCore
import NIOWebSocket

/// Between WebSocket frames and the stream of bytes that MQTT is: packets need not begin or end with a frame
/// [MQTT-6.0.0-2].
final class WebSocketBytes: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = WebSocketFrame

    /// A close frame has been sent: nothing may follow it (RFC 6455 §5.5.1).
    private var isClosing = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = Self.unwrapInboundIn(data)
        guard !isClosing else { return }
        switch frame.opcode {
        case .binary, .continuation: context.fireChannelRead(Self.wrapInboundOut(frame.unmaskedData))
        case .text:
            // [MQTT-6.0.0-1]
            close(context, .unacceptableData)
        case .ping: send(.pong, frame.unmaskedData, context)
        case .connectionClose:
            var data = frame.unmaskedData
            close(context, data.readWebSocketErrorCode() ?? .normalClosure)
        default: break
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isClosing else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        let frame = WebSocketFrame(fin: true, opcode: .binary, data: Self.unwrapOutboundIn(data))
        context.write(Self.wrapOutboundOut(frame), promise: promise)
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if !isClosing, context.channel.isActive {
            isClosing = true
            send(.connectionClose, code(.normalClosure, context), context)
        }
        context.close(mode: mode, promise: promise)
    }

    private func close(_ context: ChannelHandlerContext, _ reason: WebSocketErrorCode) {
        isClosing = true
        send(.connectionClose, code(reason, context), context)
        context.close(promise: nil)
    }

    private func code(_ reason: WebSocketErrorCode, _ context: ChannelHandlerContext) -> ByteBuffer {
        var data = context.channel.allocator.buffer(capacity: 2)
        data.write(webSocketErrorCode: reason)
        return data
    }

    private func send(_ opcode: WebSocketOpcode, _ data: ByteBuffer, _ context: ChannelHandlerContext) {
        context.writeAndFlush(Self.wrapOutboundOut(WebSocketFrame(fin: true, opcode: opcode, data: data)), promise: nil)
    }
}
