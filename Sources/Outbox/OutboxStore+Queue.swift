internal import Database
package import Readings

/// What a person does with the queue: look at it, empty it, try again what was refused.
extension OutboxStore {
    /// One message that waits, or that stands aside.
    package struct Waiting: Sendable {
        package var id: MessageID
        /// What `sequence` counts under.
        package var epoch: UInt64
        package var sequence: Int64
        /// The boot that the message's instant belongs to.
        package var boot: BootID
        /// It is the record of lost messages: its payload is the record's JSON, its topic is empty.
        package var isGap: Bool
        package var message: Message

        /// `epoch` as it goes over the wire: 16 hexadecimal digits.
        package var epochDigits: String { Epoch.digits(of: epoch) }
    }

    /// One message that the upstream will never take.
    package struct SetAside: Sendable {
        /// Names it, until it is taken back or deleted; counted up.
        package var number: Int64
        package var boot: BootID
        /// What the upstream said.
        package var reason: String
        package var message: Message
    }

    /// What waits, in the order of the streams and in each in its order; messages on their way are among them.
    /// - Parameters:
    ///   - only: of this class; `nil` for all.
    ///   - after: go on behind this one.
    ///   - limit: at most so many messages.
    ///   - byteLimit: no more than it takes to reach so many bytes of topics and payloads.
    package func waiting(
        _ only: DeliveryClass? = nil, after: MessageID? = nil, limit: Int, byteLimit: Int
    ) throws(OutboxError) -> [Waiting] {
        let file = try openFile()
        _ = try streamNumber(only)
        var found: [Waiting] = []
        var bytes = 0
        try perform { () throws(SQLiteError) in
            for stream in streams.sorted(by: { $0.number < $1.number }) {
                guard found.count < limit, bytes < byteLimit else { return }
                if let only, stream.name != only { continue }
                if let after, stream.number < after.stream { continue }
                let sequence = after.flatMap { $0.stream == stream.number ? $0.sequence : nil } ?? 0
                try stream.look(after: sequence, file) { message in
                    found.append(message)
                    bytes += message.message.topic.utf8.count + message.message.payload.count
                    return found.count < limit && bytes < byteLimit
                }
            }
        }
        return found
    }

    /// What the upstream refused, in the order in which it did.
    /// - Parameters:
    ///   - only: of this class; `nil` for all.
    ///   - number: go on behind this one.
    ///   - limit, byteLimit: as with ``waiting(_:after:limit:byteLimit:)``.
    package func setAside(
        _ only: DeliveryClass? = nil, after number: Int64 = 0, limit: Int, byteLimit: Int
    ) throws(OutboxError) -> [SetAside] {
        let file = try openFile()
        let stream = try streamNumber(only)
        var found: [SetAside] = []
        var bytes = 0
        try perform { () throws(SQLiteError) in
            try file.refused(after: number, stream: stream) { refused throws(SQLiteError) in
                var message = refused.message
                message.deliveryClass = streams.first { $0.number == refused.stream }?.deliveryClass ?? .telemetry
                found.append(
                    SetAside(
                        number: refused.number, boot: try file.bootID(refused.boot), reason: refused.reason,
                        message: message))
                bytes += message.topic.utf8.count + message.payload.count
                return found.count < limit && bytes < byteLimit
            }
        }
        return found
    }

    /// Drops what waits and is not on its way; a gap record tells the upstream. Lets other work through in between.
    /// - Parameter only: of this class; `nil` for all.
    /// - Returns: how many messages it were.
    /// - Throws: when a transaction failed; what those before it dropped stays dropped.
    package func purge(_ only: DeliveryClass? = nil) async throws(OutboxError) -> Int64 {
        _ = try openFile()
        _ = try streamNumber(only)
        let now = configuration.time.now().instant
        // Where the disk is full, what memory holds cannot be stored: then it is what is stored that goes.
        try? commit(everything: true, now: now)
        tell()
        let wanted = streams.filter { only == nil || $0.name == only }
        var total: Int64 = 0
        for (number, last) in wanted.map({ ($0.number, $0.counters.next - 1) }) {
            while true {
                let dropped = try purge(stream: number, through: last)
                if dropped == 0 { break }
                total += dropped
                await Task.yield()
            }
        }
        return total
    }

    private func purge(stream number: Int64, through last: Int64) throws(OutboxError) -> Int64 {
        let file = try openFile()
        guard let index = streams.firstIndex(where: { $0.number == number }) else { return 0 }
        let now = configuration.time.now().instant
        let dropped = try perform { () throws(SQLiteError) in
            try change(file, doing: "purge") { drafts throws(SQLiteError) in
                try drafts[index].purge(through: last, file, now: now, opened: opened)
            }
        }
        if dropped > 0 { available() }
        return dropped
    }

    /// Deletes what the upstream refused. Gap records have told of it already.
    /// - Returns: how many messages it were.
    package func purgeSetAside(_ only: DeliveryClass? = nil) throws(OutboxError) -> Int64 {
        let file = try openFile()
        let stream = try streamNumber(only)
        return try perform { () throws(SQLiteError) in
            try file.transaction(doing: "delete what was refused from") { () throws(SQLiteError) in
                try file.deleteRefused(stream: stream)
            }
        }
    }

    /// Puts what the upstream refused at the end of its stream once more, under a sequence of its own, as far as the
    /// class has room for it.
    /// - Returns: how many messages wait again, and how many found no room.
    package func takeBack(_ only: DeliveryClass? = nil) throws(OutboxError) -> (taken: Int, left: Int) {
        let file = try openFile()
        let stream = try streamNumber(only)
        let now = configuration.time.now().instant
        // They come behind what is in memory.
        try commit(everything: true, now: now)
        tell()
        var (taken, left) = (0, 0)
        try perform { () throws(SQLiteError) in
            try change(file, doing: "take messages back in") { drafts throws(SQLiteError) in
                for refused in try file.refusedSizes(stream: stream) {
                    let index = drafts.firstIndex { $0.number == refused.stream }
                    if let index, try drafts[index].takeBack(refused.number, bytes: refused.bytes, file) {
                        taken += 1
                    } else {
                        left += 1
                    }
                }
            }
        }
        if taken > 0 { available() }
        return (taken, left)
    }

    /// - Returns: `nil` for all.
    private func streamNumber(_ only: DeliveryClass?) throws(OutboxError) -> Int64? {
        guard let only else { return nil }
        guard let stream = streams.first(where: { $0.name == only }) else { throw .unknownClass(only) }
        return stream.number
    }
}
