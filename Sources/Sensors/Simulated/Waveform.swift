package import Readings

/// A made-up signal: the same parameters give the same values, one after the other.
package struct Waveform: Sendable {
    package enum Shape: String, Hashable, Sendable, CaseIterable {
        case sine
        case ramp
        case randomWalk = "random-walk"
        /// A contact: the first half of the period true.
        case square
    }

    private let shape: Shape
    private let samplesPerPeriod: Double
    private let range: ClosedRange<Double>
    private var step = 0.0
    private var random: SplitMix64
    private var walk: Double

    package init(_ shape: Shape, samplesPerPeriod: Double, range: ClosedRange<Double>, seed: UInt64) {
        self.shape = shape
        self.samplesPerPeriod = samplesPerPeriod
        self.range = range
        random = SplitMix64(state: seed)
        walk = (range.lowerBound + range.upperBound) / 2
    }

    /// The next sample, numbers rounded to three decimals.
    package mutating func next() -> Value {
        let phase = (step / samplesPerPeriod).truncatingRemainder(dividingBy: 1)
        step += 1
        let span = range.upperBound - range.lowerBound
        switch shape {
        case .square: return .boolean(phase < 0.5)
        case .sine: return number(range.lowerBound + span * (1 + Self.sine(phase)) / 2)
        case .ramp: return number(range.lowerBound + span * phase)
        case .randomWalk:
            walk += span * 0.02 * (Double(random.next() >> 11) / Double(1 << 52) - 1)
            walk = min(max(walk, range.lowerBound), range.upperBound)
            return number(walk)
        }
    }

    private func number(_ value: Double) -> Value { .number((value * 1_000).rounded() / 1_000) }

    /// sin(2πx) for 0 ≤ x < 1 by Bhāskara's approximation, exact to 0.002: enough for a made-up signal.
    private static func sine(_ x: Double) -> Double {
        let half = x < 0.5 ? x : x - 0.5
        let product = 4 * half * 2 * (1 - half * 2)
        let value = 4 * product / (5 - product)
        return x < 0.5 ? value : -value
    }
}

/// A small generator with a seed (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
