/// The commented sample file, written from the declared sections.
package enum SampleText {
    /// Every key with what it is for and its default, or an example where it has none, commented out; required keys
    /// stand, in sections that are there in any case. The file is valid as it stands.
    /// - Parameter active: names of sections that are not commented out.
    package static func render(_ sections: [Section], heading: String, active: Set<String>) -> String {
        var out = wrap(heading, indent: "# ")
        for section in sections {
            let off = active.contains(section.name) ? "" : "#"
            out += "\n" + wrap(section.summary, indent: "# ")
            switch section.form {
            case .table(let name): out += "\(off)[\(name)]\n"
            case .named(let name, let example): out += "\(off)[\(name).\(example)]\n"
            case .array(let name): out += "\(off)[[\(name)]]\n"
            }
            for key in section.keys {
                out += wrap(key.summary, indent: "#   ")
                let isSet = key.isRequired || section.fixed[key.name] != nil
                out += "\(isSet ? off : "#")\(key.name) = \(value(of: key, in: section))\n"
            }
        }
        return out
    }

    private static func value(of key: Key, in section: Section) -> String {
        if let fixed = section.fixed[key.name] { return TOMLText.quoted(fixed) }
        if let example = key.example { return example }
        if let fallback = key.fallback { return text(fallback) }
        switch key.kind {
        case .string: return "\"\""
        case .strings: return "[]"
        case .integer(let range): return "\(range.lowerBound)"
        case .number: return "0.0"
        case .boolean: return "false"
        case .duration(let range): return "\"\(Quantity.text(range.lowerBound))\""
        case .byteSize(let range): return "\"\(Quantity.text(range.lowerBound))\""
        case .choice(let choices): return "\"\(choices.first ?? "")\""
        }
    }

    private static func text(_ value: TOMLValue) -> String {
        switch value {
        case .string(let text): TOMLText.quoted(text)
        case .integer(let number): "\(number)"
        case .float(let number): "\(number)"
        case .boolean(let boolean): "\(boolean)"
        case .datetime(let text): text
        case .array(let nodes): "[\(nodes.map { text($0.value) }.joined(separator: ", "))]"
        case .table: "{}"
        }
    }

    /// Breaks `text` at 100 columns, each line after `indent`.
    private static func wrap(_ text: String, indent: String) -> String {
        var out = ""
        var line = ""
        for word in text.split(whereSeparator: \.isWhitespace) {
            if !line.isEmpty, indent.count + line.count + 1 + word.count > 100 {
                out += "\(indent)\(line)\n"
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return line.isEmpty ? out : out + "\(indent)\(line)\n"
    }
}
