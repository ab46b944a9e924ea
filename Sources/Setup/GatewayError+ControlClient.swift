package import Admin
package import Configuration

extension GatewayError {
    package init(_ error: ControlClient.Failure, doing: String) {
        switch error {
        case .notRunning:
            self.init(
                .unavailable, doing: doing, reason: "\(error)",
                remedy: "start it (systemctl start tidegate), or name its folder with --data-dir")
        case .permission:
            self.init(
                .permission, doing: doing, reason: "\(error)", remedy: "run this as root or as the gateway's user")
        case .io, .badAnswer:
            self.init(.io, doing: doing, reason: "\(error)")
        }
    }
}
