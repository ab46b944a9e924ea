import Synchronization

/// What several sensors use together, by name: the devices on one Modbus line share its port. It lives as long as a
/// sensor holds it.
package final class SharedResources: Sendable {
    private struct Weak: Sendable {
        weak var object: (any AnyObject & Sendable)?
    }

    private let resources = Mutex<[String: Weak]>([:])

    package init() {}

    /// The resource of that name, made by `make` when no sensor holds it. A name stands for one type.
    package func resource<Resource: AnyObject & Sendable>(_ name: String, make: () -> Resource) -> Resource {
        resources.withLock { resources in
            if let resource = resources[name]?.object as? Resource { return resource }
            let resource = make()
            resources[name] = Weak(object: resource)
            return resource
        }
    }
}
