extension SplitMix64 {
    /// True once in `many` times.
    package mutating func once(in many: Int) -> Bool { Int.random(in: 0..<many, using: &self) == 0 }

    package mutating func number(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }

    package mutating func byte() -> UInt8 { UInt8.random(in: 0...255, using: &self) }

    package mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in byte() } }

    /// One of the choices, of which there must be some.
    package mutating func pick<T>(_ choices: [T]) -> T { choices[number(0...choices.count - 1)] }

    /// Mostly small, now and then where the length of a length changes.
    package mutating func size(atMost limit: Int = 65_535) -> Int {
        let size =
            switch number(0...39) {
            case 0: pick([127, 128, 16_383, 16_384, 65_535])
            case 1...4: number(0...300)
            case 5...8: 0
            default: number(1...12)
            }
        return min(size, limit)
    }
}
