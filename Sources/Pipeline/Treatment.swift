package import Readings

/// What the pipeline does to one source's values before they become messages.
package struct Treatment: Hashable, Sendable {
    /// How payload bytes become values; sensors whose driver decodes do not use it.
    package var decoding: Decoding
    /// Numbers become `value × scale + offset`.
    package var scale: Double
    package var offset: Double
    package var unit: Unit?
    /// A number closer than this to the last one sent is held back; in the unit after scaling. `nil`: send all.
    package var deadband: Double?
    /// A held-back value is sent all the same after this long, so that silence still means trouble.
    package var maximumSilence: Duration

    package init(
        decoding: Decoding = .number, scale: Double = 1, offset: Double = 0, unit: Unit? = nil,
        deadband: Double? = nil, maximumSilence: Duration = .seconds(300)
    ) {
        self.decoding = decoding
        self.scale = scale
        self.offset = offset
        self.unit = unit
        self.deadband = deadband
        self.maximumSilence = maximumSilence
    }

    /// `value` scaled; integers stay integers while nothing is done to them. `nil` when the result is not finite.
    func scaled(_ value: Value) -> Value? {
        guard scale != 1 || offset != 0, let number = value.asDouble else { return value }
        let result = number * scale + offset
        return result.isFinite ? .number(result) : nil
    }

    /// The unit of a number: what the driver knows goes before what the settings say, until the value is scaled. A driver
    /// says with an empty name that its number has none.
    func unit(for sample: Sample) -> Unit? {
        let isScaled = scale != 1 || offset != 0
        let unit = isScaled ? unit ?? sample.unit : sample.unit ?? unit
        return unit?.name.isEmpty == true ? nil : unit
    }
}
