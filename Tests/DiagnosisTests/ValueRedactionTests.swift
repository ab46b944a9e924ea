import Testing

@testable import Diagnosis

@Suite struct ValueRedactionTests {
    @Test(arguments: [
        ("21.4 Cel", "number Cel"), ("-3", "number"), ("1e9", "number"), ("true", "boolean"), ("none", "none"),
        ("open sesame", "text"), ("", "text"), ("\"quoted\"", "text"),
    ])
    func aValueBecomesItsKind(value: String, kind: String) { #expect(ValueRedaction.kind(value) == kind) }

    @Test(arguments: [
        (
            "gateway: a value could not be used reason=\"x/y: expected a number, found \\\"open\\\" sesame\\\"\" so_far=1",
            "gateway: a value could not be used reason=\"x/y: expected a number, found a value"
        ),
        ("          expected a number, found \"a\"b\"", "          expected a number, found a value"),
        (
            "    \"lastFailure\" : \"x: expected a number, found \\\"open\\\"\",",
            "    \"lastFailure\" : \"x: expected a number, found a value\","
        ),
        (
            "    \"lastFailure\" : \"x: expected a number, found \\\"open\\\"\"",
            "    \"lastFailure\" : \"x: expected a number, found a value\""
        ),
        ("debug payload=\"secret\" x=1", "debug payload a value"),
        ("nothing was found here", "nothing was found here"), ("", ""),
    ])
    func aQuotedValueGoes(text: String, left: String) { #expect(ValueRedaction.text(text) == left) }
}
