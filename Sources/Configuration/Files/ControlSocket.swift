/// Where the running gateway is asked.
package enum ControlSocket {
    /// The control socket's path; ``DataDirectory`` refuses a directory too deep for a socket's name.
    package static func path(in dataDirectory: String) -> String { "\(dataDirectory)/control.sock" }
}
