internal import Glibc
internal import Synchronization

/// Looks up host names, each on a thread of its own: getaddrinfo(3) blocks for as long as it likes and cannot be stopped.
///
/// A name is looked up once at a time, however often it is asked for: a resolver that hangs costs one thread a name.
final class Resolver: Sendable {
    enum Answer: Sendable {
        /// Numeric, in the order of preference (RFC 6724); at least one.
        case addresses([String])
        /// The resolver's words.
        case failed(String)
    }

    private struct State {
        var underWay: Set<String> = []
        var answers: [String: Answer] = [:]
    }

    private let state = Mutex(State())
    private let answered: @Sendable () -> Void

    /// - Parameter answered: called on a thread of the resolver's when there is something to ``take(_:)``.
    init(answered: @escaping @Sendable () -> Void) { self.answered = answered }

    /// Begins to look the host up, unless that is under way.
    func lookUp(_ host: String) throws(LinkFault) {
        let isNew = state.withLock { state in
            state.answers[host] = nil
            return state.underWay.insert(host).inserted
        }
        guard isNew else { return }
        do throws(LinkFault) {
            try LinkThread.start("resolver") { [self] in
                let answer = Self.addresses(of: host)
                state.withLock { state in
                    state.underWay.remove(host)
                    state.answers[host] = answer
                }
                answered()
            }
        } catch {
            state.withLock { _ = $0.underWay.remove(host) }
            throw error
        }
    }

    /// The answer, once.
    func take(_ host: String) -> Answer? { state.withLock { $0.answers.removeValue(forKey: host) } }

    private static func addresses(of host: String) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &list)
        guard code == 0 else {
            let reason = code == EAI_SYSTEM ? errorText(errno) : String(cString: gai_strerror(code))
            return .failed(reason)
        }
        defer { freeaddrinfo(list) }
        var addresses: [String] = []
        var position = list
        while let entry = position?.pointee {
            position = entry.ai_next
            var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            guard
                getnameinfo(
                    entry.ai_addr, entry.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST) == 0
            else { continue }
            let address = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            if !addresses.contains(address) { addresses.append(address) }
        }
        return addresses.isEmpty ? .failed("the name has no address") : .addresses(addresses)
    }
}
