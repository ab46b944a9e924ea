import Glibc
import TestSupport
import Testing

/// The examples in `docs/` do what is printed there.
@Suite(.timeLimit(.minutes(3))) struct DocumentationTests {
    private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

    private struct Block {
        var language: Substring
        var lines: [Substring]
    }

    private static func blocks(_ name: String) -> [Block] {
        var blocks: [Block] = []
        var isOpen = false
        for line in textOfFile("\(root)/docs/\(name)").split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```") {
                if !isOpen { blocks.append(Block(language: line.dropFirst(3), lines: [])) }
                isOpen.toggle()
            } else if isOpen {
                blocks[blocks.count - 1].lines.append(line)
            }
        }
        return blocks
    }

    /// `…` within a line is anything, alone on a line any number of lines.
    private static func matches(_ found: ArraySlice<Substring>, _ expected: ArraySlice<Substring>) -> Bool {
        guard let first = expected.first else { return found.isEmpty }
        if first == "…" {
            return (found.startIndex...found.endIndex).contains { matches(found[$0...], expected.dropFirst()) }
        }
        guard let line = found.first, fits(line, first) else { return false }
        return matches(found.dropFirst(), expected.dropFirst())
    }

    private static func fits(_ line: Substring, _ pattern: Substring) -> Bool {
        let parts = pattern.split(separator: "…", omittingEmptySubsequences: false)
        guard parts.count > 1 else { return line == pattern }
        guard line.hasPrefix(parts[0]) else { return false }
        var rest = line.dropFirst(parts[0].count)
        for part in parts.dropFirst() where !part.isEmpty {
            guard let range = rest.firstRange(of: part) else { return false }
            rest = rest[range.upperBound...]
        }
        return parts.last == "" || rest.isEmpty
    }

    @Test func theExamplesOfReloadHold() async throws {
        let directory = try TemporaryDirectory()
        let upstream = try await MosquittoProcess()
        let lanPort = freePort()
        let settings = directory["tidegate.toml"]
        var gateway: ChildProcess?
        defer { gateway?.end(SIGKILL) }
        var commands = 0
        for block in Self.blocks("reload.md") {
            if block.language == "toml" {
                let text = block.lines.joined(separator: "\n").replacing("/var/lib/tidegate", with: directory["data"])
                    .replacing(":1883", with: ":\(lanPort)").replacing(":1884", with: ":\(upstream.port)")
                try directory.write(text, to: "tidegate.toml")
                guard gateway == nil else { continue }
                let process = try ChildProcess([TidegateProcess.binary, "run", "--config", settings])
                gateway = process
                #expect(
                    await eventually(within: .seconds(30)) {
                        acceptsConnections(lanPort) && access(directory["data/control.sock"], F_OK) == 0
                    }, "\(process.errors)")
                continue
            }
            #expect(block.language == "console")
            for part in block.lines.split(whereSeparator: { $0.hasPrefix("$ ") }).enumerated() {
                let command = block.lines.filter { $0.hasPrefix("$ tidegate ") }[part.offset]
                let words = command.dropFirst(11).split(separator: " ").map(String.init)
                let run = try await runToEnd(
                    [TidegateProcess.binary] + words + ["--config", settings], upTo: .seconds(90))
                let found = (run.output + run.errors).split(separator: "\n")
                #expect(
                    Self.matches(found[...], part.element[...]),
                    "\(command):\n\(found.joined(separator: "\n"))\ninstead of\n\(part.element.joined(separator: "\n"))"
                )
                commands += 1
            }
        }
        #expect(commands == 5)
    }

    /// Every part that a gateway reports has its row, and every file that the index names is there.
    @Test func everyPartHasARowInFaults() async throws {
        let upstream = try await MosquittoProcess()
        let gateway = try await TidegateProcess(
            upstreamPort: upstream.port, settings: "[[sensor]]\nid = \"a\"\ndriver = \"simulated\"")
        let text = textOfFile("\(Self.root)/docs/faults.md")
        let rows = text.split(separator: "\n").filter { $0.hasPrefix("| `") }
            .map { $0.dropFirst(3).prefix { $0 != "`" } }
        let status = try await gateway.status()
        let parts = try #require(status.firstRange(of: "\"parts\"").map { status[$0.upperBound...] })
        // The list ends where its bracket is closed.
        let list = parts.prefix { $0 != "]" }
        let names = list.split(separator: "\n").compactMap { line -> Substring? in
            guard line.contains("\"name\"") else { return nil }
            return line.split(separator: "\"").last { $0 != "," && $0 != "name" }
        }
        #expect(names.count > 5, "\(list)")
        for name in names { #expect(rows.contains { name.hasPrefix($0) }, "no row for \(name)") }
        let index = textOfFile("\(Self.root)/docs/README.md")
        for link in index.split(separator: "](").dropFirst() {
            #expect(access("\(Self.root)/docs/\(link.prefix { $0 != ")" })", F_OK) == 0, "\(link)")
        }
    }
}
