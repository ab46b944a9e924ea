package import MQTT

/// Keeps sessions, their messages and retained messages over a restart of the gateway.
package protocol SessionStore: Sendable {
    /// Everything kept; called once, before the listener opens. What cannot be read yet is left out: `rewrite` finds it.
    func load() async throws -> StoredSessions

    /// Makes a batch durable, all of it or nothing. Returns once it is on disk; one call of this or of `rewrite` at a
    /// time. After an error nothing but `rewrite` is of use.
    func commit(_ changes: [SessionChange]) async throws

    /// Makes `everything` durable in the place of all that was kept, if need be in a new file.
    func rewrite(_ everything: [SessionChange]) async throws -> SessionRewrite

    /// Whether the file is still what this process wrote. Cost: two system calls, once in a long while a read of the file.
    func isIntact() async -> Bool
}
