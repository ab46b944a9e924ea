import Readings
import Testing

@Suite struct RFC3339Tests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999_999_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_000_000_000, "2024-02-29T23:59:59.000Z"),
            (1_735_689_599_999_000_000, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000Z"), (.max, "2262-04-11T23:47:16.854Z"),
            (.min, "1677-09-21T00:12:43.145Z"),
        ] as [(Int64, String)])
    func timesAreWrittenAsRFC3339(unixNanoseconds: Int64, text: String) {
        #expect(rfc3339(unixNanoseconds: unixNanoseconds) == text)
    }
}
