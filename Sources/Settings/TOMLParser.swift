/// Reads TOML 1.0.0 (toml.io/en/v1.0.0), keeping the place of every key and value.
///
/// Written here because an installer needs every mistake at once, with its line and column: the TOML libraries at hand
/// keep no places of keys and stop at the first mistake. After one, reading goes on at the next line.
package struct TOMLParser {
    /// Files beyond this many bytes are refused.
    package static let sizeLimit = 1 << 20
    /// Arrays and inline tables nest at most this deep.
    static let depthLimit = 32

    /// Ends the current statement; the mistake has been told by then.
    private struct Abandon: Error {}

    private let file: String
    private let scalars: [Unicode.Scalar]
    private let diagnostics: Diagnostics
    private var cursor = 0
    private var line = 1
    private var lineStart = 0
    private var root: Tree

    /// Parses `bytes` as the file named `file`; mistakes go into `diagnostics`, and the table holds what was readable.
    package static func parse(_ bytes: [UInt8], file: String, into diagnostics: Diagnostics) -> TOMLTable {
        let start = SourcePosition(file: file, line: 1, column: 1)
        guard bytes.count <= sizeLimit else {
            diagnostics.error("the file is larger than \(sizeLimit) bytes", at: start)
            return TOMLTable(position: start)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
            let bad = lines.firstIndex { String(validating: $0, as: UTF8.self) == nil } ?? 0
            diagnostics.error("the file is not UTF-8", at: SourcePosition(file: file, line: bad + 1, column: 1))
            return TOMLTable(position: start)
        }
        return parse(text, file: file, into: diagnostics)
    }

    package static func parse(_ text: String, file: String, into diagnostics: Diagnostics) -> TOMLTable {
        var parser = TOMLParser(text, file: file, diagnostics: diagnostics)
        return parser.document()
    }

    private init(_ text: String, file: String, diagnostics: Diagnostics) {
        self.file = file
        self.diagnostics = diagnostics
        var scalars = Array(text.unicodeScalars)
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        self.scalars = scalars
        root = Tree(position: SourcePosition(file: file, line: 1, column: 1), kind: .header)
    }

    // MARK: The tree that is being built

    /// A table under construction, with how it came to be: that decides what may still be added to it.
    private final class Tree {
        enum Kind {
            /// Made on the way to a deeper header; may be defined later, once.
            case implicit
            /// By `[header]`, or the document itself.
            case header
            /// By a dotted key.
            case dotted
        }

        enum Child {
            case value(TOMLNode)
            case tree(Tree)
            case trees([Tree])
        }

        var position: SourcePosition
        var kind: Kind
        var order: [String] = []
        var children: [String: (keyPosition: SourcePosition, child: Child)] = [:]

        init(position: SourcePosition, kind: Kind) {
            self.position = position
            self.kind = kind
        }

        func set(_ key: Name, _ child: Child) {
            if children[key.text] == nil { order.append(key.text) }
            children[key.text] = (key.position, child)
        }

        var table: TOMLTable {
            var table = TOMLTable(position: position)
            for key in order {
                guard let (keyPosition, child) = children[key] else { continue }
                let node =
                    switch child {
                    case .value(let node): node
                    case .tree(let tree): TOMLNode(value: .table(tree.table), position: tree.position)
                    case .trees(let trees):
                        TOMLNode(
                            value: .array(trees.map { TOMLNode(value: .table($0.table), position: $0.position) }),
                            position: trees.first?.position ?? position)
                    }
                table.set(key, at: keyPosition, to: node)
            }
            return table
        }
    }

    private struct Name {
        var text: String
        var position: SourcePosition
    }

    // MARK: Statements

    private mutating func document() -> TOMLTable {
        var current = root
        while true {
            skipBlank()
            guard let scalar = peek else { return root.table }
            do {
                if scalar == "[" { current = try header() } else { try keyValue(into: current) }
                try endOfLine()
            } catch {
                skipLine()
            }
        }
    }

    private mutating func header() throws(Abandon) -> Tree {
        let position = here
        advance()
        let isArray = peek == "["
        if isArray { advance() }
        skipSpaces()
        let path = try keyPath()
        skipSpaces()
        try expect("]", "to close the header")
        if isArray { try expect("]", "to close the header of an array of tables") }
        var tree = root
        for name in path.dropLast() { tree = try descend(tree, name) }
        guard let last = path.last else { preconditionFailure("a key path has at least one name") }
        let existing = tree.children[last.text]
        switch (isArray, existing?.child) {
        case (true, nil):
            let new = Tree(position: position, kind: .header)
            tree.set(last, .trees([new]))
            return new
        case (true, .trees(let trees)):
            let new = Tree(position: position, kind: .header)
            tree.children[last.text]?.child = .trees(trees + [new])
            return new
        case (false, nil):
            let new = Tree(position: position, kind: .header)
            tree.set(last, .tree(new))
            return new
        case (false, .tree(let old)) where old.kind == .implicit:
            old.kind = .header
            old.position = position
            return old
        default:
            tell(
                "\"\(last.text)\" is defined already, at line \(existing?.keyPosition.line ?? 0)", at: last.position)
            // What follows belongs to a table that does not count, but its own mistakes do.
            return Tree(position: position, kind: .header)
        }
    }

    /// The table `name` in `tree`, for a header that goes deeper.
    private mutating func descend(_ tree: Tree, _ name: Name) throws(Abandon) -> Tree {
        switch tree.children[name.text]?.child {
        case nil:
            let new = Tree(position: name.position, kind: .implicit)
            tree.set(name, .tree(new))
            return new
        case .tree(let next): return next
        case .trees(let trees):
            guard let last = trees.last else { preconditionFailure("an array of tables is made with its first table") }
            return last
        case .value(let node):
            throw abandon("\"\(name.text)\" is \(node.value.found), at line \(node.position.line)", at: name.position)
        }
    }

    private mutating func keyValue(into table: Tree) throws(Abandon) {
        let path = try keyPath()
        skipSpaces()
        try expect("=", "between the key \"\(path.map(\.text).joined(separator: "."))\" and its value")
        skipSpaces()
        let position = here
        let node = TOMLNode(value: try value(depth: 0), position: position)
        try insert(node, at: path, in: table)
    }

    private mutating func insert(_ node: TOMLNode, at path: [Name], in table: Tree) throws(Abandon) {
        var tree = table
        for name in path.dropLast() {
            switch tree.children[name.text]?.child {
            case nil:
                let new = Tree(position: name.position, kind: .dotted)
                tree.set(name, .tree(new))
                tree = new
            case .tree(let next) where next.kind == .dotted: tree = next
            case .some:
                let line = tree.children[name.text]?.keyPosition.line ?? 0
                throw abandon("\"\(name.text)\" is defined already, at line \(line)", at: name.position)
            }
        }
        guard let last = path.last else { preconditionFailure("a key path has at least one name") }
        if let existing = tree.children[last.text] {
            throw abandon("\"\(last.text)\" is set already, at line \(existing.keyPosition.line)", at: last.position)
        }
        tree.set(last, .value(node))
    }

    private mutating func keyPath() throws(Abandon) -> [Name] {
        var path = [try key()]
        while true {
            let before = (cursor, line, lineStart)
            skipSpaces()
            guard peek == "." else {
                (cursor, line, lineStart) = before
                return path
            }
            advance()
            skipSpaces()
            path.append(try key())
        }
    }

    private mutating func key() throws(Abandon) -> Name {
        let position = here
        switch peek {
        case .some(let quote) where quote == "\"" || quote == "'":
            return Name(text: try string(quotedBy: quote, isKey: true), position: position)
        default:
            var text = ""
            while let scalar = peek, Self.isBare(scalar) {
                text.unicodeScalars.append(scalar)
                advance()
            }
            guard !text.isEmpty else { throw abandon("expected a key, found \(foundHere)", at: position) }
            return Name(text: text, position: position)
        }
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(Abandon) -> TOMLValue {
        guard depth < Self.depthLimit else {
            throw abandon("nested more than \(Self.depthLimit) deep", at: here)
        }
        switch peek {
        case "\"":
            return .string(starts(with: "\"\"\"") ? try multiLine("\"") : try string(quotedBy: "\"", isKey: false))
        case "'":
            return .string(starts(with: "'''") ? try multiLine("'") : try string(quotedBy: "'", isKey: false))
        case "[": return try array(depth: depth)
        case "{": return .table(try inlineTable(depth: depth))
        default: return try scalarValue()
        }
    }

    private mutating func array(depth: Int) throws(Abandon) -> TOMLValue {
        let open = here
        advance()
        var nodes: [TOMLNode] = []
        while true {
            skipBlank()
            if peek == "]" { break }
            guard peek != nil else { throw abandon("the array is not closed with \"]\"", at: open) }
            let position = here
            nodes.append(TOMLNode(value: try value(depth: depth + 1), position: position))
            skipBlank()
            if peek == "," {
                advance()
            } else if peek != nil, peek != "]" {
                throw abandon("expected \",\" or \"]\" in the array, found \(foundHere)", at: here)
            }
        }
        advance()
        return .array(nodes)
    }

    private mutating func inlineTable(depth: Int) throws(Abandon) -> TOMLTable {
        let position = here
        let tree = Tree(position: position, kind: .header)
        advance()
        skipSpaces()
        if peek == "}" {
            advance()
            return tree.table
        }
        while true {
            skipSpaces()
            let path = try keyPath()
            skipSpaces()
            try expect("=", "between a key and its value")
            skipSpaces()
            let valuePosition = here
            try insert(TOMLNode(value: try value(depth: depth + 1), position: valuePosition), at: path, in: tree)
            skipSpaces()
            if peek == "," {
                advance()
            } else {
                try expect("}", "or \",\" in the inline table")
                return tree.table
            }
        }
    }

    private mutating func scalarValue() throws(Abandon) -> TOMLValue {
        let position = here
        var text = ""
        while let scalar = peek, Self.isBare(scalar) || "+.:".unicodeScalars.contains(scalar) {
            text.unicodeScalars.append(scalar)
            advance()
            // A date and a time may be parted by one space.
            if text.count == 10, peek == " ", Self.isDate(text), let next = peek(1), ("0"..."9").contains(next) {
                text += "T"
                advance()
            }
        }
        if let value = Self.scalarValue(text) { return value }
        guard !text.isEmpty else { throw abandon("expected a value, found \(foundHere)", at: position) }
        let isWord = text.allSatisfy { $0.isLetter || "-_".contains($0) }
        throw abandon(
            isWord
                ? "\(text) is not a value; a string needs quotes: \"\(text)\"" : "\"\(text)\" is not a value of TOML",
            at: position)
    }

    private static func scalarValue(_ text: String) -> TOMLValue? {
        switch text {
        case "true": return .boolean(true)
        case "false": return .boolean(false)
        case "inf", "+inf": return .float(.infinity)
        case "-inf": return .float(-.infinity)
        case "nan", "+nan", "-nan": return .float(.nan)
        default: break
        }
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] where text.hasPrefix(prefix) {
            let digits = text.dropFirst(2)
            guard Self.underscoresAreBetweenDigits(digits, radix: radix) else { return nil }
            return Int64(digits.filter { $0 != "_" }, radix: radix).map { .integer($0) }
        }
        if isDate(text) || isTime(text[...]) { return .datetime(text) }
        return number(text)
    }

    private static func number(_ text: String) -> TOMLValue? {
        let body = text.first == "+" || text.first == "-" ? text.dropFirst() : text[...]
        let isFloat = body.contains { ".eE".contains($0) }
        let digits = body.filter { $0 != "_" }
        if !isFloat {
            guard underscoresAreBetweenDigits(body, radix: 10), digits == "0" || digits.first != "0" else { return nil }
            return Int64(text.filter { $0 != "_" }).map { .integer($0) }
        }
        let parts = body.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        let mantissa = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        guard mantissa.count <= 2, mantissa.allSatisfy({ underscoresAreBetweenDigits($0, radix: 10) }),
            mantissa[0] == "0" || mantissa[0].first != "0"
        else { return nil }
        if parts.count == 2 {
            let exponent = parts[1].first == "+" || parts[1].first == "-" ? parts[1].dropFirst() : parts[1]
            guard underscoresAreBetweenDigits(exponent, radix: 10) else { return nil }
        }
        return Double(text.filter { $0 != "_" }).map { .float($0) }
    }

    private static func underscoresAreBetweenDigits(_ text: some StringProtocol, radix: Int) -> Bool {
        guard let first = text.first, let last = text.last, first != "_", last != "_" else { return false }
        var before: Character = "0"
        for character in text {
            if character == "_" {
                guard before != "_" else { return false }
            } else {
                guard character.isASCII, Int(String(character), radix: radix) != nil else { return false }
            }
            before = character
        }
        return true
    }

    /// `2026-11-23`, with or without a time behind it.
    private static func isDate(_ text: String) -> Bool {
        let parts = text.prefix(10).split(separator: "-", omittingEmptySubsequences: false)
        guard text.count >= 10, parts.count == 3, parts.map(\.count) == [4, 2, 2],
            let year = digits(parts[0]), let month = digits(parts[1]), let day = digits(parts[2])
        else { return false }
        let isLeap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...12).contains(month), (1...days[month - 1]).contains(day) else { return false }
        let rest = text.dropFirst(10)
        guard let separator = rest.first else { return true }
        guard separator == "T" || separator == "t" else { return false }
        var time = rest.dropFirst()
        if time.last == "Z" || time.last == "z" {
            time = time.dropLast()
        } else if let sign = time.lastIndex(where: { $0 == "+" || $0 == "-" }) {
            let offset = time[time.index(after: sign)...].split(separator: ":", omittingEmptySubsequences: false)
            guard offset.map(\.count) == [2, 2], let hour = digits(offset[0]), let minute = digits(offset[1]),
                hour < 24,
                minute < 60
            else { return false }
            time = time[..<sign]
        }
        return isTime(time)
    }

    /// `07:32:00`, with a fraction or without.
    private static func isTime(_ text: Substring) -> Bool {
        let halves = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let parts = (halves.first ?? "").split(separator: ":", omittingEmptySubsequences: false)
        guard parts.map(\.count) == [2, 2, 2], let hour = digits(parts[0]), let minute = digits(parts[1]),
            let second = digits(parts[2]), hour < 24, minute < 60, second <= 60
        else { return false }
        return halves.count == 1 || halves[1].count <= 18 && digits(halves[1]) != nil
    }

    private static func digits(_ text: Substring) -> Int? {
        text.allSatisfy { ("0"..."9").contains($0) } ? Int(text) : nil
    }

    // MARK: Strings

    /// A string on one line: `"basic"`, with escapes, or `'literal'`, without.
    private mutating func string(quotedBy quote: Unicode.Scalar, isKey: Bool) throws(Abandon) -> String {
        let open = here
        advance()
        var text = ""
        while true {
            guard let scalar = peek, scalar != "\n", scalar != "\r" else {
                let mark = quote == "'" ? "an apostrophe" : "a quotation mark"
                throw abandon("the \(isKey ? "key" : "string") is not closed with \(mark)", at: open)
            }
            if scalar == quote {
                advance()
                return text
            }
            if scalar == "\\", quote == "\"" { try escape(into: &text) } else { try plain(into: &text) }
        }
    }

    /// `"""` or `'''` strings.
    private mutating func multiLine(_ quote: Unicode.Scalar) throws(Abandon) -> String {
        let open = here
        for _ in 0..<3 { advance() }
        if peek == "\r", peek(1) == "\n" { advance() }
        if peek == "\n" { advance() }
        let closing = String(repeating: Character(quote), count: 3)
        var text = ""
        while true {
            guard let scalar = peek else { throw abandon("the string is not closed with \(closing)", at: open) }
            if starts(with: closing) {
                for _ in 0..<3 { advance() }
                // Up to two quotes may stand right before the closing ones.
                for _ in 0..<2 where peek == quote {
                    text.unicodeScalars.append(quote)
                    advance()
                }
                return text
            }
            if scalar == "\\", quote == "\"" {
                var ahead = 1
                while let next = peek(ahead), next == " " || next == "\t" { ahead += 1 }
                if let next = peek(ahead), next == "\n" || next == "\r" && peek(ahead + 1) == "\n" {
                    advance()
                    while let next = peek, next == " " || next == "\t" || next == "\n" || next == "\r" { advance() }
                } else {
                    try escape(into: &text)
                }
            } else if scalar == "\n" {
                text.unicodeScalars.append(scalar)
                advance()
            } else if scalar == "\r", peek(1) == "\n" {
                advance()
            } else {
                try plain(into: &text)
            }
        }
    }

    /// One character that stands for itself.
    private mutating func plain(into text: inout String) throws(Abandon) {
        guard let scalar = peek else { return }
        guard scalar == "\t" || !Self.isControl(scalar) else {
            throw abandon("a control character must be written as \\u\(Self.hex(scalar))", at: here)
        }
        text.unicodeScalars.append(scalar)
        advance()
    }

    private mutating func escape(into text: inout String) throws(Abandon) {
        let position = here
        advance()
        guard let scalar = peek else { throw abandon("a \"\\\" at the end of the file", at: position) }
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
            "b": "\u{8}", "t": "\t", "n": "\n", "f": "\u{C}", "r": "\r", "\"": "\"", "\\": "\\",
        ]
        if let replacement = simple[scalar] {
            text.unicodeScalars.append(replacement)
            advance()
            return
        }
        guard scalar == "u" || scalar == "U" else {
            throw abandon(
                "\"\\\(scalar)\" is not an escape; a backslash is written \"\\\\\", or use 'single quotes'",
                at: position)
        }
        advance()
        var digits = ""
        for _ in 0..<(scalar == "u" ? 4 : 8) {
            guard let digit = peek, digit.isASCII, digit.properties.isASCIIHexDigit else { break }
            digits.unicodeScalars.append(digit)
            advance()
        }
        guard digits.count == (scalar == "u" ? 4 : 8), let code = UInt32(digits, radix: 16),
            let character = Unicode.Scalar(code)
        else { throw abandon("\"\\\(scalar)\(digits)\" is not a Unicode character", at: position) }
        text.unicodeScalars.append(character)
    }

    // MARK: Characters

    private var peek: Unicode.Scalar? { cursor < scalars.count ? scalars[cursor] : nil }
    private func peek(_ offset: Int) -> Unicode.Scalar? {
        cursor + offset < scalars.count ? scalars[cursor + offset] : nil
    }

    private func starts(with text: String) -> Bool { scalars[cursor...].starts(with: text.unicodeScalars) }

    private var here: SourcePosition {
        SourcePosition(file: file, line: line, column: cursor - lineStart + 1)
    }

    private mutating func advance() {
        if scalars[cursor] == "\n" {
            line += 1
            lineStart = cursor + 1
        }
        cursor += 1
    }

    private var foundHere: String {
        switch peek {
        case nil: "the end of the file"
        case "\n", "\r": "the end of the line"
        case .some(let scalar): "\"\(Self.isControl(scalar) ? scalar.escaped(asASCII: true) : String(scalar))\""
        }
    }

    private mutating func expect(_ scalar: Unicode.Scalar, _ purpose: String) throws(Abandon) {
        guard peek == scalar else {
            throw abandon("expected \"\(scalar)\" \(purpose), found \(foundHere)", at: here)
        }
        advance()
    }

    private mutating func skipSpaces() {
        while peek == " " || peek == "\t" { advance() }
    }

    /// White space, line ends and comments.
    private mutating func skipBlank() {
        while let scalar = peek {
            switch scalar {
            case " ", "\t", "\n": advance()
            case "\r" where peek(1) == "\n": advance()
            case "#": comment()
            default: return
            }
        }
    }

    private mutating func comment() {
        while let scalar = peek, scalar != "\n" {
            if scalar == "\r", peek(1) == "\n" { return }
            if scalar != "\t", Self.isControl(scalar) {
                tell("a control character in a comment", at: here)
                skipLine()
                return
            }
            advance()
        }
    }

    private mutating func endOfLine() throws(Abandon) {
        skipSpaces()
        if peek == "#" { comment() }
        if peek == "\r", peek(1) == "\n" { advance() }
        guard peek == nil || peek == "\n" else {
            throw abandon("expected the end of the line, found \(foundHere)", at: here)
        }
    }

    private mutating func skipLine() {
        while let scalar = peek, scalar != "\n" {
            _ = scalar
            advance()
        }
    }

    private func tell(_ message: String, at position: SourcePosition) { diagnostics.error(message, at: position) }

    private func abandon(_ message: String, at position: SourcePosition) -> Abandon {
        tell(message, at: position)
        return Abandon()
    }

    private static func isBare(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "A"..."Z", "a"..."z", "0"..."9", "-", "_": true
        default: false
        }
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || scalar.value == 0x7F }

    private static func hex(_ scalar: Unicode.Scalar) -> String {
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }
}
