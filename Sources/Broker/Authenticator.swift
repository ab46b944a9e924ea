/// What a client that connects says of itself, as far as it matters to who it is.
package struct Login: Sendable {
    /// As CONNECT has it; a client may give a name without a password, and in 5.0 the other way round too.
    package var userName: String
    package var password: [UInt8]
    package var clientIdentifier: String
    /// Who is slowed down by failures: the peer's IP address without its port, of IPv6 the first 64 bits.
    package var address: String
    /// The listener also lets in clients that give no name.
    package var allowsAnonymous: Bool
    /// Monotonic nanoseconds.
    package var now: Int64
}

/// What came of it.
package enum LoginVerdict: Hashable, Sendable {
    /// `user`: who it is from now on; `nil` where nobody is asked.
    case accepted(user: String?)
    /// Unknown user or wrong password; which of them is not told.
    case refused
    /// Not looked at: there were too many failures before.
    case throttled
    /// Not looked at: too many logins wait.
    case busy
}

/// Decides whether a client that gives a user name is who it says it is.
package protocol Authenticator: Sendable {
    /// Called on the event loop, and must not block. `completion` is called exactly once, before this returns or later
    /// on any thread.
    func decide(_ login: Login, completion: @escaping @Sendable (LoginVerdict) -> Void)
}
