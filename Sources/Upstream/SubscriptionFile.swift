internal import Glibc

/// Which topic filters each broker was last asked for, so that those of earlier settings are given up: a session that the
/// broker keeps would bring their messages for ever.
///
/// Lines of the broker's URL, a tab and a filter. Small, written only when the filters have changed. Not Sendable: the
/// link's thread's alone.
final class SubscriptionFile {
    private let path: String?
    private var known: [String: [String]] = [:]

    private static let limit = 1 << 20

    /// Reads the file; one that cannot be read counts as empty.
    init(_ path: String?) {
        self.path = path
        guard let path else { return }
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return }
        defer { close(file) }
        let bytes = [UInt8](unsafeUninitializedCapacity: Self.limit) {
            $1 = max(0, read(file, $0.baseAddress, Self.limit))
        }
        for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
            let parts = line.split(separator: "\t", maxSplits: 1)
            if parts.count == 2 { known[String(parts[0]), default: []].append(String(parts[1])) }
        }
    }

    func filters(of broker: String) -> [String] { known[broker] ?? [] }

    /// Writes what this broker has been asked for, when that is news. A failure costs no more than a subscription that
    /// nobody gives up.
    func set(_ filters: [String], of broker: String) {
        guard let path, Set(known[broker] ?? []) != Set(filters) else { return }
        known[broker] = filters.isEmpty ? nil : filters
        let text = known.sorted { $0.key < $1.key }
            .flatMap { broker, filters in filters.map { "\(broker)\t\($0)\n" } }.joined()
        let draft = "\(path).new"
        let file = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o640)
        guard file >= 0 else { return }
        let bytes = Array(text.utf8)
        let isWritten = write(file, bytes, bytes.count) == bytes.count && fsync(file) == 0
        close(file)
        if isWritten { rename(draft, path) }
    }
}
