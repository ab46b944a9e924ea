import Glibc
import NIOCore
import Synchronization

/// The socket addresses of a host and a port to listen on. Names are looked up on a thread of their own, because
/// getaddrinfo(3) blocks for as long as the name servers take.
enum HostLookup {
    /// At least one address, each once, in the resolver's order.
    /// - Throws: kind `name`. A cancelled task throws at once; the lookup ends by itself later.
    static func addresses(of address: ListenAddress, for listener: Listener) async throws(BrokerError)
        -> [SocketAddress]
    {
        if let numeric = try? resolve(address, flags: AI_PASSIVE | AI_NUMERICHOST), !numeric.isEmpty { return numeric }
        let answer = Answer()
        let found = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                answer.await(continuation)
                start { answer.give(Result { () throws(Failure) in try resolve(address, flags: AI_PASSIVE) }) }
            }
        } onCancel: {
            answer.give(.failure(Failure(text: "the lookup was given up")))
        }
        switch found {
        case .success(let addresses) where !addresses.isEmpty: return addresses
        case .success: throw error(address, listener, "it has no address")
        case .failure(let failure): throw error(address, listener, failure.text)
        }
    }

    private struct Failure: Error {
        var text: String
    }

    private static func error(_ address: ListenAddress, _ listener: Listener, _ reason: String) -> BrokerError {
        BrokerError(
            .name, doing: "listen on \(listener)", reason: "no address is known for \(address.host): \(reason)",
            remedy: "use an IP address of this machine, or \"*\" for all; names are looked up with: getent ahosts "
                + address.host)
    }

    private static func resolve(_ address: ListenAddress, flags: Int32) throws(Failure) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_flags = flags
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(address.host, "\(address.port)", &hints, &list)
        guard code == 0 else {
            throw Failure(
                text: code == EAI_SYSTEM ? String(cString: strerror(errno)) : String(cString: gai_strerror(code)))
        }
        defer { freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ai_next
            guard let start = entry.ai_addr else { continue }
            let raw = UnsafeRawPointer(start)
            let socketAddress: SocketAddress
            switch entry.ai_family {
            case AF_INET: socketAddress = SocketAddress(raw.loadUnaligned(as: sockaddr_in.self))
            case AF_INET6: socketAddress = SocketAddress(raw.loadUnaligned(as: sockaddr_in6.self))
            default: continue
            }
            if !found.contains(socketAddress) { found.append(socketAddress) }
        }
        return found
    }

    /// What comes first counts: the resolver's answer, or the caller's giving up.
    private final class Answer: Sendable {
        typealias Value = Result<[SocketAddress], Failure>
        private let state = Mutex<(value: Value?, waiter: CheckedContinuation<Value, Never>?)>((nil, nil))

        func await(_ continuation: CheckedContinuation<Value, Never>) {
            let value = state.withLock { state in
                if state.value == nil { state.waiter = continuation }
                return state.value
            }
            if let value { continuation.resume(returning: value) }
        }

        func give(_ value: Value) {
            let waiter = state.withLock { state in
                if state.value == nil { state.value = value }
                return state.waiter.take()
            }
            waiter?.resume(returning: value)
        }
    }

    private final class Work: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Runs `body` on a detached thread of its own; on this one where none can be made.
    private static func start(_ body: @escaping @Sendable () -> Void) {
        let work = Unmanaged.passRetained(Work(body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<Work>.fromOpaque(raw).takeRetainedValue().body()
                return nil
            }, work.toOpaque())
        if code == 0 {
            pthread_detach(thread)
        } else {
            work.takeRetainedValue().body()
        }
    }
}
