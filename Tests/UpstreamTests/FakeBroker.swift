import Glibc
import Synchronization
import TestSupport

/// Something that has happened.
final class Flag: Sendable {
    private let value = Atomic(false)

    var isSet: Bool { value.load(ordering: .acquiring) }

    func set() { value.store(true, ordering: .releasing) }
}

/// A broker that does what no real one can be brought to: a script for each connection, on a thread of its own.
final class FakeBroker: Sendable {
    /// One accepted connection; used by the broker's thread alone.
    final class Connection {
        private let descriptor: Int32
        /// Of its CONNECT.
        fileprivate(set) var clientIdentifier = ""

        init(_ descriptor: Int32) { self.descriptor = descriptor }
        deinit { close(descriptor) }

        /// The next packet: its first byte, and what follows the length. `nil` at the end, or after 10 s of silence.
        func receive() -> (type: UInt8, body: [UInt8])? {
            guard let type = bytes(1)?.first else { return nil }
            var length = 0
            var shift = 0
            while true {
                guard let byte = bytes(1)?.first else { return nil }
                length |= Int(byte & 0x7F) << shift
                shift += 7
                if byte & 0x80 == 0 { break }
            }
            return bytes(length).map { (type, $0) }
        }

        func send(_ bytes: [UInt8]) { _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }

        /// Whether something can be read within the time.
        func isReadable(milliseconds: Int32) -> Bool {
            var descriptors = [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
            return poll(&descriptors, 1, milliseconds) > 0
        }

        /// Acknowledges PUBLISH and SUBSCRIBE until the client goes, with `reason` when that is not `nil`.
        func serve(reason: (_ topic: String) -> UInt8? = { _ in nil }, subscriptionReason: UInt8 = 1) {
            while let (type, body) = receive() {
                switch type >> 4 {
                case 3:
                    let (topic, identifier) = FakeBroker.publication(body)
                    send(FakeBroker.puback(identifier, reason: reason(topic)))
                case 8: send([0x90, 4, body[0], body[1], 0, subscriptionReason])
                case 12: send([0xD0, 0])
                case 14: return
                default: break
                }
            }
        }

        private func bytes(_ count: Int) -> [UInt8]? {
            var bytes: [UInt8] = []
            while bytes.count < count {
                var buffer = [UInt8](repeating: 0, count: count - bytes.count)
                guard isReadable(milliseconds: 10_000) else { return nil }
                let received = recv(descriptor, &buffer, buffer.count, 0)
                guard received > 0 else { return nil }
                bytes.append(contentsOf: buffer[..<received])
            }
            return bytes
        }
    }

    let port: UInt16
    private let listener: Int32
    private let ending = Ending()

    private final class Ending: Sendable {
        let isOver = Atomic(false)
    }

    /// - Parameter script: called for one connection after the other with its number, from 0, and the protocol level
    ///   of its CONNECT, which has been read. The connection is closed when it returns.
    init(_ script: @escaping @Sendable (_ connection: Connection, _ number: Int, _ level: UInt8) -> Void) throws {
        port = UInt16(freePort())
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var on: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        var address = loopback(port: port)
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0, listen(listener, 16) == 0 else { throw TestFailure("cannot listen: errno \(errno)") }
        let body = Body { [listener, ending] in
            var number = 0
            while !ending.isOver.load(ordering: .relaxed) {
                let descriptor = accept(listener, nil, nil)
                guard descriptor >= 0 else { break }
                let connection = Connection(descriptor)
                guard let (type, connect) = connection.receive(), type == 0x10, connect.count > 6 else { continue }
                connection.clientIdentifier = Self.clientIdentifier(connect)
                script(connection, number, connect[6])
                number += 1
            }
            close(listener)
        }
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            Unmanaged.passRetained(body).toOpaque()
        )
        guard code == 0 else { throw TestFailure("pthread_create: \(code)") }
        pthread_detach(thread)
    }

    /// Ends the thread once its connection is over.
    func stop() {
        ending.isOver.store(true, ordering: .relaxed)
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    // MARK: Packets

    /// Of a CONNECT's body: what follows the keep-alive and, with 5.0, the properties, whose length takes one byte here.
    private static func clientIdentifier(_ connect: [UInt8]) -> String {
        var place = 10
        if connect[6] == 5 { place += 1 + Int(connect[place]) }
        let length = Int(connect[place]) << 8 | Int(connect[place + 1])
        return String(decoding: connect[place + 2..<place + 2 + length], as: UTF8.self)
    }

    /// A 5.0 CONNACK with encoded properties.
    static func connack(_ reason: UInt8 = 0, properties: [UInt8] = []) -> [UInt8] {
        [0x20, UInt8(3 + properties.count), 0, reason, UInt8(properties.count)] + properties
    }

    static func publication(_ body: [UInt8]) -> (topic: String, identifier: [UInt8]) {
        let length = Int(body[0]) << 8 | Int(body[1])
        return (String(decoding: body[2..<2 + length], as: UTF8.self), Array(body[2 + length..<4 + length]))
    }

    static func puback(_ identifier: [UInt8], reason: UInt8? = nil) -> [UInt8] {
        if let reason { [0x40, 3] + identifier + [reason] } else { [0x40, 2] + identifier }
    }
}
