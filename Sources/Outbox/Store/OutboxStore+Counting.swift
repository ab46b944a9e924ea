internal import Database

/// After an end without ``OutboxStore/close()`` the counters in the file are in doubt. The rows are counted beside other
/// work, a few milliseconds at a time, and a difference is mended.
extension OutboxStore {
    /// Between two steps: counting takes a fraction of the outbox's time.
    private static let countingPause = Duration.milliseconds(10)
    /// After a step that failed.
    private static let countingRetry = Duration.seconds(10)

    nonisolated func startCounting() {
        Task { [weak self] in
            while let pause = await self?.countSomeRows() {
                guard (try? await Task.sleep(for: pause)) != nil else { return }
            }
        }
    }

    /// One step.
    /// - Returns: when the next one is to come; `nil` when no counters are in doubt.
    private func countSomeRows() -> Duration? {
        guard let file, let index = streams.firstIndex(where: { $0.isInDoubt }) else { return nil }
        do throws(SQLiteError) {
            guard let outcome = try streams[index].countRows(file) else { return Self.countingPause }
            if outcome.counted != outcome.told {
                noteMended(
                    CountDifference(
                        deliveryClass: streams[index].name, told: outcome.told.count,
                        counted: outcome.counted.count))
                commitSoon()
            }
            return .zero
        } catch {
            failed(error)
            return Self.countingRetry
        }
    }
}
