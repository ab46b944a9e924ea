import MQTT
import NIOCore
import Readings

extension Properties {
    /// What of a PUBLISH's properties goes on with the message; `nil` where that is nothing.
    var message: MessageProperties? {
        guard !list.isEmpty else { return nil }
        var isText = false
        var contentType: String?
        var responseTopic: String?
        var correlationData: [UInt8]?
        var user: [MessageProperties.UserProperty] = []
        for property in list {
            switch property {
            case .payloadFormatIndicator(let value): isText = value == 1
            case .contentType(let value): contentType = value
            case .responseTopic(let value): responseTopic = value
            case .correlationData(let value): correlationData = Array(value.readableBytesView)
            case .userProperty(let name, let value): user.append(MessageProperties.UserProperty(name, value))
            default: break
            }
        }
        return .received(
            isText: isText, contentType: contentType, responseTopic: responseTopic, correlationData: correlationData,
            user: user)
    }

    /// Those of a message that the gateway publishes itself.
    init(_ message: LocalMessage) {
        self.init()
        if let expiry = message.expiry {
            list.append(.messageExpiryInterval(UInt32(clamping: max(1, expiry.components.seconds))))
        }
        guard let properties = message.properties else { return }
        if properties.isText { list.append(.payloadFormatIndicator(1)) }
        if let contentType = properties.contentType { list.append(.contentType(contentType)) }
        if let topic = properties.responseTopic { list.append(.responseTopic(topic)) }
        if let data = properties.correlationData { list.append(.correlationData(ByteBuffer(bytes: data))) }
        list += properties.hops.map { .userProperty(name: MessageProperties.hopName, value: $0) }
        list += properties.user.map { .userProperty(name: $0.name, value: $0.value) }
    }
}
