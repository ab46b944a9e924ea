package import MQTT

/// Decides who may come in. Called on the event loop; must not block.
package protocol Authenticator: Sendable {
    /// `.success`, or why the CONNECT is refused.
    func decide(_ connect: Connect) -> ReasonCode
}

/// Lets everybody in: for listeners on the loopback address only, which ``BrokerConfiguration/validate()`` sees to.
struct AnonymousAuthenticator: Authenticator {
    func decide(_ connect: Connect) -> ReasonCode { .success }
}
