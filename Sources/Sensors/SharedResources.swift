import Synchronization

/// What several sensors use together, by name: the devices on one Modbus line share its port.
///
/// A resource is there for as long as a sensor has it: settings that came with the first of them go with the last.
package final class SharedResources: Sendable {
    private struct Entry: Sendable {
        var resource: any AnyObject & Sendable
        var users = 1
    }

    private let entries = Mutex<[String: Entry]>([:])

    package init() {}

    /// The resource of that name, made by `make` when no sensor has it. A name stands for one type. ``release(_:)`` must
    /// follow.
    package func take<Resource: AnyObject & Sendable, Failure>(
        _ name: String, make: () throws(Failure) -> Resource
    ) throws(Failure) -> Resource {
        try entries.withLock { entries throws(Failure) in
            if let resource = entries[name]?.resource as? Resource {
                entries[name]?.users += 1
                return resource
            }
            let resource = try make()
            entries[name] = Entry(resource: resource)
            return resource
        }
    }

    /// One sensor has it no longer. To be called once it is closed, where nobody else has it.
    package func release(_ name: String) {
        let last = entries.withLock { entries -> Entry? in
            guard let users = entries[name]?.users else { return nil }
            if users > 1 {
                entries[name]?.users = users - 1
                return nil
            }
            return entries.removeValue(forKey: name)
        }
        // Its end, outside of the lock.
        _ = last
    }
}
