import Glibc
import Synchronization

/// Runs a body that blocks on a thread of its own, so that it holds none of the pool that tasks run on.
@discardableResult
package func onOwnThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    return try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T, any Error>) in
        let work = Work { continuation.resume(with: Result { try body() }) }
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Work>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(work).toOpaque())
        precondition(code == 0, "no thread: \(code)")
        pthread_detach(thread)
    }
}

private final class Work: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// Waits on such a thread for something asynchronous.
package func wait<T: Sendable>(for work: @escaping @Sendable () async -> T) -> T {
    let answer = Answer<T>()
    Task {
        let value = await work()
        answer.value.withLock { $0 = value }
    }
    while true {
        if let value = answer.value.withLock({ $0 }) { return value }
        usleep(1_000)
    }
}

private final class Answer<T: Sendable>: Sendable {
    let value = Mutex<T?>(nil)
}
