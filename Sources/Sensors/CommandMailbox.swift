import Linux
import Synchronization

/// Something that a sensor is told to do: the payload of a publish to one of its command topics.
package struct SensorCommand: Hashable, Sendable {
    /// Which of the sensor's values; `nil` stands for the sensor itself.
    package var metric: String?
    /// As it came, up to the listener's maximum packet size.
    package var payload: [UInt8]

    package init(metric: String? = nil, payload: [UInt8]) {
        self.metric = metric
        self.payload = payload
    }

    /// The payload as text without white space around it; `nil` when it is not UTF-8 or longer than 256 bytes.
    package var text: String? {
        guard payload.count <= 256, let text = String(validating: payload, as: UTF8.self) else { return nil }
        var trimmed = text[...].drop(while: \.isWhitespace)
        while let last = trimmed.last, last.isWhitespace { trimmed.removeLast() }
        return String(trimmed)
    }
}

/// Commands on their way to one sensor, in their order. At most 64 wait; what comes then is refused.
///
/// Its descriptor is readable while something waits, so that a sensor waits for its device and its commands at once.
package final class CommandMailbox: Sendable {
    private static let limit = 64
    private let waiting = Mutex<[SensorCommand]>([])
    /// What is called for each command that is not carried out yet, those that were taken out included.
    private let unfinished = Mutex<[@Sendable () -> Void]>([])
    /// Readable while something waits; none for a sensor that takes no commands.
    private let alarm: WakeDescriptor?

    /// - Parameter isUsed: a sensor that takes no commands needs no descriptors.
    package init(isUsed: Bool) throws(SensorError) {
        do throws(SystemCallError) {
            alarm = isUsed ? try WakeDescriptor("wait for commands") : nil
        } catch {
            throw SensorError(error)
        }
    }

    var descriptor: Int32? { alarm?.descriptor }

    package var isEmpty: Bool { waiting.withLock(\.isEmpty) }

    /// False when there is no room. From any thread; does not block.
    /// - Parameter done: called when the command is carried out or will never be; not when it is refused here.
    package func put(_ command: SensorCommand, done: @escaping @Sendable () -> Void = {}) -> Bool {
        guard let alarm else { return false }
        return waiting.withLock { waiting in
            guard waiting.count < Self.limit else { return false }
            unfinished.withLock { $0.append(done) }
            if waiting.isEmpty { alarm.wake() }
            waiting.append(command)
            return true
        }
    }

    /// The sensor has carried out the oldest `count` commands that it took, or has refused them.
    package func finish(_ count: Int = 1) {
        let done = unfinished.withLock { unfinished in
            defer { unfinished.removeFirst(min(count, unfinished.count)) }
            return unfinished.prefix(count)
        }
        for done in done { done() }
    }

    /// The sensor has failed: nobody knows when its commands will be carried out.
    func abandon() { finish(.max) }

    /// Everything that waits.
    package func take() -> [SensorCommand] {
        waiting.withLock { waiting in
            guard !waiting.isEmpty else { return [] }
            alarm?.clear()
            defer { waiting = [] }
            return waiting
        }
    }
}
