import Glibc
import Logging
import NIOCore
import Synchronization

/// A listener that is open: it can be asked where it really listens and what is wrong with it, waited for and closed.
/// Made by ``BrokerServer/open(_:)``. Safe to use from any thread.
///
/// It looks after itself every two seconds: certificates that were renewed are taken up, addresses that went and came
/// back are noticed, a Unix socket whose file is gone ends it.
package final class OpenListener: Sendable {
    /// How it ended.
    private enum End {
        case closed
        case lost(BrokerError)
    }

    private struct State {
        var channels: [any Channel] = []
        /// Addresses of its host name that this machine does not have, or not yet.
        var missing: [SocketAddress] = []
        /// The address that this machine has lost.
        var lost: SocketAddress?
        var unixFile: UnixSocketFile?
        /// The last error of accept(2), and when it came, in monotonic nanoseconds.
        var acceptFailure: (code: Int32, at: Int64)?
        var watch: Task<Void, Never>?
        var end: End?
        var refusesConnections = false
        var nextWaiter: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    }

    package let listener: Listener
    let tls: TLSContext?
    private let sockets: ListenerSockets
    private let logger: Logger
    private let state = Mutex(State())

    private static let watchInterval = Duration.seconds(2)
    /// How long an error of accept(2) is shown, in nanoseconds.
    private static let acceptFailureShown: Int64 = 5_000_000_000

    /// Reads the certificates; blocks for that.
    init(_ listener: Listener, sockets: ListenerSockets, logger: Logger) throws(BrokerError) {
        self.listener = listener
        self.sockets = sockets
        self.logger = logger
        tls = try listener.tls.map { files throws(BrokerError) in try TLSContext(files, for: listener) }
    }

    deinit { state.withLock { $0.watch }?.cancel() }

    private func warnOfReadableKey() {
        guard let path = listener.tls?.keyFile, PEMFile.isReadableByAll(path) else { return }
        logger.warning(
            "every user of this machine can read the listener's private key",
            metadata: [
                "listener": "\(listener)", "file": "\(path)",
                "try": "chgrp tidegate \(path); chmod 640 \(path)",
            ])
    }

    // MARK: What it does right now

    package var isOpen: Bool { state.withLock { $0.end == nil } }

    /// Where it really listens, as `host:port` or `unix:path` with the layers in between, such as "0.0.0.0:8883 (TLS)";
    /// empty once it is closed.
    package var addresses: [String] {
        let channels = state.withLock { $0.channels }
        guard case .tcp(let asked) = listener.endpoint else { return channels.isEmpty ? [] : ["\(listener)"] }
        return channels.compactMap { channel in
            guard let address = channel.localAddress, let port = address.port else { return nil }
            let isDual = asked.isEveryAddress && address.protocol == .inet6
            let host = isDual ? asked.host : address.ipAddress ?? asked.host
            return listener.text(at: .tcp(ListenAddress(host: host, port: port)))
        }
    }

    /// The TCP port that it really has; `nil` for a Unix socket, and once it is closed.
    package var port: Int? { state.withLock { $0.channels.first }?.localAddress?.port }

    /// What is wrong although it serves, with the remedy; `nil` when it is well. It heals itself.
    package var problem: BrokerError? {
        if let problem = tls?.problem { return problem }
        let (lost, missing, failure) = state.withLock { ($0.lost, $0.missing.first, $0.acceptFailure) }
        if let address = lost ?? missing {
            return BrokerError(
                .addressNotAvailable, doing: "listen on \(listener)",
                reason: "this machine \(lost == nil ? "does not have" : "has lost") the address \(address.hostText)",
                remedy: "compare with the addresses it has (ip address); \"*\" means all of them")
        }
        if let failure, Int64(NIODeadline.now().uptimeNanoseconds) - failure.at < Self.acceptFailureShown {
            return BrokerError(binding: listener, code: failure.code)
        }
        return nil
    }

    /// Connections that come in at the last moment are closed.
    var refusesConnections: Bool { state.withLock { $0.refusesConnections } }

    /// Returns once the listener was closed, or the task is cancelled.
    /// - Throws: kind `lost` when its socket died, or its file was removed or replaced. Connections go on.
    package func closed() async throws(BrokerError) {
        let number = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.end != nil || Task.isCancelled { return true }
                    state.waiters[number] = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
        if case .lost(let error) = state.withLock({ $0.end }) { throw error }
    }

    // MARK: Opening and closing

    /// Binds every address. On an error nothing is left open.
    func open() async throws(BrokerError) {
        do {
            switch listener.endpoint {
            case .tcp(let address): try await open(address)
            case .unix(let path):
                try UnixSocketFile.makeRoom(for: listener, at: path)
                let channel = try await sockets.bind(SocketAddress(unixDomainSocketPath: path), self)
                // For the service's group: a program that may open the file may speak to the gateway.
                sockets.allowGroup(path)
                let file = UnixSocketFile(path)
                state.withLock { $0.unixFile = file }
                adopt(channel)
            }
        } catch {
            await end(.closed)
            throw BrokerError(binding: listener, error)
        }
        warnOfReadableKey()
        state.withLock { state in
            guard state.end == nil else { return }
            state.watch = Task { [weak self] in
                while (try? await Task.sleep(for: Self.watchInterval)) != nil { await self?.look() }
            }
        }
    }

    private func open(_ address: ListenAddress) async throws {
        if address.isEveryAddress {
            // An IPv6 socket for every address takes IPv4 too; where there is no IPv6, IPv4 is all there is.
            do {
                return adopt(try await sockets.bind(SocketAddress(ipAddress: "::", port: address.port), self))
            } catch let error as IOError where error.errnoCode == EAFNOSUPPORT || error.errnoCode == EADDRNOTAVAIL {
                return adopt(try await sockets.bind(SocketAddress(ipAddress: "0.0.0.0", port: address.port), self))
            }
        }
        var unavailable: IOError?
        var port = address.port
        for var found in try await HostLookup.addresses(of: address, for: listener) {
            do {
                // A port that the kernel chose is the same for all addresses of the name.
                found.port = port
                let channel = try await sockets.bind(found, self)
                port = channel.localAddress?.port ?? port
                adopt(channel)
            } catch let error as IOError where error.errnoCode == EADDRNOTAVAIL || error.errnoCode == EAFNOSUPPORT {
                unavailable = unavailable ?? error
                // A machine without IPv6 has `localhost` all the same.
                if !found.isLoopback, error.errnoCode == EADDRNOTAVAIL { state.withLock { $0.missing.append(found) } }
            }
        }
        if let unavailable, state.withLock({ $0.channels.isEmpty }) { throw unavailable }
    }

    private func adopt(_ channel: any Channel) {
        let isOpen = state.withLock { state in
            if state.end == nil { state.channels.append(channel) }
            return state.end == nil
        }
        guard isOpen else { return channel.close(promise: nil) }
        channel.closeFuture.whenComplete { [weak self] _ in self?.socketClosed() }
    }

    private func socketClosed() {
        let code = state.withLock { $0.acceptFailure?.code }
        lose(reason: "its socket was closed" + (code.map { ": \(String(cString: strerror($0)))" } ?? ""))
    }

    private func lose(reason: String) {
        let error = BrokerError(
            .lost, doing: "keep listening on \(listener)", reason: reason,
            remedy:
                "nothing on this machine has to be done for it to be opened again; look for the program that took it")
        let channels = finish(.lost(error))
        for channel in channels ?? [] { channel.close(promise: nil) }
    }

    /// Notes the end, and wakes those who wait for it. `nil`: it had ended before.
    private func finish(_ end: End) -> [any Channel]? {
        let (channels, waiters) = state.withLock { state -> ([any Channel]?, [CheckedContinuation<Void, Never>]) in
            guard state.end == nil else { return (nil, []) }
            state.end = end
            state.watch?.cancel()
            state.missing = []
            state.lost = nil
            defer {
                state.channels = []
                state.waiters = [:]
            }
            return (state.channels, Array(state.waiters.values))
        }
        for waiter in waiters { waiter.resume() }
        return channels
    }

    private func end(_ end: End) async {
        for channel in finish(end) ?? [] { try? await channel.close().get() }
        state.withLock { $0.unixFile.take() }?.remove()
    }

    /// Accepts no more; returns once the sockets are closed.
    /// - Parameter disconnectingClients: closes the connections that came in here; else they go on.
    package func close(disconnectingClients: Bool) async {
        if disconnectingClients { state.withLock { $0.refusesConnections = true } }
        await end(.closed)
        if disconnectingClients { await sockets.disconnectClients(of: self) }
    }

    /// accept(2) failed; it is tried again in a second.
    func acceptFailed(_ error: IOError) {
        let now = Int64(NIODeadline.now().uptimeNanoseconds)
        let isNew = state.withLock { state in
            defer { state.acceptFailure = (error.errnoCode, now) }
            return now - (state.acceptFailure?.at ?? .min / 2) > 60_000_000_000
        }
        guard isNew else { return }
        logger.error("connections cannot be accepted", metadata: ["listener": "\(listener)", "error": "\(error)"])
    }

    // MARK: Looking after itself

    private func look() async {
        if let file = state.withLock({ $0.unixFile }), !file.isInPlace {
            let reason =
                UnixSocketFile(file.path) == nil ? "its file was removed" : "another program's file took its place"
            return lose(reason: reason)
        }
        do throws(BrokerError) {
            if try tls?.reload() == true {
                logger.notice("the listener's certificate was renewed", metadata: ["listener": "\(listener)"])
                warnOfReadableKey()
            }
        } catch {
            logger.error(
                "the listener's new certificate cannot be used; the old one stays",
                metadata: ["listener": "\(listener)", "error": "\(error)"])
        }
        await lookForAddresses()
    }

    private func lookForAddresses() async {
        let (channels, missing, known) = state.withLock { ($0.channels, $0.missing, $0.lost) }
        let lost = channels.lazy.compactMap(\.localAddress).first { !$0.isOnThisMachine }
        if lost != known {
            state.withLock { $0.lost = $0.end == nil ? lost : nil }
            if let address = lost ?? known {
                logger.warning(
                    lost == nil
                        ? "the listener's address is back" : "this machine has lost the listener's address",
                    metadata: ["listener": "\(listener)", "address": "\(address.hostText)"])
            }
        }
        for address in missing where address.isOnThisMachine {
            guard let channel = try? await sockets.bind(address, self) else { continue }
            state.withLock { $0.missing.removeAll { $0 == address } }
            adopt(channel)
            logger.notice(
                "the listener has one more address",
                metadata: ["listener": "\(listener)", "address": "\(address.hostText)"])
        }
    }
}
