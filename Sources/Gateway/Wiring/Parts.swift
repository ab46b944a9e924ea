import Admin
import Broker
import Configuration
import Logging
import Outbox
import Readings
import Sensors
import Timekeeping
import Upstream

/// How each part runs and stops. The times add up to less than the 5 s that a stop may take.
extension Gateway {
    /// Stops last: waits up to 2.5 s for the acknowledgements of what is in flight.
    func runLink(until stop: Occasion) async {
        guard let link else { return await stop.wait() }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                do { try await link.run() } catch {
                    // Without a link the gateway still takes everything in and keeps it.
                    self.logger.critical("the upstream link cannot run", metadata: ["error": "\(error)"])
                    await stop.wait()
                }
            }
            tasks.addTask {
                await stop.wait()
                link.shutdown(deadline: self.time.now().instant + .milliseconds(2_500))
            }
            await tasks.waitForAll()
        }
    }

    /// Stops once everything that came in is committed; a store that fails is given 1 s.
    func runIngest(until stop: Occasion) async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await self.ingest.run() }
            tasks.addTask {
                await stop.wait()
                self.intake.finish()
                try? await Task.sleep(for: .seconds(1))
            }
            await tasks.next()
            tasks.cancelAll()
        }
    }

    /// Takes no more from devices; those that wait for an acknowledgement get it while the ingest loop still runs.
    func runBroker(until stop: Occasion) async {
        await stop.wait()
        systemd.send("STOPPING=1", "STATUS=stopping")
        logger.notice("stopping")
        await broker.shutdown(deadline: .seconds(1))
    }

    /// Ready once every listener has been tried: those that cannot be opened are tried again, and keep nobody waiting.
    func runListeners(until stop: Occasion) async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await stop.cancel { await self.listeners.run() } }
            await listeners.waitUntilTried(atMost: .seconds(2))
            let listening = broker.listening
            if listening.isEmpty {
                logger.error("no listener is open yet: devices cannot connect")
            } else {
                logger.notice("listening", metadata: ["addresses": "\(listening.joined(separator: ", "))"])
            }
            systemd.send("READY=1")
            await stop.wait()
            await tasks.waitForAll()
        }
    }

    func runSensors(until stop: Occasion) async {
        await stop.cancel { await self.sensors.run() }
        // Sensors may all have been stopped before; the gateway goes on without them.
        await stop.wait()
    }

    func runControl(until stop: Occasion) async {
        do {
            try await control.run { await stop.wait() }
        } catch {
            // A gateway that cannot be asked still does its work.
            logger.error("status is not available", metadata: ["error": "\(error)"])
            await stop.wait()
        }
    }

    /// Brings in what can be read of damaged outbox files, also of those that an earlier process left.
    func runSalvage(until stop: Occasion) async {
        await stop.cancel { [self] in
            damage.continuation.yield()
            for await _ in damage.stream where !Task.isCancelled {
                for file in outbox.damagedFiles {
                    do {
                        let salvage = try await outbox.salvage(file.path, number: file.number)
                        logger.notice(
                            "what could be read of a damaged outbox waits for the upstream",
                            metadata: [
                                "file": "\(salvage.file)", "saved": "\(salvage.saved)", "lost": "\(salvage.lost)",
                            ])
                    } catch {
                        logger.error("a damaged outbox cannot be salvaged yet", metadata: ["error": "\(error)"])
                        Task.detached { [damage] in
                            try? await Task.sleep(for: .seconds(30))
                            damage.continuation.yield()
                        }
                        break
                    }
                }
            }
        }
    }

    /// Keeps the time that is known, and tells the outbox when there is one.
    func runClock(until stop: Occasion) async {
        let file = ClockFile(dataDirectory: settings.gateway.dataDirectory)
        await stop.cancel { [self] in
            var isTrusted: Bool?
            var schedule = ClockFile.Schedule()
            while !Task.isCancelled {
                let now = time.now()
                if isTrusted != (now.quality == .synced) {
                    isTrusted = now.quality == .synced
                    if isTrusted == true {
                        logger.info("the clock is trusted")
                    } else {
                        logger.warning(
                            "the clock is not trusted: readings get their wall time once it is",
                            metadata: [
                                "try":
                                    "timedatectl (is there an NTP server?), a GPS receiver, or time_topic in [upstream]"
                            ])
                    }
                }
                if isTrusted == true { await outbox.clockIsTrusted() }
                if let lasting = time.lasting, schedule.isDue(lasting, now: now.instant) {
                    file.write(unixNanoseconds: lasting)
                }
                try? await Task.sleep(for: .seconds(5))
            }
        }
        if let lasting = time.lasting { file.write(unixNanoseconds: lasting) }
    }

    func runWatchdog(until stop: Occasion) async {
        await stop.cancel { await Watchdog(gateway: self).run() }
    }
}
