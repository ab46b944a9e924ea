internal import Logging
internal import Outbox
internal import Readings

/// What comes down: the broker's answers, its acknowledgements, and messages for the LAN.
extension LinkLoop {
    /// Takes what the library's callbacks have reported of the connection that there is.
    func handleNews(of connection: LinkConnection) throws(LinkFault) {
        let news = connection.client.news
        if let answer = news.answer, case .connecting = machine.state {
            do throws(LinkFault) {
                try check(answer, connection.client)
                machine.accepted(now: time.now().instant)
                try begin(connection, answer)
            } catch {
                letIn(news)
                throw error
            }
        }
        for answer in news.subscriptions {
            guard let filter = connection.subscribing.removeValue(forKey: answer.packetIdentifier),
                answer.reason >= 0x80
            else { continue }
            let refusal = LinkSnapshot.SubscriptionRefusal(filter: filter, reason: answer.reason)
            gate.wasRefused(filter)
            snapshot.refusedSubscriptions.append(refusal)
            logger.warning("the upstream refused a subscription", metadata: ["error": "\(refusal)"])
        }
        news.subscriptions.removeAll(keepingCapacity: true)
        for packetIdentifier in news.unsubscriptions { unsubscribed(packetIdentifier, on: connection) }
        news.unsubscriptions.removeAll(keepingCapacity: true)
        letIn(news)
        snapshot.discarded += news.discarded
        news.discarded = 0
        try handleAcknowledgements(news, of: connection)
    }

    /// Hands on what has come for the LAN.
    func letIn(_ news: BrokerNews) {
        guard !news.incoming.isEmpty else { return }
        let now = time.now().instant
        var arrivals: [UpstreamArrival] = []
        for incoming in news.incoming {
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
            case .repeated, .unchanged: break
            }
        }
        news.incoming.removeAll(keepingCapacity: true)
        guard !arrivals.isEmpty else { return }
        snapshot.received += UInt64(arrivals.count)
        handOn(arrivals)
    }

    private func handleAcknowledgements(
        _ news: BrokerNews, of connection: LinkConnection
    ) throws(LinkFault) {
        guard !news.acknowledgements.isEmpty else { return }
        let now = time.now().instant
        connection.lastAcknowledged = now
        machine.confirmed(now: now)
        var postponed: UInt8?
        for acknowledgement in news.acknowledgements {
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
                    verdict.acknowledged()
                }
            } else if acknowledgement.packetIdentifier == connection.farewell {
                stateAcknowledged(acknowledgement)
                perform(machine.farewellAcknowledged())
            } else if let item = connection.inFlight.acknowledge(acknowledgement.packetIdentifier) {
                latency = now - item.published
                connection.isQuick = now - item.published < UpstreamConfiguration.slowLatency
                if acknowledgement.reason < 0x80 {
                    snapshot.acknowledged += 1
                    caution.settled()
                    verdict.acknowledged(item.claimed.id)
                    settled.append(item.claimed.id)
                } else {
                    switch verdict.judge(item.claimed.id, reason: acknowledgement.reason) {
                    case .refused: refuse(item.claimed, .broker(reason: acknowledgement.reason))
                    case .postponed:
                        caution.postponed(count: connection.inFlight.count + 1)
                        postponed = postponed ?? acknowledgement.reason
                    }
                }
            }
        }
        news.acknowledgements.removeAll(keepingCapacity: true)
        // Only a new connection, after a pause, can deliver it again before those that follow it.
        if let postponed { throw .postponed(reason: postponed) }
    }

    private func stateAcknowledged(_ acknowledgement: BrokerNews.Acknowledgement) {
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
