/// One measured value as a driver reports it, before the pipeline has scaled and named it.
package struct Sample: Hashable, Sendable {
    /// Which of the source's values this is; `nil` when it has only one.
    package var metric: String?
    package var value: Value
    /// What the driver knows of it, as of a meter that names its units; the settings' own goes before.
    package var unit: Unit?
    package var quality: Quality
    /// Why the quality is not good, for a person.
    package var reason: String?

    package init(
        metric: String? = nil, value: Value, unit: Unit? = nil, quality: Quality = .good, reason: String? = nil
    ) {
        self.metric = metric
        self.value = value
        self.unit = unit
        self.quality = quality
        self.reason = reason
    }
}

/// A decoded value: who measured what, how much of which unit, how well and when.
package struct Reading: Hashable, Sendable {
    package var device: DeviceID
    /// Which of the device's values this is; `nil` when it has only one.
    package var metric: String?
    package var value: Value
    package var unit: Unit?
    package var quality: Quality
    /// Why the quality is not good, for a person.
    package var reason: String?
    package var time: Timestamp

    package init(
        device: DeviceID, metric: String? = nil, value: Value, unit: Unit? = nil, quality: Quality = .good,
        reason: String? = nil, time: Timestamp
    ) {
        self.device = device
        self.metric = metric
        self.value = value
        self.unit = unit
        self.quality = quality
        self.reason = reason
        self.time = time
    }
}
