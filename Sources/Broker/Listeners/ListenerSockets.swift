import Glibc
import MQTT
import NIOCore
import NIOPosix
import NIOSSL

/// Makes the sockets of listeners, and what stands between each of their connections and the core.
struct ListenerSockets: Sendable {
    let loop: any EventLoop
    let core: NIOLoopBoundBox<BrokerCore?>

    /// Binds one address. Connections come in for `listener` from then on.
    /// - Throws: an `IOError` with the kernel's reason.
    func bind(_ address: SocketAddress, _ listener: OpenListener) async throws -> any Channel {
        let core = core
        var bootstrap = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelInitializer { [weak listener] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers(
                        AcceptBackoffHandler(), AcceptFailures { listener?.acceptFailed($0) })
                }
            }
            // Each connection keeps a buffer to read into: small for one that says little, and grown within a few reads
            // for one that sends a lot.
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 128, initial: 256, maximum: 64 << 10)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let core = core.value else { throw ChannelError.ioOnClosedChannel }
                    let pipeline = channel.pipeline.syncOperations
                    if let tls = listener.tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls.current)) }
                    if listener.listener.isWebSocket {
                        let frameLimit = max(256 << 10, Int(core.configuration.limits.maximumPacketSize) + 8)
                        let handler = ClientHandler(core: core, listener: listener)
                        try WebSocketUpgrade.configure(
                            pipeline, successor: ClientHandler.name, frameLimit: frameLimit,
                            origins: OriginPolicy(
                                allowed: listener.listener.origins, isAnonymous: listener.listener.allowsAnonymous),
                            refused: { handler.handshakeRefused($0, remedy: $1) })
                        return try pipeline.addHandler(handler, name: ClientHandler.name)
                    }
                    // There from the start, so that what comes before MQTT counts and is bounded in time too.
                    try pipeline.addHandler(ClientHandler(core: core, listener: listener), name: ClientHandler.name)
                }
            }
        if address.protocol != .unix {
            bootstrap =
                bootstrap
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        }
        return try await bootstrap.bind(to: address).get()
    }

    func allowGroup(_ path: String) { chmod(path, 0o660) }

    func disconnectClients(of listener: OpenListener) async {
        try? await loop.submit { [core] in core.value?.disconnectClients(of: listener) }.get()
    }
}

/// Hears of errors of accept(2), most often for want of descriptors. Behind `AcceptBackoffHandler`, which lets a second pass
/// before the next try.
private final class AcceptFailures: ChannelInboundHandler {
    typealias InboundIn = Channel
    typealias InboundOut = Channel

    private let note: (IOError) -> Void

    init(_ note: @escaping (IOError) -> Void) { self.note = note }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if let error = error as? IOError { note(error) } else { context.fireErrorCaught(error) }
    }
}

extension SocketAddress {
    /// "192.168.1.5"
    var hostText: String { ipAddress ?? "\(self)" }

    var isLoopback: Bool { PeerAddress(self).isLoopback }

    /// Whether a socket could be bound to it, whatever its port: false once the machine does not have the address.
    var isOnThisMachine: Bool {
        guard self.protocol != .unix else { return true }
        var anyPort = self
        anyPort.port = 0
        let descriptor = socket(
            self.protocol == .inet6 ? AF_INET6 : AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        // For want of descriptors nothing is known.
        guard descriptor >= 0 else { return true }
        defer { close(descriptor) }
        return anyPort.withSockAddr { Glibc.bind(descriptor, $0, socklen_t($1)) == 0 || errno != EADDRNOTAVAIL }
    }
}
