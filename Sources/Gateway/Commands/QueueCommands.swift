package import Admin
package import Configuration
import Outbox
import Readings
import Setup
import Timekeeping

/// What `tidegate queue` does, through the gateway that runs or, when none does, in its outbox.
package struct QueueCommands: Sendable {
    private enum Access: Sendable {
        case gateway(socketPath: String)
        case file(OutboxStore)
    }

    /// Of a page of messages, in bytes of topics and payloads.
    private static let pageBytes = 1 << 20

    private let access: Access
    private let dataDirectory: String
    private let classes: [DeliveryClass: ClassLimits]?

    /// Finds the gateway that runs on `dataDirectory`, else opens its outbox, which nobody else can use until
    /// ``close()``.
    /// - Parameter settings: without them no class has bounds here: nothing is lost to a bound that is not the gateway's.
    package init(_ settings: GatewaySettings?, dataDirectory: String) throws(GatewayError) {
        self.dataDirectory = dataDirectory
        classes = settings?.classes
        let path = ControlSocket.path(in: dataDirectory)
        do throws(ControlClient.Failure) {
            if try ControlClient.isAnswered(socketPath: path) {
                access = .gateway(socketPath: path)
                return
            }
        } catch {
            throw GatewayError(error, doing: "ask the running gateway")
        }
        try DataDirectory.requireOutbox(in: dataDirectory)
        var configuration = OutboxStore.Configuration(
            path: DataDirectory.outbox(in: dataDirectory), classes: settings?.classes ?? [:], time: SystemTime(),
            gapTopic: { "$gap/\($0)" })
        if settings == nil { configuration.otherClasses = .unlimited }
        do throws(OutboxError) {
            access = .file(try OutboxStore(configuration: configuration, settled: { _ in }, available: {}))
        } catch {
            throw GatewayError(error)
        }
    }

    /// - Throws: when it could not be done.
    package func perform(_ request: QueueRequest) async throws(GatewayError) -> QueueAnswer {
        switch access {
        case .gateway(let path):
            do throws(ControlClient.Failure) {
                return try ControlClient.queue(request, socketPath: path)
            } catch {
                throw GatewayError(error, doing: "ask the running gateway")
            }
        case .file(let outbox): return await Self.perform(request, in: outbox, classes: classes)
        }
    }

    package func close() async {
        guard case .file(let outbox) = access else { return }
        await outbox.close()
        DataDirectory.giveToOwner(dataDirectory, database: DataDirectory.outboxName)
    }

    /// Does it in the outbox.
    /// - Parameter classes: their bounds, to be shown.
    static func perform(
        _ request: QueueRequest, in outbox: OutboxStore, classes: [DeliveryClass: ClassLimits]?
    ) async -> QueueAnswer {
        do throws(OutboxError) {
            switch request {
            case .list:
                return QueueAnswer(
                    queues: try await outbox.backlog().map {
                        .init($0, maximumBytes: classes?[$0.deliveryClass]?.maximumBytes)
                    })
            case .messages(let name, let refused, let after, let limit):
                let only = name.map { DeliveryClass($0) }
                return refused
                    ? try await setAside(only, after: after ?? 0, limit: limit, outbox)
                    : try await waiting(only, after: after, limit: limit, outbox)
            case .purge(let name, let refused):
                let only = name.map { DeliveryClass($0) }
                let count = refused ? try await outbox.purgeSetAside(only) : try await outbox.purge(only)
                return QueueAnswer(
                    done: refused ? "deleted \(count) refused messages" : "dropped \(count) messages that waited")
            case .retry(let name):
                let (taken, left) = try await outbox.takeBack(name.map { DeliveryClass($0) })
                var done = "\(taken) messages wait once more"
                if left > 0 { done += "; \(left) found no room in their class" }
                return QueueAnswer(done: done)
            }
        } catch {
            var kind = GatewayError.Kind.io
            if case .unknownClass = error { kind = .usage }
            return QueueAnswer(failure: RequestFailure(exitCode: kind.rawValue, text: "\(error)"))
        }
    }

    private static func waiting(
        _ only: DeliveryClass?, after: Int64?, limit: Int, _ outbox: OutboxStore
    ) async throws(OutboxError) -> QueueAnswer {
        let found = try await outbox.waiting(
            only, after: after.map { MessageID(rawValue: $0) }, limit: limit, byteLimit: pageBytes)
        return QueueAnswer(
            messages: found.map { waiting in
                QueuedMessage(
                    waiting.message, epoch: waiting.epochDigits, number: waiting.sequence, boot: waiting.boot,
                    isGap: waiting.isGap)
            }, next: found.last?.id.rawValue)
    }

    private static func setAside(
        _ only: DeliveryClass?, after: Int64, limit: Int, _ outbox: OutboxStore
    ) async throws(OutboxError) -> QueueAnswer {
        let found = try await outbox.setAside(only, after: after, limit: limit, byteLimit: pageBytes)
        return QueueAnswer(
            messages: found.map { refused in
                QueuedMessage(
                    refused.message, epoch: nil, number: refused.number, boot: refused.boot, refused: refused.reason)
            }, next: found.last?.number)
    }
}

extension QueuedMessage {
    fileprivate init(
        _ message: Message, epoch: String?, number: Int64, boot: BootID, isGap: Bool = false, refused: String? = nil
    ) {
        self.init(
            class: message.deliveryClass.name, epoch: epoch, seq: number, boot: boot.name,
            ts: rfc3339(unixNanoseconds: message.time.unixNanoseconds), tq: message.time.quality.rawValue,
            topic: message.topic, retain: message.retain, payload: message.payload,
            properties: message.properties.map {
                Properties(
                    isText: $0.isText, contentType: $0.contentType, responseTopic: $0.responseTopic,
                    correlation: $0.correlationData, user: $0.user.map { [$0.name, $0.value] }, hops: $0.hops)
            }, expiry: message.expiry?.components.seconds, gap: isGap ? true : nil, refused: refused)
    }
}

extension GatewayStatus.Queue {
    init(_ queue: ClassBacklog, maximumBytes: Int64?) {
        func seconds(_ duration: Duration) -> Double { Double(duration.wholeNanoseconds) / 1e9 }
        self.init(
            name: queue.deliveryClass.name, messages: queue.count, bytes: queue.bytes,
            maximumBytes: maximumBytes ?? ClassLimits().maximumBytes, oldestSeconds: queue.oldestAge.map(seconds),
            dropped: queue.dropped, setAside: queue.setAside, messagesPerSecond: queue.messagesPerSecond,
            bytesPerSecond: queue.bytesPerSecond, secondsLeft: queue.timeLeft.map(seconds),
            secondsToDrain: queue.timeToDrain.map(seconds))
    }
}
