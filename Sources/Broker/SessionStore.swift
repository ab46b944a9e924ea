package import MQTT

/// Keeps sessions, their messages and retained messages over a restart of the gateway.
package protocol SessionStore: Sendable {
    /// Everything kept; called once, before the listener opens.
    func load() async throws -> StoredSessions

    /// Makes a batch durable, all of it or nothing. Returns once it is on disk; one call at a time.
    func commit(_ changes: [SessionChange]) async throws
}
