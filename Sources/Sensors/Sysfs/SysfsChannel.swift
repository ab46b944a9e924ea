import Readings

/// One value that a driver of the kernel's offers: where it is read, and what its numbers mean.
struct SysfsChannel: Hashable, Sendable {
    enum Reading: Hashable, Sendable {
        /// The file's number times `scale`.
        case scaled(path: String, scale: Double)
        /// `(raw + offset) * scale` of three files, then times `factor` (Documentation/ABI/testing/sysfs-bus-iio).
        case raw(path: String, offset: String?, scale: String?, factor: Double)
        /// A fan's revolutions, and how hard it is driven.
        case fan(path: String, drive: String?)
        /// A 1-Wire thermometer's answer.
        case w1(path: String)
    }

    /// `temp1`, `humidityrelative`, `voltage0`.
    var name: String
    var reading: Reading
    var unit: Unit?

    var path: String {
        switch reading {
        case .scaled(let path, _), .raw(let path, _, _, _), .fan(let path, _), .w1(let path): path
        }
    }

    /// Reads the files, which may block for as long as a measurement takes. The raw text, and the value or why there is none.
    func read() -> (raw: String, value: Result<Double, SysfsFailure>) {
        let text: String
        switch SysfsFile.read(path) {
        case .success(let content): text = content
        case .failure(let error): return ("", .failure(.unreadable(error)))
        }
        switch reading {
        case .scaled(_, let scale): return (text, number(text).map { $0 * scale })
        case .w1:
            do throws(W1Slave.Failure) {
                return (text, .success(try W1Slave.celsius(text)))
            } catch {
                return (text, .failure(.damaged("\(error)")))
            }
        case .raw(_, let offset, let scale, let factor):
            let adds = offset.flatMap { SysfsFile.number($0) } ?? 0
            let times = scale.flatMap { SysfsFile.number($0) } ?? 1
            return (text, number(text).map { ($0 + adds) * times * factor })
        case .fan(_, let drive):
            let value = number(text)
            if case .success(0) = value, let drive, SysfsFile.number(drive) ?? 0 > 0 {
                return (text, .failure(.damaged("the fan stands still although it is driven")))
            }
            return (text, value)
        }
    }

    private func number(_ text: String) -> Result<Double, SysfsFailure> {
        guard let number = Double(text), number.isFinite else {
            return .failure(.damaged("\"\(text.prefix(40))\" is no number"))
        }
        return .success(number)
    }
}

/// Why a channel has no value.
enum SysfsFailure: Error, Hashable, Sendable {
    /// The device did not answer, or is gone.
    case unreadable(SysfsFile.Errno)
    /// It answered, with something that cannot be believed.
    case damaged(String)
}
