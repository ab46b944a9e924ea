internal import Glibc

/// The damaged files of one database that lie in its folder, as they are there: somebody may have taken some of them
/// away, in any order, or put other things under such names.
package struct QuarantinedFiles: Sendable {
    /// Numbers of `PATH.corrupt-N`, ascending: what still has to be salvaged. Also of a folder of that name.
    package private(set) var damaged: [Int] = []
    /// All numbers that something here has, ascending: damaged files, salvaged ones and logs that were left alone.
    package private(set) var numbers: [Int] = []

    package var isEmpty: Bool { numbers.isEmpty }

    /// Of more digits, a name is not one of this program's.
    private static let digits = 9

    /// Cost: reads the folder once.
    /// - Parameter path: of the database.
    package init(of path: String) throws(QuarantineError) {
        guard let folder = opendir(Database.folder(of: path)) else { throw QuarantineError(path: path, code: errno) }
        defer { closedir(folder) }
        let base = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
        var damaged: Set<Int> = []
        var numbers: Set<Int> = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            for kind in ["corrupt", "salvaged"] {
                let prefix = "\(base).\(kind)-"
                guard name.hasPrefix(prefix) else { continue }
                let isLog = name.hasSuffix("-wal")
                guard let number = Self.number(name.dropFirst(prefix.count).dropLast(isLog ? 4 : 0)) else { continue }
                numbers.insert(number)
                if kind == "corrupt", !isLog { damaged.insert(number) }
            }
        }
        self.damaged = damaged.sorted()
        self.numbers = numbers.sorted()
    }

    /// As this program writes it.
    private static func number(_ text: Substring) -> Int? {
        guard (1...digits).contains(text.utf8.count), let number = Int(text), number > 0, "\(number)" == text else {
            return nil
        }
        return number
    }

    /// Larger than all that are in use, so that no file takes the number of one that somebody took away; the smallest
    /// one that is free where there is none larger.
    package var freeNumber: Int {
        guard let last = numbers.last else { return 1 }
        if "\(last + 1)".utf8.count <= Self.digits { return last + 1 }
        var free = 1
        for number in numbers where number == free { free += 1 }
        return free
    }
}
