internal import CCrypt

/// Remembers which passwords were right a moment ago, without keeping them: under a digest that only this process can
/// compute. Sans-IO; times are nanoseconds of one clock that does not jump.
struct LoginCache: Sendable {
    /// HMAC-SHA256 of user name and password under the process's key.
    struct Key: Hashable, Sendable {
        fileprivate var bytes: [UInt8]
    }

    private let secret: [UInt8]
    private let capacity: Int
    private let lifetime: Int64
    /// When each entry ends.
    private var ends: [Key: Int64] = [:]
    /// The keys in the order in which they came, which is that in which they end: a ring once it is full.
    private var order: [Key] = []
    private var oldest = 0

    /// - Parameters:
    ///   - capacity: entries, of some 150 bytes each; the oldest makes room.
    ///   - lifetime: nanoseconds after which a password is computed again.
    init(capacity: Int, lifetime: Int64) {
        precondition(capacity > 0)
        self.capacity = capacity
        self.lifetime = lifetime
        var random = SystemRandomNumberGenerator()
        secret = (0..<Int(CCRYPT_SHA256_BYTES)).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    var count: Int { ends.count }

    /// Cost: two blocks of SHA-256 for short passwords. `nil` when the library fails.
    func key(user: UserName, password: [UInt8]) -> Key? {
        // A user name holds no zero byte: no two pairs give the same bytes.
        var bytes = Array(user.text.utf8) + [0] + password
        var digest = [UInt8](repeating: 0, count: Int(CCRYPT_SHA256_BYTES))
        let isDone = ccrypt_hmac_sha256(secret, secret.count, bytes, bytes.count, &digest)
        for index in bytes.indices { bytes[index] = 0 }
        return isDone ? Key(bytes: digest) : nil
    }

    /// A number that is the same for the same name, and that nobody else can foretell.
    func number(for user: UserName) -> UInt64 {
        guard let key = key(user: user, password: []) else { return 0 }
        return key.bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    func contains(_ key: Key, now: Int64) -> Bool { ends[key].map { now < $0 } ?? false }

    /// Remembers a password that was right at `now`. One that is remembered already keeps its end.
    mutating func insert(_ key: Key, now: Int64) {
        if let end = ends[key] {
            guard end <= now else { return }
            // Its place in the order is that of the first time; it may go earlier than it must.
            ends[key] = now + lifetime
            return
        }
        if order.count < capacity {
            order.append(key)
        } else {
            ends[order[oldest]] = nil
            order[oldest] = key
            oldest = (oldest + 1) % capacity
        }
        ends[key] = now + lifetime
    }

    mutating func removeAll() {
        ends.removeAll()
        order.removeAll()
        oldest = 0
    }
}
