internal import Logging
internal import Outbox
internal import Readings

/// What comes down: the broker's answers, its acknowledgements, and messages for the LAN.
extension LinkLoop {
    /// Takes what the library's callbacks have reported of the connection that there is.
    func handleEvents(of connection: LinkConnection) throws(LinkFault) {
        let events = connection.client.events
        if let answer = events.answer, case .connecting = machine.state {
            do throws(LinkFault) {
                try check(answer, connection.client)
                machine.accepted(now: time.now().instant)
                try begin(connection, answer)
            } catch {
                acceptIncoming(of: connection)
                throw error
            }
        }
        for answer in events.subscriptions {
            guard let filter = connection.subscribing.removeValue(forKey: answer.packetIdentifier),
                answer.reason >= 0x80
            else { continue }
            let refusal = LinkSnapshot.SubscriptionRefusal(filter: filter, reason: answer.reason)
            gate.wasRefused(filter)
            snapshot.refusedSubscriptions.append(refusal)
            logger.warning("the upstream refused a subscription", metadata: ["error": "\(refusal)"])
        }
        events.subscriptions.removeAll(keepingCapacity: true)
        for packetIdentifier in events.unsubscriptions { unsubscribed(packetIdentifier, on: connection) }
        events.unsubscriptions.removeAll(keepingCapacity: true)
        acceptIncoming(of: connection)
        snapshot.discarded += events.discarded
        events.discarded = 0
        try handleAcknowledgements(events, of: connection)
    }

    /// Gives the gateway what has come for it. The broker gets its acknowledgements when the gateway has confirmed that:
    /// ``endHold()``.
    func acceptIncoming(of connection: LinkConnection) {
        let events = connection.client.events
        guard !events.incoming.isEmpty else { return }
        let now = time.now().instant
        var arrivals: [UpstreamArrival] = []
        for incoming in events.incoming {
            switch gate.judge(incoming, now: now) {
            case .accepted:
                var arrival = incoming.arrival
                arrival.mayHaveWaited = gate.mayHaveWaited(arrival, now: now)
                arrivals.append(arrival)
            case .unwanted: snapshot.discarded += 1
            case .looped:
                snapshot.looped += 1
                // Every power of two: the first is news, the thousandth is not.
                if snapshot.looped & (snapshot.looped - 1) == 0 {
                    logger.warning(
                        "a message has come back that had been here before; it goes no further",
                        metadata: [
                            "topic": "\(incoming.arrival.topic)", "so_far": "\(snapshot.looped)",
                            "try": "tidegate check: rules that send to each other",
                        ])
                }
            case .repeated, .unchanged, .own: break
            }
        }
        events.incoming.removeAll(keepingCapacity: true)
        guard !arrivals.isEmpty else { return }
        snapshot.received += UInt64(arrivals.count)
        let receipt = ArrivalReceipt(confirmed: { [mailbox] in mailbox.ring() })
        if connection.client.isHolding { connection.hold.add(receipt, now: now) }
        accepted(arrivals, receipt)
    }

    /// Lets acknowledgements leave once the gateway has taken over what they are for.
    func endHold() throws(LinkFault) {
        guard let current, current.client.isHolding else { return }
        switch current.hold.check(now: time.now().instant) {
        case .holding: return
        case .confirmed: break
        case .late(let isNew):
            logger.log(
                level: isNew ? .error : .debug,
                "messages from the upstream are acknowledged before they are stored: a crash now would lose them",
                metadata: [
                    "url": "\(current.url)",
                    "try": "look at the disk under data_dir and at the gateway's log: sessions are stored too slowly",
                ])
        }
        try current.client.releaseWrites()
    }

    private func handleAcknowledgements(
        _ events: MosquittoEvents, of connection: LinkConnection
    ) throws(LinkFault) {
        guard !events.acknowledgements.isEmpty else { return }
        let now = time.now().instant
        connection.lastAcknowledged = now
        machine.confirmed(now: now)
        var postponed: UInt8?
        for acknowledgement in events.acknowledgements {
            gate.acknowledged(acknowledgement.packetIdentifier, now: now)
            if acknowledgement.packetIdentifier == connection.birth?.packetIdentifier {
                connection.birth = nil
                stateAcknowledged(acknowledgement)
            } else if acknowledgement.packetIdentifier == connection.canary?.packetIdentifier {
                // Any answer will do: that there is one is what was asked. Only as a witness it has to be let in.
                isCanaryRefused = acknowledgement.reason >= 0x80
                connection.refusedCanary = isCanaryRefused ? connection.canary?.published : nil
                connection.canary = nil
                if !isCanaryRefused {
                    canaryDeaths = 0
                    poisonPolicy.acknowledged()
                }
            } else if acknowledgement.packetIdentifier == connection.offlineNotice {
                stateAcknowledged(acknowledgement)
                perform(machine.offlineNoticeAcknowledged())
            } else if let item = connection.inFlight.acknowledge(acknowledgement.packetIdentifier) {
                latency = now - item.published
                connection.isQuick = now - item.published < UpstreamConfiguration.slowLatency
                if acknowledgement.reason < 0x80 {
                    snapshot.acknowledged += 1
                    singleMessageMode.settled()
                    poisonPolicy.acknowledged(item.claimed.id)
                    settled.append(item.claimed.id)
                } else {
                    switch poisonPolicy.judge(item.claimed.id, reason: acknowledgement.reason) {
                    case .refused: refuse(item.claimed, .broker(reason: acknowledgement.reason))
                    case .postponed:
                        singleMessageMode.postponed(count: connection.inFlight.count + 1)
                        postponed = postponed ?? acknowledgement.reason
                    }
                }
            }
        }
        events.acknowledgements.removeAll(keepingCapacity: true)
        // Only a new connection, after a pause, can deliver it again before those that follow it.
        if let postponed { throw .postponed(reason: postponed) }
    }

    private func stateAcknowledged(_ acknowledgement: MosquittoEvents.Acknowledgement) {
        guard acknowledgement.reason >= 0x80 else { return }
        logger.warning(
            "the upstream refused the gateway's state",
            metadata: [
                "topic": "\(configuration.stateTopic)", "reason": "\(ReasonText.of(acknowledgement.reason))",
                "try": "allow the gateway's account to publish it on the broker",
            ]
        )
    }
}
