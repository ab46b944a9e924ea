import Linux
import Readings
import Synchronization

/// One serial line with several Modbus devices on it: the port has one owner, and the schedule decides who is asked.
///
/// It is open while at least one sensor attends. When the line is lost, every attendant is told, and with that it is closed;
/// those that come back open it again.
package final class ModbusBus: Sendable {
    /// What an attendant is told.
    enum Notice: Sendable {
        case event(ModbusSchedule.Event, ModbusSchedule.Statistics)
        /// The line is gone.
        case lost(SensorError)
    }

    private struct Attendant: Sendable {
        let device: ModbusSchedule.Device
        let notices: AsyncStream<Notice>.Continuation
    }

    private struct EarlyWrite: Sendable {
        let id: DeviceID
        let number: Int
        let table: ModbusTable
        let address: Int
        let values: [UInt16]
    }

    private static let earlyLimit = 64

    private struct State: Sendable {
        var schedule: ModbusSchedule
        var attendants: [DeviceID: Attendant] = [:]
        /// What is to be written once the port is open, at most ``earlyLimit``.
        var early: [EarlyWrite] = []
        /// The task that owns the port.
        var runner: Task<Void, Never>?
    }

    let settings: SerialSettings
    private let time: any TimeSource
    private let poller: DescriptorPoller
    private let state: Mutex<State>
    /// Ends the wait for the next turn.
    private let alarm: WakeDescriptor

    init(_ settings: SerialSettings, context: SensorContext) throws(SensorError) {
        self.settings = settings
        time = context.time
        poller = context.poller
        do throws(SystemCallError) {
            alarm = try WakeDescriptor("wait for a Modbus line")
        } catch {
            throw SensorError(error)
        }
        state = Mutex(State(schedule: ModbusSchedule(gap: settings.format.modbusFrameGap)))
    }

    /// Takes part with `device` until the stream's reader goes or ``leave(_:)``.
    func attend(_ device: ModbusSchedule.Device) -> AsyncStream<Notice> {
        // Notices are few, one a round; a reader that does not read loses old ones.
        let (stream, notices) = AsyncStream.makeStream(of: Notice.self, bufferingPolicy: .bufferingNewest(64))
        state.withLock { state in
            state.attendants[device.id] = Attendant(device: device, notices: notices)
            if state.runner == nil {
                state.runner = Task { await self.run() }
            } else {
                state.schedule.add(device, now: time.now().instant)
            }
        }
        alarm.wake()
        return stream
    }

    /// Ends a device's part; with the last one the port is closed before this returns.
    func leave(_ id: DeviceID) async {
        let last = state.withLock { state -> Task<Void, Never>? in
            state.attendants[id]?.notices.finish()
            state.attendants[id] = nil
            state.schedule.remove(id)
            return state.attendants.isEmpty ? state.runner : nil
        }
        last?.cancel()
        await last?.value
    }

    /// Writes in the next slot; false when too many writes wait.
    func write(_ id: DeviceID, number: Int, table: ModbusTable, address: Int, values: [UInt16]) -> Bool {
        defer { alarm.wake() }
        return state.withLock { state in
            // A command may be quicker than the opening of the port.
            if state.schedule.statistics(of: id) == nil, state.attendants[id] != nil {
                guard state.early.count < Self.earlyLimit else { return false }
                state.early.append(
                    EarlyWrite(id: id, number: number, table: table, address: address, values: values))
                return true
            }
            return state.schedule.write(id, number: number, table: table, address: address, values: values)
        }
    }

    private func run() async {
        do throws(SensorError) {
            try await serve()
            state.withLock { state in
                state.schedule.abandon()
                // Somebody may have come while the last one was leaving.
                state.runner = state.attendants.isEmpty ? nil : Task { await self.run() }
            }
        } catch {
            let attendants = state.withLock { state in
                defer {
                    for id in state.attendants.keys { state.schedule.remove(id) }
                    state.schedule.abandon()
                    state.attendants = [:]
                    state.early = []
                    state.runner = nil
                }
                return state.attendants.values.map(\.notices)
            }
            for notices in attendants {
                notices.yield(.lost(error))
                notices.finish()
            }
        }
    }

    private func serve() async throws(SensorError) {
        let thread = try BlockingThread(name: "modbus")
        let port = try ModbusPort(settings)
        state.withLock { state in
            let now = time.now().instant
            // In the order of their names: a dictionary has none, and turns should be the same at each start.
            for attendant in state.attendants.values.sorted(by: { $0.device.id.name < $1.device.id.name }) {
                state.schedule.add(attendant.device, now: now)
            }
            for write in state.early {
                _ = state.schedule.write(
                    write.id, number: write.number, table: write.table, address: write.address, values: write.values)
            }
            state.early = []
        }
        while !Task.isCancelled {
            alarm.clear()
            switch state.withLock({ $0.schedule.next(now: time.now().instant) }) {
            case .wait(let until):
                let limit = until.map { max(.zero, $0 - time.now().instant) }
                if case .cancelled = await poller.readable(alarm.descriptor, within: limit) { return }
            case .perform(let job):
                let answer = await thread.run { () -> Result<Result<[UInt16], ModbusFailure>, SensorError> in
                    do throws(SensorError) { return .success(try port.perform(job)) } catch {
                        return .failure(error)
                    }
                }
                switch answer {
                case nil: return
                case .failure(let lost): throw lost
                case .success(let result): finish(result)
                }
            }
        }
    }

    private func finish(_ result: Result<[UInt16], ModbusFailure>) {
        state.withLock { state in
            for event in state.schedule.finished(result, now: time.now().instant) {
                let id = event.id
                guard let attendant = state.attendants[id] else { continue }
                attendant.notices.yield(.event(event, state.schedule.statistics(of: id) ?? .init()))
            }
        }
    }
}

extension ModbusSchedule.Event {
    /// Whom it is about.
    var id: DeviceID {
        switch self {
        case .round(let id, _), .dead(let id, _, _), .written(let id, _, _), .writeFailed(let id, _, _): id
        }
    }
}
