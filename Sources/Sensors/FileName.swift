/// Names that people and kernels choose, as parts of files' names.
enum FileName {
    /// Letters, digits, `-` and `_` as they are, every other byte as `%` and two hexadecimal digits: no two names become
    /// one, and none becomes a path, an option or a host ("a:b", "../x", "-rf").
    static func escaped(_ name: String) -> String {
        String(
            decoding: name.utf8.flatMap { byte -> [UInt8] in
                let isPlain =
                    byte == 0x2D || byte == 0x5F || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                    || (0x61...0x7A).contains(byte)
                guard !isPlain else { return [byte] }
                return Array("%\(byte < 0x10 ? "0" : "")\(String(byte, radix: 16))".utf8)
            }, as: UTF8.self)
    }
}
