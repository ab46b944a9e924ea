/// What one client may do. Asked on the event loop for every message, so it must be quick; a class, so that a session
/// without any holds next to nothing for it.
package protocol Permissions: AnyObject, Sendable {
    func mayPublish(_ topic: String) -> Bool
    /// Whether a message on this topic may be sent to it.
    func mayReceive(_ topic: String) -> Bool
    /// Access rules were lost with a damaged file, or cannot be read: what no rule allows is denied for now, and may have
    /// been allowed before.
    var isProvisional: Bool { get }
    /// A valid filter, with `$share/NAME/` before it where it is shared.
    func maySubscribe(_ filter: String) -> Bool
}

/// Who may do what, once they are in.
package protocol AccessPolicy: Sendable {
    /// What a client may do; `nil`: everything. `user` is `nil` for a client that nobody asked for its name.
    func permissions(user: String?, client: String) -> (any Permissions)?
    /// Why a client identifier cannot be used; `nil`: it can.
    func refusal(user: String?, client: String) -> String?
}

extension Permissions {
    package var isProvisional: Bool { false }
}

extension AccessPolicy {
    package func refusal(user: String?, client: String) -> String? { nil }
}
