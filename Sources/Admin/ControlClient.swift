import Glibc
import Readings

/// Asks the running gateway over its control socket. Blocks, with a limit of 30 s; for the command line only.
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
    /// A page of the queue holds a whole message, which may be as large as MQTT allows.
    private static let pageLimit = 1 << 30

    /// How long an answer is waited for, in seconds.
    private static let patience = 30

    /// Whether a gateway listens there.
    package static func isAnswered(socketPath path: String) throws(Failure) -> Bool {
        do throws(Failure) {
            close(try connect(path))
            return true
        } catch .notRunning {
            return false
        }
    }

    package static func status(socketPath path: String) throws(Failure) -> GatewayStatus {
        let answer = try ask(Array("status".utf8), path: path)
        guard let status = answer.status else { throw .badAnswer(answer.error ?? "nothing") }
        return status
    }

    /// Has users or access rules changed, or asks for them. What the gateway could not do is in the answer.
    package static func device(_ request: DeviceRequest, socketPath path: String) throws(Failure) -> DeviceAnswer {
        try answer(to: request, path: path) { $0.device }
    }

    /// What a sensor says next.
    package static func sensor(_ request: SensorRequest, socketPath path: String) throws(Failure) -> SensorAnswer {
        try answer(to: request, path: path) { $0.sensor }
    }

    /// Looks at the queue, or changes it. What the gateway could not do is in the answer.
    package static func queue(_ request: QueueRequest, socketPath path: String) throws(Failure) -> QueueAnswer {
        try answer(to: request, path: path, limit: pageLimit) { $0.queue }
    }

    /// Has the settings read again. Waits for as long as a reload, and its undoing, may take.
    package static func reload(_ request: ReloadRequest, socketPath path: String) throws(Failure) -> ReloadAnswer {
        try answer(to: request, path: path, patience: 90) { $0.reload }
    }

    private static func answer<Answer>(
        to request: some Encodable, path: String, limit: Int = answerLimit, patience: Int = patience,
        _ expected: (ControlAnswer) -> Answer?
    ) throws(Failure) -> Answer {
        guard let line = try? ControlCoding.encode(request) else { throw .badAnswer("the request cannot be written") }
        let answer = try ask(line, path: path, limit: limit, patience: patience)
        guard let expected = expected(answer) else { throw .badAnswer(answer.error ?? "nothing") }
        return expected
    }

    private static func ask(
        _ line: [UInt8], path: String, limit: Int = answerLimit, patience: Int = patience
    ) throws(Failure) -> ControlAnswer {
        let bytes = try exchange(line + [UInt8(ascii: "\n")], path: path, limit: limit, patience: patience)
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(reading: bytes, JSONLimits(bytes: limit))
        } catch {
            throw .badAnswer("what is not JSON: \(error)")
        }
        guard let answer = try? ControlCoding.decode(ControlAnswer.self, from: value) else {
            throw .badAnswer("something that is not understood; is it of another version?")
        }
        return answer
    }

    /// The same snapshot as the JSON text that scripts read: sorted names, `"name" : value`, a line each.
    package static func json(_ status: some Encodable) -> String { ControlCoding.text(status, .pretty) }

    /// - Returns: a socket that the caller closes.
    private static func connect(_ path: String, patience: Int = patience) throws(Failure) -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .io(path: path, code: errno) }
        var patience = timeval(tv_sec: patience, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let name = Array(path.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else {
            close(descriptor)
            throw .io(path: path, code: ENAMETOOLONG)
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard connected == 0 else {
            let code = errno
            close(descriptor)
            switch code {
            case ENOENT, ECONNREFUSED: throw .notRunning(path: path)
            case EACCES, EPERM: throw .permission(path: path)
            default: throw .io(path: path, code: code)
            }
        }
        return descriptor
    }

    private static func exchange(
        _ request: [UInt8], path: String, limit: Int, patience: Int
    ) throws(Failure) -> [UInt8] {
        let descriptor = try connect(path, patience: patience)
        defer { close(descriptor) }
        var rest = request[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw .io(path: path, code: errno) }
            rest.removeFirst(count)
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < limit {
            let count = read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw .io(path: path, code: errno)
            }
            bytes += chunk[..<count]
        }
        throw .badAnswer("more than \(limit) bytes")
    }
}
