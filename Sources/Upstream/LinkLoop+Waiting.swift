internal import Glibc
internal import Readings
internal import Synchronization

/// What the link's thread waits for, and what it does with the sockets that are ready.
extension LinkLoop {
    /// Sockets and orders to wait for, and for how long.
    struct Wait: Sendable {
        /// The mailbox' alarm, and the sockets of the connections that there are; -1 for one that is closed.
        fileprivate var descriptors: [pollfd]
        fileprivate var milliseconds: Int32
        /// What poll(2) returned, and errno after it.
        fileprivate var count: Int32 = 0
        fileprivate var code: Int32 = 0

        /// Waits.
        mutating func poll() {
            count = Glibc.poll(&descriptors, nfds_t(descriptors.count), milliseconds)
            code = errno
        }
    }

    func nextWait() throws(LinkFault) -> Wait {
        var descriptors = [pollfd(fd: mailbox.alarm, events: Int16(POLLIN), revents: 0)]
        for client in [current?.client, trial?.connection.client].compactMap(\.self) {
            // What comes while acknowledgements are held back would only wait behind them.
            let events = (client.isHolding ? 0 : POLLIN) | (client.wantsWrite ? POLLOUT : 0)
            // Closed within a call, by a DISCONNECT for one, without that call saying so.
            descriptors.append(pollfd(fd: client.socket ?? -1, events: Int16(events), revents: 0))
        }
        if let client = current?.client, client.socket == nil { throw client.lost }
        let now = time.now().instant
        waitingUntil = isGathering(now: now) ? now : waitEnd(now: now)
        published.isInCall.store(0, ordering: .relaxed)
        return Wait(
            descriptors: descriptors,
            milliseconds: Int32(clamping: (max(0, (waitingUntil - now).wholeNanoseconds) + 999_999) / 1_000_000))
    }

    /// The wait is over: handles what came.
    func resume(_ wait: Wait) {
        published.isInCall.store(time.now().instant.nanoseconds, ordering: .relaxed)
        attempt { () throws(LinkFault) in
            guard wait.count >= 0 || wait.code == EINTR else {
                throw .library(doing: "wait for the upstream", reason: errorText(wait.code))
            }
            try handle(wait.descriptors)
        }
    }

    private func handle(_ descriptors: [pollfd]) throws(LinkFault) {
        if descriptors[0].revents != 0 { mailbox.hush() }
        if trial != nil, let last = descriptors.last { serveTrial(events: Int32(last.revents)) }
        guard let current, descriptors.count > 1 else { return }
        var fault: LinkFault?
        do throws(LinkFault) {
            try serve(current, events: Int32(descriptors[1].revents))
        } catch {
            fault = error
        }
        // The events first: they tell why the library closed the connection.
        try handleEvents(of: current)
        if let fault { throw fault }
    }

    /// Lets the library do what its socket is ready for, and what is due.
    func serve(_ connection: LinkConnection, events: Int32) throws(LinkFault) {
        let client = connection.client
        if events & POLLOUT != 0 { try client.write() }
        if events & ~POLLOUT != 0 { try client.read() }
        let now = time.now().instant
        if now >= connection.nextKeepAlive {
            connection.nextKeepAlive = now + .seconds(1)
            try client.keepAlive()
        }
    }

    /// When there is something to do, whatever comes.
    func waitEnd(now: Instant) -> Instant {
        var due = now + (current == nil ? .seconds(60) : .seconds(1))
        func note(_ instant: Instant?) { if let instant { due = min(due, instant) } }
        note(current?.nextKeepAlive)
        note(current?.hold.deadline)
        note(machine.deadline(oldestUnacknowledged: current?.oldestUnacknowledged(now: now)))
        note(canaryDue)
        note(trialDue)
        return due
    }
}
