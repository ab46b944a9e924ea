import Synchronization
import Upstream

/// The link that is there now, for all that ask for it or wake it: a restart or a reload puts another one in its place.
final class CurrentLink: Sendable {
    private let current = Mutex<UpstreamLink?>(nil)

    var link: UpstreamLink? { current.withLock { $0 } }

    func set(_ link: UpstreamLink?) { current.withLock { $0 = link } }

    /// There may be something to send. Cheap, from any thread. A link that comes later looks for work first.
    func wake() { link?.wake() }
}
