internal import Database
internal import Readings

/// One append in the making: the streams as they will be, and whose messages are safe.
struct Batch {
    var streams: [Stream]
    /// Indices of the streams that change.
    private(set) var touched: [Int] = []
    private(set) var settled: [SettleToken] = []
    private(set) var rejected: [SettleToken] = []
    /// A message since the last token was refused. The messages of one arrival stand together with the token on the
    /// last, so that token must not be settled either. (It may belong to a neighbour without a token: then a device
    /// repeats a message that is safe, which is no loss.)
    private var isArrivalRefused = false

    init(streams: [Stream]) { self.streams = streams }

    mutating func add(_ entry: OutboxStore.Entry, to index: Int, of file: OutboxFile) throws(SQLiteError) {
        if !touched.contains(index) { touched.append(index) }
        if try !streams[index].add(entry.message, file) { isArrivalRefused = true }
        guard let token = entry.settle else { return }
        if isArrivalRefused { rejected.append(token) } else { settled.append(token) }
        isArrivalRefused = false
    }
}
