import Synchronization

/// What several sensors use together, by name: the devices on one Modbus line share its port. They live as
/// long as the supervisor.
package final class SharedResources: Sendable {
    private let resources = Mutex<[String: any AnyObject & Sendable]>([:])

    package init() {}

    /// The resource of that name, made by `make` when it is first asked for. A name stands for one type.
    package func resource<Resource: AnyObject & Sendable, Failure>(
        _ name: String, make: () throws(Failure) -> Resource
    ) throws(Failure) -> Resource {
        try resources.withLock { resources throws(Failure) in
            if let resource = resources[name] as? Resource { return resource }
            let resource = try make()
            resources[name] = resource
            return resource
        }
    }
}
