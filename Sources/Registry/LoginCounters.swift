/// What a login gate did since it was made.
package struct LoginCounters: Hashable, Sendable {
    /// Logins that were let in, those from the cache included.
    package var accepted: UInt64 = 0
    /// Logins let in because the same password had been right a moment before.
    package var cacheHits: UInt64 = 0
    /// Unknown users and wrong passwords.
    package var refused: UInt64 = 0
    /// Turned away unseen because the address had failed too often.
    package var throttled: UInt64 = 0
    /// Turned away unseen because too many logins were waiting, or because the accounts changed meanwhile.
    package var busy: UInt64 = 0
    /// Hashes computed, decoys included.
    package var computed: UInt64 = 0
    /// Logins that wait for a thread now.
    package var waiting: Int = 0
    /// Addresses with failures that are remembered now.
    package var addresses: Int = 0

    package init() {}
}
