import Configuration
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import Setup

/// The first boot when the disk fails: the settings of before stay in force entirely, or the new ones are.
@Suite struct FirstBootFailureTests {
    private let directory: TemporaryDirectory
    private static let user = "no-such-user"

    init() throws {
        directory = try TemporaryDirectory()
        for name in ["boot", "boot/certs", "etc", "etc/certs"] { try #require(mkdir(directory[name], 0o755) == 0) }
    }

    private static func settings(_ id: String) -> String {
        """
        [gateway]
        id = "\(id)"
        [upstream]
        url = "mqtts://127.0.0.1:9"
        username = "u"
        password_file = "upstream.password"
        ca_file = "certs/ca.pem"

        """
    }

    private var old: [String: String] {
        ["tidegate.toml": Self.settings("old"), "upstream.password": "old", "certs/ca.pem": "old"]
    }
    private var new: [String: String] {
        ["tidegate.toml": Self.settings("new"), "upstream.password": "new", "certs/ca.pem": "new"]
    }

    private func prepare(missing: Set<String> = []) throws {
        for path in FolderEntries.files(below: directory.path) { unlink(path) }
        for (name, text) in old where !missing.contains(name) {
            try directory.write(text, to: "etc/\(name)", mode: 0o600)
        }
        for (name, text) in new { try directory.write(text, to: "boot/\(name)") }
    }

    /// What the gateway would read.
    private var inForce: [String: String] {
        old.reduce(into: [:]) { result, entry in
            if let bytes = directory.bytes(of: "etc/\(entry.key)") {
                result[entry.key] = String(decoding: bytes, as: UTF8.self)
            }
        }
    }

    private var report: String { textOfFile(directory["report"]) }

    private func task(_ gate: @escaping FileExchange.Gate = { _ in 0 }) -> FirstBoot {
        var task = FirstBoot(
            bootDirectories: [directory["boot"]], settingsPath: directory["etc/tidegate.toml"], user: Self.user,
            reportPath: directory["report"])
        task.gate = gate
        return task
    }

    /// Lets `count` calls through, then fails one of them, or all.
    private final class Failing: Sendable {
        private let left: Mutex<Int>
        private let isForGood: Bool
        let called = Mutex<[String]>([])
        let hasFailed = Mutex(false)

        init(after count: Int, isForGood: Bool) {
            left = Mutex(count)
            self.isForGood = isForGood
        }

        var gate: FileExchange.Gate {
            { doing in
                let turn = self.left.withLock { left in
                    left -= 1
                    return left
                }
                guard turn < 0, self.isForGood || turn == -1 else { return 0 }
                self.hasFailed.withLock { $0 = true }
                self.called.withLock { $0.append(doing) }
                return ENOSPC
            }
        }
    }

    @Test(arguments: [[], ["upstream.password", "certs/ca.pem"], ["tidegate.toml"]] as [Set<String>])
    func everyStepFailsInItsTurn(missing: Set<String>) throws {
        var step = 0
        while true {
            try prepare(missing: missing)
            let before = inForce
            let failing = Failing(after: step, isForGood: false)
            let outcome = Result { try task(failing.gate).run() }
            guard failing.hasFailed.withLock({ $0 }) else { break }
            let doing = failing.called.withLock { $0.first ?? "" }
            switch outcome {
            case .failure(let error):
                #expect(inForce == before, "step \(step): \(doing)")
                #expect(
                    "\(error)".contains("no space left on device (ENOSPC)") && "\(error)".contains("free space"),
                    "\(error)")
                #expect(report == "\(error)")
                // The card still has the new ones, and nothing lies about.
                #expect(
                    directory.bytes(of: "boot/tidegate.toml") != nil && directory.bytes(of: "boot/certs/ca.pem") != nil)
                let names = FolderEntries.files(below: directory["etc"]).filter { $0.contains(".first-boot") }
                #expect(names == [], "step \(step): \(doing)")
            case .success:
                // Only what comes after the decision may fail unsaid: it is removed by the next start.
                #expect(inForce == new, "step \(step): \(doing)")
            }
            #expect(try taken(task()) || inForce == new)
            #expect(inForce == new && leftOvers == [], "after step \(step): \(doing)")
            step += 1
        }
        #expect(step > 10 && inForce == new)
        #expect(
            missing.contains("tidegate.toml") || textOfFile(directory["etc/tidegate.toml.old"]) == old["tidegate.toml"])
    }

    private func taken(_ task: FirstBoot) throws -> Bool {
        if case .taken = try task.run() { true } else { false }
    }

    private var leftOvers: [String] {
        FolderEntries.files(below: directory["etc"]).filter { $0.contains(".first-boot") }
    }

    /// Nothing is done after a power cut; the next start finds the disk full.
    @Test func aPowerCutAtEveryStep() throws {
        var step = 0
        var ends: [String] = []
        while true {
            try prepare()
            let cut = Failing(after: step, isForGood: true)
            _ = try? task(cut.gate).run()
            guard cut.hasFailed.withLock({ $0 }) else { break }
            let doing = cut.called.withLock { $0.first ?? "" }
            let full: FileExchange.Gate = { $0.hasPrefix("write") ? ENOSPC : 0 }
            _ = try? task(full).run()
            #expect(inForce == old || inForce == new, "step \(step): \(doing)")
            if ends.last != inForce["upstream.password"] { ends.append(inForce["upstream.password"] ?? "") }
            // Cut off once more while it was putting things back.
            for second in 0..<4 {
                try prepare()
                _ = try? task(Failing(after: step, isForGood: true).gate).run()
                _ = try? task(Failing(after: second, isForGood: true).gate).run()
                _ = try? task(full).run()
                #expect(inForce == old || inForce == new, "step \(step), then \(second): \(doing)")
            }
            _ = try task().run()
            #expect(inForce == new && leftOvers == [], "after step \(step): \(doing)")
            step += 1
        }
        #expect(ends == ["old", "new"] && step > 10)
    }

    @Test func aFolderInTheWayIsNamed() throws {
        try prepare(missing: ["upstream.password"])
        try #require(mkdir(directory["etc/upstream.password"], 0o755) == 0)
        let before = inForce
        let error = #expect(throws: GatewayError.self) { try task().run() }
        #expect(
            error?.reason.contains("etc/upstream.password: is a directory (EISDIR)") == true,
            "\(String(describing: error))")
        #expect(inForce == before)
    }
}
