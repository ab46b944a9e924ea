import Gateway
import Synchronization
import Testing

@Suite struct BellTests {
    /// A closure kept as a mutex's value grew by a thunk with every ring, until the stack was full: the gateway died
    /// after some 20,000 commits.
    @Test func ringsForAsLongAsAGatewayRuns() {
        let bell = Bell()
        bell.ring()
        let heard = Counter()
        bell.attach { heard.value.add(1, ordering: .relaxed) }
        for _ in 0..<300_000 { bell.ring() }
        #expect(heard.value.load(ordering: .relaxed) == 300_000)
    }
}

private final class Counter: Sendable {
    let value = Atomic(0)
}
