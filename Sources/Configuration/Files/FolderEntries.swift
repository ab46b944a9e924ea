import Glibc
package import Linux

/// What lies in a folder.
package enum FolderEntries {
    /// The names in a folder in no order, without `.` and `..`. Blocks.
    /// - Throws: when the folder cannot be opened.
    package static func names(in folder: String) throws(SystemCallError) -> [String] {
        guard let stream = opendir(folder) else {
            throw SystemCallError(doing: "read the folder \(folder)", code: errno)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    /// The paths of all files below a folder, without following symbolic links; folders that cannot be opened are left
    /// out. Blocks.
    /// - Parameter depth: how many folders lie in each other at most.
    package static func files(below folder: String, depth: Int = 8) -> [String] {
        guard depth > 0, let names = try? names(in: folder) else { return [] }
        return names.sorted().flatMap { name -> [String] in
            let path = "\(folder)/\(name)"
            var information = stat()
            guard lstat(path, &information) == 0 else { return [] }
            return information.st_mode & S_IFMT == S_IFDIR ? files(below: path, depth: depth - 1) : [path]
        }
    }
}
