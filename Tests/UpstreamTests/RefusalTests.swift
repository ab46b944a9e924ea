import Testing

@testable import Upstream

@Suite("Refusals")
struct RefusalTests {
    @Test(
        "CONNACK codes of both versions",
        arguments: [
            (1, .v311, .unsupportedVersion(.v311)), (0x84, .v5, .unsupportedVersion(.v5)),
            (2, .v311, .clientIdentifier), (0x85, .v5, .clientIdentifier),
            (3, .v311, .unavailable), (0x88, .v5, .unavailable),
            (4, .v311, .credentials), (0x86, .v5, .credentials),
            (5, .v311, .notAuthorized), (0x87, .v5, .notAuthorized),
            (0x89, .v5, .busy), (0x8A, .v5, .banned), (0x97, .v5, .quotaExceeded), (0x9C, .v5, .anotherServer),
            (0x9F, .v5, .connectionRate), (0x80, .v5, .other(0x80)), (77, .v311, .other(77)),
        ] as [(UInt8, WireVersion, ConnectRefusal)]
    )
    func connack(_ code: UInt8, _ version: WireVersion, _ expected: ConnectRefusal) {
        let refusal = ConnectRefusal(code: code, version: version)
        #expect(refusal == expected)
        let fault = LinkFault.refused(UpstreamAddress(transport: .tcp, host: "b"), refusal)
        #expect(fault.description.contains("mqtt://b"))
        #expect(!refusal.description.isEmpty && !fault.remedy.isEmpty)
    }

    @Test("PUBACK codes: for good, for now, and for now until patience runs out")
    func puback() {
        var verdict = PublicationVerdict()
        let first = MessageIDs.make(1)
        let second = MessageIDs.make(2)
        for reason in [0x87, 0x90, 0x95, 0x99] as [UInt8] { #expect(verdict.judge(first, reason: reason) == .refused) }
        for _ in 1...20 { #expect(verdict.judge(first, reason: 0x97) == .postponed) }
        for _ in 1..<PublicationVerdict.patience { #expect(verdict.judge(first, reason: 0x80) == .postponed) }
        #expect(verdict.judge(second, reason: 0x83) == .postponed)
        for _ in 1..<PublicationVerdict.patience { #expect(verdict.judge(first, reason: 0x80) == .postponed) }
        #expect(verdict.judge(first, reason: 0x80) == .refused)
    }

    @Test("caution: after two hang-ups over the same message, as many go alone as were on their way")
    func caution() {
        var caution = Caution()
        #expect(caution.window(100) == 100)
        caution.hungUp(oldest: MessageIDs.make(7), count: 3)
        caution.hungUp(oldest: MessageIDs.make(8), count: 3)
        #expect(caution.window(100) == 100)
        caution.hungUp(oldest: MessageIDs.make(8), count: 3)
        for _ in 1...3 {
            #expect(caution.window(100) == 1)
            caution.settled()
        }
        #expect(caution.window(100) == 100)
    }
}
