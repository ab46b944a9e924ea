import FoundationEssentials
import Glibc

/// Asks the running gateway over its control socket. Blocks, with a limit of 5 s; for the command line only.
package enum ControlClient {
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// No gateway answers there.
        case notRunning(path: String)
        case permission(path: String)
        case io(path: String, code: Int32)
        case badAnswer(String)

        package var description: String {
            switch self {
            case .notRunning(let path): "no gateway answers at \(path)"
            case .permission(let path): "no permission to open \(path)"
            case .io(let path, let code): "\(path): \(String(cString: strerror(code)))"
            case .badAnswer(let text): "the gateway answered: \(text)"
            }
        }
    }

    /// The largest answer read, in bytes.
    private static let answerLimit = 4 << 20

    package static func status(socketPath path: String) throws(Failure) -> GatewayStatus {
        let bytes = try exchange("status\n", path: path)
        guard let answer = try? JSONDecoder().decode(ControlAnswer.self, from: Data(bytes)) else {
            throw .badAnswer("something that is not understood; is it of another version?")
        }
        guard let status = answer.status else { throw .badAnswer(answer.error ?? "nothing") }
        return status
    }

    /// The same snapshot as the JSON text that scripts read: sorted keys, one object.
    package static func json(_ status: GatewayStatus) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(status) else { return "{}" }
        return String(decoding: data, as: UTF8.self)
    }

    private static func exchange(_ request: String, path: String) throws(Failure) -> [UInt8] {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .io(path: path, code: errno) }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(path.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw .io(path: path, code: ENAMETOOLONG)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else {
            switch errno {
            case ENOENT, ECONNREFUSED: throw .notRunning(path: path)
            case EACCES, EPERM: throw .permission(path: path)
            case let code: throw .io(path: path, code: code)
            }
        }
        guard send(descriptor, request, request.utf8.count, Int32(MSG_NOSIGNAL)) == request.utf8.count else {
            throw .io(path: path, code: errno)
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < answerLimit {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw .io(path: path, code: errno)
            }
            bytes += chunk[..<count]
        }
        throw .badAnswer("more than \(answerLimit) bytes")
    }
}
