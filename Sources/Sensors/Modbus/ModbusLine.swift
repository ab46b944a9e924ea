import Synchronization

/// The bus of one port, made when it is first needed.
final class ModbusLine: Sendable {
    let settings: SerialSettings
    private let gap: Duration
    private let made = Mutex<ModbusBus?>(nil)

    init(settings: SerialSettings, gap: Duration) {
        self.settings = settings
        self.gap = gap
    }

    func bus(_ context: SensorContext) throws(SensorError) -> ModbusBus {
        if let bus = made.withLock({ $0 }) { return bus }
        let bus = try ModbusBus(settings, gap: gap, context: context)
        // Another sensor may have been faster.
        return made.withLock { made in
            made = made ?? bus
            return made ?? bus
        }
    }
}
