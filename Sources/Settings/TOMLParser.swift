/// Reads TOML 1.0.0 (toml.io/en/v1.0.0), keeping the place of every key and value.
///
/// Written here because an installer needs every mistake at once, with its line and column: the TOML libraries at hand
/// keep no places of keys and stop at the first mistake. After one, reading goes on at the next line.
package struct TOMLParser {
    /// Files beyond this many bytes are refused.
    package static let sizeLimit = 1 << 20
    /// Tables, arrays and the parts of a dotted key nest at most this deep.
    static let depthLimit = 32
    /// After this many mistakes the rest of a file is not read.
    static let mistakeLimit = 100

    /// Ends what is being read; the mistake has been told by then.
    private enum Abandon: Error {
        /// The rest of the line is lost; in an array, the rest of the element.
        case line
        /// So are the next lines, up to one that can only be a statement.
        case statement
        /// A statement begins right here.
        case here
    }

    private let file: String
    private let scalars: [Unicode.Scalar]
    private let diagnostics: Diagnostics
    private var cursor = 0
    private var line = 1
    private var lineStart = 0
    private let root: TOMLTree
    /// The table that statements belong to now.
    private var current: TOMLTree
    private var mistakes = 0
    private var hasRewound = false

    /// Parses `bytes` as the file named `file`; mistakes go into `diagnostics`, and the table holds what was readable.
    package static func parse(_ bytes: [UInt8], file: String, into diagnostics: Diagnostics) -> TOMLTable {
        let start = SourcePosition(file: file, line: 1, column: 1)
        guard bytes.count <= sizeLimit else {
            diagnostics.error("the file is larger than \(sizeLimit) bytes", at: start)
            return TOMLTable(position: start)
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            diagnostics.reads(file)
            diagnostics.error("the file is not UTF-8", at: firstFault(bytes, file: file))
            return TOMLTable(position: start)
        }
        return parse(text, file: file, into: diagnostics)
    }

    package static func parse(_ text: String, file: String, into diagnostics: Diagnostics) -> TOMLTable {
        diagnostics.reads(file)
        guard text.utf8.count <= sizeLimit else {
            let start = SourcePosition(file: file, line: 1, column: 1)
            diagnostics.error("the file is larger than \(sizeLimit) bytes", at: start)
            return TOMLTable(position: start)
        }
        var parser = TOMLParser(text, file: file, diagnostics: diagnostics)
        parser.document()
        return parser.root.table
    }

    /// Where `bytes` stop being UTF-8.
    private static func firstFault(_ bytes: [UInt8], file: String) -> SourcePosition {
        var position = SourcePosition(file: file, line: 1, column: 1)
        var rest = bytes.makeIterator()
        var parser = Unicode.UTF8.ForwardParser()
        while case .valid(let scalar) = parser.parseScalar(from: &rest) {
            if scalar.elementsEqual([UInt8(ascii: "\n")]) {
                position.line += 1
                position.column = 1
            } else {
                position.column += 1
            }
        }
        return position
    }

    private init(_ text: String, file: String, diagnostics: Diagnostics) {
        self.file = file
        self.diagnostics = diagnostics
        var scalars = Array(text.unicodeScalars)
        if scalars.first == "\u{FEFF}" { scalars.removeFirst() }
        self.scalars = scalars
        root = TOMLTree(position: SourcePosition(file: file, line: 1, column: 1), kind: .header, depth: 0)
        current = root
    }

    // MARK: Statements

    private mutating func document() {
        while true {
            skipBlank()
            guard let scalar = peek else { return }
            guard mistakes < Self.mistakeLimit else {
                diagnostics.error("too many mistakes: the rest of the file was not read", at: here)
                root.isIncomplete = true
                return
            }
            do {
                if scalar == "[" { try header() } else { try keyValue() }
                try endOfLine()
            } catch {
                recover(from: error)
            }
        }
    }

    private mutating func recover(from abandon: Abandon) {
        switch abandon {
        case .here: return
        case .line: skipLine()
        case .statement:
            repeat {
                skipLine()
                skipBlank()
            } while peek != nil && !looksLikeStatement()
        }
    }

    /// True at what can only be a header or `key =`, and not an element of an array or the text of a string. Looks
    /// no further than the end of the line.
    private func looksLikeStatement() -> Bool {
        var ahead = self
        let isHeader = ahead.peek == "["
        if isHeader {
            ahead.advance()
            if ahead.peek == "[" { ahead.advance() }
            ahead.skipSpaces()
            // `["a"]`, `[1]` and `[true]` are arrays as well.
            let start = ahead.cursor
            while let scalar = ahead.peek, Self.isBare(scalar) { ahead.advance() }
            let first = String(String.UnicodeScalarView(scalars[start..<ahead.cursor]))
            guard let letter = first.first, letter.isLetter, !["true", "false", "inf", "nan"].contains(first) else {
                return false
            }
        }
        while let scalar = ahead.peek, scalar != "\n" {
            switch scalar {
            case "\"", "'":
                // No key is a multi-line string; an array's element may be one.
                if ahead.peek(1) == scalar, ahead.peek(2) == scalar { return false }
                ahead.advance()
                while let next = ahead.peek, next != scalar, next != "\n" {
                    ahead.advance()
                    if scalar == "\"", next == "\\", let escaped = ahead.peek, escaped != "\n" { ahead.advance() }
                }
                guard ahead.peek == scalar else { return false }
                ahead.advance()
            case " ", "\t", ".": ahead.advance()
            case _ where Self.isBare(scalar): ahead.advance()
            case "=": return !isHeader
            case "]" where isHeader:
                ahead.advance()
                if ahead.peek == "]" { ahead.advance() }
                ahead.skipSpaces()
                return ahead.peek == nil || ahead.peek == "\n" || ahead.peek == "\r" || ahead.peek == "#"
            default: return false
            }
        }
        return false
    }

    private mutating func header() throws(Abandon) {
        let position = here
        advance()
        let isArray = peek == "["
        if isArray { advance() }
        skipSpaces()
        // Until it is known where they belong: not to the table before.
        current = TOMLTree(position: position, kind: .header, depth: 1)
        let wasIncomplete = root.isIncomplete
        root.isIncomplete = true
        root.unreadableHeaders.append(position)
        let path = try keyPath(depth: 0)
        skipSpaces()
        guard peek == "]" || isAtLineEnd || peek == "#" else {
            throw abandon("expected \"]\" to close the header, found \(foundHere)", at: here)
        }
        // A header that lacks only its end is as good as a whole one for what follows.
        root.isIncomplete = wasIncomplete
        root.unreadableHeaders.removeLast()
        if let table = open(path, isArray: isArray, at: position) { current = table }
        try expect("]", "to close the header")
        if isArray { try expect("]", "to close the header of an array of tables") }
    }

    /// The table a header means; `nil` when it cannot be that, which is then told.
    private mutating func open(_ path: [TOMLTree.Name], isArray: Bool, at position: SourcePosition) -> TOMLTree? {
        var tree = root
        for name in path.dropLast() {
            guard let next = descend(tree, name) else { return nil }
            tree = next
        }
        guard let last = path.last else { preconditionFailure("a key path has at least one name") }
        let existing = tree.children[last.text]
        let new = TOMLTree(position: position, kind: .header, depth: tree.depth + 1)
        switch (isArray, existing?.child) {
        case (true, nil):
            let list = TOMLTree.List()
            list.trees.append(new)
            tree.set(last, .trees(list))
            return new
        case (true, .trees(let list)):
            list.trees.append(new)
            return new
        case (false, nil):
            tree.set(last, .tree(new))
            return new
        case (false, .tree(let old)) where old.kind == .implicit:
            old.kind = .header
            old.position = position
            return old
        default:
            // What follows belongs to a table that does not count, but its own mistakes do.
            tell(
                "\(TOMLText.excerpt(last.text)) is defined already, at line \(existing?.keyPosition.line ?? 0)",
                at: last.position)
            return nil
        }
    }

    /// The table `name` in `tree`, for a header that goes deeper; `nil` when it is none, which is then told.
    private mutating func descend(_ tree: TOMLTree, _ name: TOMLTree.Name) -> TOMLTree? {
        switch tree.children[name.text]?.child {
        case nil:
            let new = TOMLTree(position: name.position, kind: .implicit, depth: tree.depth + 1)
            tree.set(name, .tree(new))
            return new
        case .tree(let next): return next
        case .trees(let list):
            guard let last = list.trees.last else {
                preconditionFailure("an array of tables is made with its first table")
            }
            return last
        case .value(let node):
            tell(
                "\(TOMLText.excerpt(name.text)) is \(node.value.found), at line \(node.position.line)",
                at: name.position)
            return nil
        case .unreadable: return nil
        }
    }

    private mutating func keyValue() throws(Abandon) {
        let path = try keyPath(depth: current.depth)
        try keyValue(path, in: current)
    }

    /// `= value`, which `path` gets in `table`; when it cannot be read, that is noted for the key.
    private mutating func keyValue(_ path: [TOMLTree.Name], in table: TOMLTree) throws(Abandon) {
        do {
            skipSpaces()
            let key = path.map { TOMLText.key($0.text) }.joined(separator: ".")
            try expect("=", "between the key \"\(key)\" and its value")
            skipSpaces()
            let position = here
            let value = try value(depth: table.depth + path.count - 1)
            insert(.value(TOMLNode(value: value, position: position)), at: path, in: table)
        } catch {
            insert(.unreadable, at: path, in: table)
            throw error
        }
    }

    private mutating func insert(_ child: TOMLTree.Child, at path: [TOMLTree.Name], in table: TOMLTree) {
        var tree = table
        for name in path.dropLast() {
            switch tree.children[name.text]?.child {
            case nil:
                let new = TOMLTree(position: name.position, kind: .dotted, depth: tree.depth + 1)
                tree.set(name, .tree(new))
                tree = new
            case .tree(let next) where next.kind == .dotted: tree = next
            case .tree(let next) where next.kind == .implicit:
                // "Provided that such tables were not previously created": it is there, and now defined.
                next.kind = .dotted
                tree = next
            case .unreadable: return
            case .some:
                if case .unreadable = child { return }
                let line = tree.children[name.text]?.keyPosition.line ?? 0
                tell("\(TOMLText.excerpt(name.text)) is defined already, at line \(line)", at: name.position)
                return
            }
        }
        guard let last = path.last else { preconditionFailure("a key path has at least one name") }
        if let existing = tree.children[last.text] {
            if case .unreadable = child { return }
            tell(
                "\(TOMLText.excerpt(last.text)) is set already, at line \(existing.keyPosition.line)",
                at: last.position)
        } else {
            tree.set(last, child)
        }
    }

    /// - Parameter depth: how deep the table is that the key is in.
    private mutating func keyPath(depth: Int) throws(Abandon) -> [TOMLTree.Name] {
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
            guard depth + path.count < Self.depthLimit else {
                throw abandon("nested more than \(Self.depthLimit) deep", at: here)
            }
            path.append(try key())
        }
    }

    private mutating func key() throws(Abandon) -> TOMLTree.Name {
        let position = here
        switch peek {
        case .some(let quote) where quote == "\"" || quote == "'":
            return TOMLTree.Name(text: try string(quotedBy: quote, isKey: true), position: position)
        default:
            var text = ""
            while let scalar = peek, Self.isBare(scalar) {
                text.unicodeScalars.append(scalar)
                advance()
            }
            guard !text.isEmpty else { throw abandon("expected a key, found \(foundHere)", at: position) }
            return TOMLTree.Name(text: text, position: position)
        }
    }

    // MARK: Values

    private mutating func value(depth: Int) throws(Abandon) -> TOMLValue {
        guard depth < Self.depthLimit || peek != "[" && peek != "{" else {
            throw abandon("nested more than \(Self.depthLimit) deep", at: here, .statement)
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
        // One complaint about the array's form is enough, and none is needed after one about an element.
        var isTold = false
        while true {
            let line = line
            skipBlank()
            if peek == "]" { break }
            if peek == nil || self.line > line && looksLikeStatement() {
                if !isTold { tell("the array is not closed with \"]\"", at: open) }
                throw .here
            }
            let position = here
            do {
                nodes.append(TOMLNode(value: try value(depth: depth + 1), position: position))
            } catch {
                guard error == .line else { throw error }
                isTold = true
                skip(to: ",]")
            }
            let end = self.line
            skipBlank()
            if peek == "," {
                advance()
            } else if let scalar = peek, scalar != "]", self.line == end || !looksLikeStatement() {
                if !isTold { tell("expected \",\" or \"]\" in the array, found \(foundHere)", at: here) }
                isTold = true
                if self.line == end { skip(to: ",]") }
                if peek == "," { advance() }
            } else if peek != "]" {
                if !isTold { tell("the array is not closed with \"]\"", at: open) }
                throw .here
            }
        }
        advance()
        if isTold { throw .line }
        return .array(nodes)
    }

    private mutating func inlineTable(depth: Int) throws(Abandon) -> TOMLTable {
        let position = here
        // Its keys are as deep as those of a table would be at this place.
        let tree = TOMLTree(position: position, kind: .header, depth: depth + 1)
        var isTold = false
        advance()
        skipSpaces()
        if peek == "}" {
            advance()
            return tree.table
        }
        while true {
            if skipLineEnds(in: position, isTold: &isTold) == false { throw .here }
            if peek == "}" {
                if !isTold { tell("no \",\" may stand before the closing \"}\"", at: here) }
                advance()
                throw .line
            }
            do {
                try keyValue(try keyPath(depth: tree.depth), in: tree)
            } catch {
                guard error == .line else { throw error }
                isTold = true
                skip(to: ",}")
            }
            skipSpaces()
            if isAtLineEnd || peek == "#" {
                // Lines may be broken in arrays only; with a comma or brace to come it is clear what was meant.
                let before = (cursor, line, lineStart)
                skipBlank()
                let goesOn = peek == "," || peek == "}"
                (cursor, line, lineStart) = before
                guard goesOn else {
                    if !isTold { tell("the inline table is not closed with \"}\" on its line", at: position) }
                    throw .line
                }
                _ = skipLineEnds(in: position, isTold: &isTold)
            }
            switch peek {
            case ",": advance()
            case "}":
                advance()
                if isTold { throw .line }
                return tree.table
            default:
                if !isTold { tell("expected \"}\" or \",\" in the inline table, found \(foundHere)", at: here) }
                isTold = true
                skip(to: ",}")
                if peek == "," { advance() }
            }
        }
    }

    /// Passes over line ends in an inline table, which TOML does not allow, telling it once; `false` when the table
    /// ends there unclosed.
    private mutating func skipLineEnds(in table: SourcePosition, isTold: inout Bool) -> Bool {
        skipSpaces()
        guard isAtLineEnd || peek == "#" else { return true }
        skipBlank()
        let isClosed = peek != nil && !(peek == "[" && looksLikeStatement())
        if !isTold {
            tell(
                isClosed
                    ? "an inline table must stand on one line; write it on one, or as a table with its own header"
                    : "the inline table is not closed with \"}\"",
                at: table)
        }
        isTold = true
        return isClosed
    }

    /// Passes over what could not be read in an array or inline table: to one of `ends`, or the end of the line.
    private mutating func skip(to ends: String) {
        while let scalar = peek, scalar != "\n", !ends.unicodeScalars.contains(scalar) {
            advance()
            guard scalar == "\"" || scalar == "'" else { continue }
            // A comma in a string parts nothing.
            let before = (cursor, line, lineStart)
            while let next = peek, next != scalar, next != "\n" { advance() }
            if peek == scalar { advance() } else { (cursor, line, lineStart) = before }
        }
    }

    private mutating func scalarValue() throws(Abandon) -> TOMLValue {
        let position = here
        var length = 0
        var text = ""
        while let scalar = peek, Self.isBare(scalar) || "+.:".unicodeScalars.contains(scalar) {
            text.unicodeScalars.append(scalar)
            length += 1
            advance()
            // A date and a time may be parted by one space.
            if length == 10, peek == " ", TOMLScalar.isDate(text), let next = peek(1), ("0"..."9").contains(next) {
                text += "T"
                length += 1
                advance()
            }
        }
        var isWord = false
        while let scalar = peek, !"=,]}# \t\r\n".unicodeScalars.contains(scalar), !Self.isControl(scalar) {
            isWord = true
            text.unicodeScalars.append(scalar)
            advance()
        }
        if isWord { throw abandon(TOMLScalar.complaint(about: text), at: position) }
        if let value = TOMLScalar.value(text) { return value }
        guard !text.isEmpty else { throw abandon("expected a value, found \(foundHere)", at: position) }
        throw abandon(TOMLScalar.complaint(about: text), at: position)
    }

    // MARK: Strings

    /// A string on one line: `"basic"`, with escapes, or `'literal'`, without.
    private mutating func string(quotedBy quote: Unicode.Scalar, isKey: Bool) throws(Abandon) -> String {
        let open = here
        var isSound = true
        advance()
        var text = ""
        while true {
            guard let scalar = peek, scalar != "\n", scalar != "\r" else {
                let mark = quote == "'" ? "an apostrophe" : "a quotation mark"
                throw abandon("the \(isKey ? "key" : "string") is not closed with \(mark)", at: open)
            }
            if scalar == quote {
                advance()
                if !isSound { throw .line }
                return text
            }
            character(into: &text, hasEscapes: quote == "\"", isSound: &isSound)
        }
    }

    /// `"""` or `'''` strings.
    private mutating func multiLine(_ quote: Unicode.Scalar) throws(Abandon) -> String {
        let start = (cursor, line, lineStart)
        let open = here
        var isSound = true
        for _ in 0..<3 { advance() }
        if peek == "\r", peek(1) == "\n" { advance() }
        if peek == "\n" { advance() }
        let closing = String(repeating: Character(quote), count: 3)
        var text = ""
        while let scalar = peek {
            if starts(with: closing) {
                for _ in 0..<3 { advance() }
                // Up to two quotes may stand right before the closing ones.
                for _ in 0..<2 where peek == quote {
                    text.unicodeScalars.append(quote)
                    advance()
                }
                if !isSound { throw .line }
                return text
            }
            if scalar == "\\", quote == "\"", isBeforeLineEnd {
                advance()
                skipWhiteSpace()
            } else if scalar == "\n" {
                text.unicodeScalars.append(scalar)
                advance()
            } else if scalar == "\r", peek(1) == "\n" {
                advance()
            } else {
                character(into: &text, hasEscapes: quote == "\"", isSound: &isSound)
            }
        }
        tell("the string is not closed with \(closing)", at: open)
        // What it swallowed is the rest of the file, which may have mistakes of its own. Once: it is read twice then.
        guard !hasRewound else { throw .here }
        hasRewound = true
        (cursor, line, lineStart) = start
        throw .statement
    }

    /// At a backslash with nothing but spaces between it and the end of the line.
    private var isBeforeLineEnd: Bool {
        var ahead = 1
        while let next = peek(ahead), next == " " || next == "\t" { ahead += 1 }
        return peek(ahead) == "\n" || peek(ahead) == "\r" && peek(ahead + 1) == "\n"
    }

    /// Spaces and line ends, without comments.
    private mutating func skipWhiteSpace() {
        while let scalar = peek, " \t\n".unicodeScalars.contains(scalar) || scalar == "\r" && peek(1) == "\n" {
            advance()
        }
    }

    /// One character of a string. The first that may not stand there is told, and the string goes on.
    private mutating func character(into text: inout String, hasEscapes: Bool, isSound: inout Bool) {
        guard let scalar = peek else { preconditionFailure("a character is asked for at the end of the file") }
        let position = here
        let fault: String?
        if scalar == "\\", hasEscapes {
            fault = escape(into: &text)
        } else {
            text.unicodeScalars.append(scalar)
            advance()
            fault =
                scalar != "\t" && Self.isControl(scalar)
                ? "a control character must be written as \\u\(TOMLText.hex(scalar))" : nil
        }
        if let fault {
            if isSound { tell(fault, at: position) }
            isSound = false
        }
    }

    /// What a backslash and what follows it stand for; returns what is wrong with it.
    private mutating func escape(into text: inout String) -> String? {
        advance()
        // An end of the line or file is the string's business.
        guard let scalar = peek, scalar != "\n", scalar != "\r" else { return nil }
        advance()
        switch scalar {
        case "b": text.unicodeScalars.append("\u{8}")
        case "t": text.unicodeScalars.append("\t")
        case "n": text.unicodeScalars.append("\n")
        case "f": text.unicodeScalars.append("\u{C}")
        case "r": text.unicodeScalars.append("\r")
        case "\"", "\\": text.unicodeScalars.append(scalar)
        case "u", "U":
            let count = scalar == "u" ? 4 : 8
            var digits = ""
            while digits.utf8.count < count, let digit = peek, digit.isASCII, digit.properties.isASCIIHexDigit {
                digits.unicodeScalars.append(digit)
                advance()
            }
            guard digits.utf8.count == count, let code = UInt32(digits, radix: 16),
                let character = Unicode.Scalar(code)
            else { return "\"\\\(scalar)\(digits)\" is not a Unicode character" }
            text.unicodeScalars.append(character)
        default:
            let shown = Self.isControl(scalar) ? scalar.escaped(asASCII: true) : String(scalar)
            return "\"\\\(shown)\" is not an escape; a backslash is written \"\\\\\", or use 'single quotes'"
        }
        return nil
    }

    // MARK: Characters

    private var peek: Unicode.Scalar? { cursor < scalars.count ? scalars[cursor] : nil }
    private func peek(_ offset: Int) -> Unicode.Scalar? {
        cursor + offset < scalars.count ? scalars[cursor + offset] : nil
    }

    private func starts(with text: String) -> Bool { scalars[cursor...].starts(with: text.unicodeScalars) }

    /// A carriage return alone ends no line.
    private var isAtLineEnd: Bool { peek == nil || peek == "\n" || peek == "\r" && peek(1) == "\n" }

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

    private mutating func tell(_ message: String, at position: SourcePosition) {
        mistakes += 1
        if mistakes <= Self.mistakeLimit { diagnostics.error(message, at: position) }
    }

    private mutating func abandon(
        _ message: String, at position: SourcePosition, _ abandon: Abandon = .line
    ) -> Abandon {
        tell(message, at: position)
        return abandon
    }

    private static func isBare(_ scalar: Unicode.Scalar) -> Bool { TOMLText.isBare(scalar) }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 || scalar.value == 0x7F }
}
