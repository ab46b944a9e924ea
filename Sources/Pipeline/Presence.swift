package import Readings

/// A local sensor as the pipeline follows it.
package struct WatchedSensor: Hashable, Sendable {
    package var id: DeviceID
    /// Its LAN topic.
    package var topic: String
    /// A value that is not refreshed for this long says so; `nil`: a value stays good until the sensor fails.
    package var staleAfter: Duration?

    package init(id: DeviceID, topic: String, staleAfter: Duration? = nil) {
        self.id = id
        self.topic = topic
        self.staleAfter = staleAfter
    }
}

/// Which sensors can be believed: what each last said, and when. A value: readings and time in, announcements out.
///
/// Keeps at most 256 series of a sensor; beyond that, new ones are not watched.
struct Presence: Sendable {
    /// What is announced of a sensor, as the payload of its `$state` topic.
    enum State: String, Hashable, Sendable {
        case online
        /// It works as far as is known, but a value was not refreshed in time.
        case stale
        /// It has failed.
        case offline
    }

    /// A sensor of which something is to be told.
    struct Expiry: Sendable {
        var sensor: WatchedSensor
        /// The values that are stale now, of quality `stale` and with the time of this statement.
        var readings: [Reading]
        /// Its new state; `nil` when that has not changed.
        var announcement: State?
    }

    private struct Series: Sendable {
        var reading: Reading
        var refreshed: Instant
        var isStale = false
    }

    private struct Watch: Sendable {
        var sensor: WatchedSensor
        var state: State?
        var series: [String?: Series] = [:]
        /// When it was first looked at: a sensor that never says anything is stale one day, too.
        var began: Instant?

        /// `state` when it is news.
        mutating func changed(to state: State) -> State? {
            guard self.state != state else { return nil }
            self.state = state
            return state
        }
    }

    private static let seriesLimit = 256
    private var watches: [DeviceID: Watch]
    /// In the order of the settings, so that announcements come in one order.
    private var order: [DeviceID]

    init(_ sensors: [WatchedSensor]) {
        order = sensors.map(\.id)
        watches = Dictionary(sensors.map { ($0.id, Watch(sensor: $0)) }) { first, _ in first }
    }

    /// Follows `sensors` from now on; what is known of those that were followed before is kept.
    /// - Returns: the sensors that are followed no more under their topic, and were announced as anything but offline.
    mutating func reconfigure(_ sensors: [WatchedSensor]) -> [WatchedSensor] {
        var remaining: [DeviceID: Watch] = [:]
        for sensor in sensors where remaining[sensor.id] == nil {
            var watch =
                watches[sensor.id].flatMap { $0.sensor.topic == sensor.topic ? $0 : nil } ?? Watch(sensor: sensor)
            watch.sensor = sensor
            remaining[sensor.id] = watch
        }
        let gone = order.compactMap { id -> WatchedSensor? in
            guard let watch = watches[id], let state = watch.state, state != .offline,
                remaining[id]?.sensor.topic != watch.sensor.topic
            else { return nil }
            return watch.sensor
        }
        (watches, order) = (remaining, sensors.map(\.id))
        return gone
    }

    /// Whether `expire` can ever have anything to tell.
    var canExpire: Bool { watches.values.contains { $0.sensor.staleAfter != nil } }

    /// The sensor delivered `readings`. Returns its new state when that has changed.
    mutating func refreshed(_ id: DeviceID, _ readings: [Reading], now: Instant) -> State? {
        guard var watch = watches[id] else { return nil }
        defer { watches[id] = watch }
        if watch.sensor.staleAfter != nil {
            for reading in readings where watch.series[reading.metric] != nil || watch.series.count < Self.seriesLimit {
                watch.series[reading.metric] = Series(reading: reading, refreshed: now)
            }
            if watch.series.values.contains(where: \.isStale) { return nil }
        }
        return watch.changed(to: .online)
    }

    /// The sensor has failed. Returns its new state when that has changed.
    mutating func failed(_ id: DeviceID) -> State? { watches[id]?.changed(to: .offline) }

    /// What has become stale by `now`. Costs a look at every series.
    mutating func expire(now: Timestamp) -> [Expiry] {
        order.compactMap { id -> Expiry? in
            guard var watch = watches[id], let limit = watch.sensor.staleAfter else { return nil }
            defer { watches[id] = watch }
            var stale: [Reading] = []
            for (metric, series) in watch.series where !series.isStale && now.instant - series.refreshed >= limit {
                watch.series[metric]?.isStale = true
                // What said of itself that it cannot be believed does not become better by being old.
                guard series.reading.quality != .bad else { continue }
                var reading = series.reading
                reading.quality = .stale
                reading.reason = "not refreshed for \((now.instant - series.refreshed).components.seconds) s"
                reading.time = now
                stale.append(reading)
            }
            let began = watch.began ?? now.instant
            watch.began = began
            let isSilent = watch.series.isEmpty && now.instant - began >= limit
            let isStale = isSilent || watch.series.values.contains(where: \.isStale)
            let announcement = isStale && watch.state != .offline ? watch.changed(to: .stale) : nil
            guard !stale.isEmpty || announcement != nil else { return nil }
            stale.sort { ($0.metric ?? "") < ($1.metric ?? "") }
            return Expiry(sensor: watch.sensor, readings: stale, announcement: announcement)
        }
    }
}
