internal import Readings

/// A message's properties as its row keeps them: a mark, a length of four bytes (little-endian) and the bytes of each.
extension MessageProperties {
    private enum Mark: UInt8 {
        case isText = 1
        case contentType, responseTopic, correlationData, userName, userValue, hop
    }

    private static let headBytes = 5

    /// Bytes of ``stored``.
    var storedByteCount: Int {
        var count = isText ? Self.headBytes : 0
        if let contentType { count += Self.headBytes + contentType.utf8.count }
        if let responseTopic { count += Self.headBytes + responseTopic.utf8.count }
        if let correlationData { count += Self.headBytes + correlationData.count }
        for property in user { count += 2 * Self.headBytes + property.name.utf8.count + property.value.utf8.count }
        for hop in hops { count += Self.headBytes + hop.utf8.count }
        return count
    }

    var stored: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(storedByteCount)
        func append(_ mark: Mark, _ content: some Collection<UInt8>) {
            bytes.append(mark.rawValue)
            withUnsafeBytes(of: UInt32(clamping: content.count).littleEndian) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: content)
        }
        if isText { append(.isText, []) }
        if let contentType { append(.contentType, contentType.utf8) }
        if let responseTopic { append(.responseTopic, responseTopic.utf8) }
        if let correlationData { append(.correlationData, correlationData) }
        for property in user {
            append(.userName, property.name.utf8)
            append(.userValue, property.value.utf8)
        }
        for hop in hops { append(.hop, hop.utf8) }
        return bytes
    }

    /// - Returns: `nil` when the bytes are none of these; marks of later versions are passed over.
    convenience init?(stored bytes: [UInt8]) {
        var isText = false
        var contentType: String?
        var responseTopic: String?
        var correlationData: [UInt8]?
        var user: [UserProperty] = []
        var hops: [String] = []
        var name: String?
        var place = 0
        while place < bytes.count {
            guard place + Self.headBytes <= bytes.count else { return nil }
            let mark = Mark(rawValue: bytes[place])
            let length = Int(
                bytes.withUnsafeBytes {
                    UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: place + 1, as: UInt32.self))
                })
            place += Self.headBytes
            guard length <= bytes.count - place else { return nil }
            let content = bytes[place..<place + length]
            place += length
            func text() -> String { String(decoding: content, as: UTF8.self) }
            switch mark {
            case .isText: isText = true
            case .contentType: contentType = text()
            case .responseTopic: responseTopic = text()
            case .correlationData: correlationData = Array(content)
            case .userName: name = text()
            case .userValue:
                guard let known = name else { return nil }
                user.append(UserProperty(known, text()))
                name = nil
            case .hop: hops.append(text())
            case nil: break
            }
        }
        self.init(
            isText: isText, contentType: contentType, responseTopic: responseTopic, correlationData: correlationData,
            user: user, hops: hops)
    }
}
