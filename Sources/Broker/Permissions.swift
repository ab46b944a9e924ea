/// What one client may do. Asked on the event loop for every message, so it must be quick; a class, so that a session
/// without any holds next to nothing for it.
package protocol Permissions: AnyObject, Sendable {
    func mayPublish(_ topic: String) -> Bool
    /// Whether a message on this topic may be sent to it.
    func mayReceive(_ topic: String) -> Bool
    /// A valid filter, with `$share/NAME/` before it where it is shared.
    func maySubscribe(_ filter: String) -> Bool
}

/// Who may do what, once they are in.
package protocol AccessPolicy: Sendable {
    /// What a client may do; `nil`: everything. `user` is `nil` for a client that nobody asked for its name.
    func permissions(user: String?, client: String) -> (any Permissions)?
}
