/// How much one `claim` may still hand out.
struct ClaimBudget {
    private var messages: Int
    private var bytes: Int
    private var isUntouched = true

    init(messages: Int, bytes: Int) {
        self.messages = messages
        self.bytes = bytes
    }

    var isSpent: Bool { messages <= 0 || (bytes <= 0 && !isUntouched) }

    /// Takes one message of so many bytes out of the budget. The first one fits always: a message larger than the
    /// budget could otherwise never leave.
    /// - Returns: `false` when it does not fit.
    mutating func take(_ size: Int) -> Bool {
        guard messages > 0, isUntouched || size <= bytes else { return false }
        messages -= 1
        bytes -= size
        isUntouched = false
        return true
    }
}
