import Database
import Glibc
import TestSupport
import Testing

/// What a damaged file still has, against what was written into it.
@Suite struct DamagedFileTests {
    let folder: TemporaryDirectory
    var path: String { "\(folder.path)/a.db" }

    init() throws { folder = try TemporaryDirectory() }

    /// Texts of all lengths, beyond a page too.
    private static func text(_ number: Int) -> String {
        String(repeating: "x", count: number * number % 12_000) + "\(number)"
    }

    private func write(_ range: Range<Int>, checkpoints: Bool) throws {
        let connection = try Connection.open(path)
        try connection.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, n, a TEXT, b BLOB)", doing: "make")
        let insert = try Statement("INSERT INTO t VALUES(?, ?, ?, ?)", on: connection, doing: "write")
        for number in range {
            try insert.bind(Int64(number), at: 1)
            try insert.bind(Self.integer(number), at: 2)
            try insert.bind(Self.text(number), at: 3)
            try insert.bind(Array(Self.text(number).utf8.reversed()), at: 4)
            try insert.run()
        }
        if checkpoints { try connection.checkpoint() }
    }

    private static func integer(_ number: Int) -> Int64 {
        number % 3 == 0 ? Int64(number % 2) : Int64.max >> Int64(number % 63) &* (number % 2 == 0 ? 1 : -1)
    }

    private func read() throws -> [Int64: TableRecord] {
        let file = try DamagedFile(path)
        var found: [Int64: TableRecord] = [:]
        for page in 1...file.pageCount {
            file.records(onPage: page) { if $0.values.count == 4 { found[$0.rowID] = $0 } }
        }
        return found
    }

    private func expect(_ record: TableRecord?, _ number: Int) {
        #expect(record?.values[0] == .null)
        #expect(record?.values[1] == .integer(Self.integer(number)))
        #expect(record?.values[2].asText == Self.text(number))
        #expect(record?.values[3].asBlob == Self.text(number).utf8.reversed())
    }

    @Test func everyRowIsFoundInFileAndLog() throws {
        try write(1..<200, checkpoints: true)
        try write(200..<300, checkpoints: false)
        #expect(access("\(path)-wal", F_OK) == 0)
        let found = try read()
        #expect(found.count == 299)
        for number in 1..<300 { expect(found[Int64(number)], number) }
    }

    @Test func neitherHeaderNorTreeIsNeeded() throws {
        try write(1..<300, checkpoints: true)
        let all = try read()
        try overwrite(at: 0, with: [UInt8](repeating: 0xA5, count: 4_096))
        let found = try read()
        #expect(found == all && found.count == 299)
    }

    @Test func whatWasDeletedStaysDeleted() throws {
        try write(1..<300, checkpoints: true)
        let connection = try Connection.open(path)
        try connection.execute("DELETE FROM t WHERE id < 250", doing: "delete")
        #expect(try read().keys.sorted() == (250..<300).map(Int64.init))
    }

    @Test func whatWasNotCommittedIsNotThere() throws {
        try write(1..<10, checkpoints: true)
        let connection = try Connection.open(path)
        try connection.execute("PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN", doing: "begin")
        for number in 10..<60 {
            try connection.execute("INSERT INTO t VALUES(\(number), 1, '\(Self.text(number))', x'00')", doing: "write")
        }
        var log = stat()
        #expect(stat("\(path)-wal", &log) == 0 && log.st_size > 10_000, "what is not committed is in the log")
        #expect(try read().keys.sorted() == (1..<10).map(Int64.init))
        try connection.execute("COMMIT", doing: "commit")
        #expect(try read().count == 59)
    }

    /// Whatever stands in the pages, reading ends, and a row that is found is one that was written or damaged inside.
    @Test(arguments: UInt64(1)...8) func noiseEndsNothing(seed: UInt64) throws {
        try write(1..<300, checkpoints: seed % 2 == 0)
        var random = SplitMix64(seed: seed)
        var information = stat()
        for name in [path, "\(path)-wal"] where stat(name, &information) == 0 && information.st_size > 0 {
            for _ in 0..<200 {
                let place = Int.random(in: 0..<Int(information.st_size), using: &random)
                try overwrite(
                    name, at: place,
                    with: (0..<Int.random(in: 1...40, using: &random)).map { _ in
                        .random(in: 0 ... .max, using: &random)
                    })
            }
        }
        let found = try read()
        var sound = 0
        for number in 1..<300 where found[Int64(number)]?.values[2].asText == Self.text(number) { sound += 1 }
        #expect(sound > 0 && sound < 299)
    }

    private func overwrite(_ name: String? = nil, at place: Int, with bytes: [UInt8]) throws {
        let file = open(name ?? path, O_WRONLY)
        try #require(file >= 0)
        defer { close(file) }
        #expect(pwrite(file, bytes, bytes.count, off_t(place)) == bytes.count)
    }
}
