import Readings
package import Settings

/// A device on a serial line: one that sends by itself, or one that answers when it is asked.
package struct SerialSensor: SensorDriver {
    package static let name = "serial"
    package static let summary =
        "a device on a serial port that sends text lines, binary frames, NMEA sentences or DSMR telegrams, by itself or when it is asked. Text is decoded as decode says. Opened again after it was unplugged."
    package static let keys: [Key] =
        SerialSettings.keys() + SerialFraming.keys + [
            .string(
                "request", example: "\"READ?\\r\\n\"",
                "What is sent to the device to make it answer. Unless set, it sends by itself."),
            .string("request_hex", example: "\"01 03 00\"", "The same as bytes in hexadecimal."),
            .duration(
                "interval", in: .milliseconds(10)...(.seconds(86_400)), default: "10s",
                "With a request: time between two."),
            .duration(
                "timeout", in: .milliseconds(10)...(.seconds(60)), default: "1s",
                "With a request: how long to wait for the answer."),
            .integer(
                "retries", in: 0...10, default: 2, "With a request: further tries before the device counts as dead."),
        ]

    private struct Poll: Sendable {
        var request: [UInt8]
        var interval: Duration
        var timeout: Duration
        var retries: Int
    }

    let serial: SerialSettings
    private let framing: SerialFraming
    private let poll: Poll?

    package init?(_ reader: TableReader) {
        let serial = SerialSettings(reader)
        let framing = SerialFraming(reader)
        let poll = Self.poll(reader)
        guard let serial, let framing, let poll else { return nil }
        self.serial = serial
        self.framing = framing
        self.poll = poll
    }

    /// `nil`: there is a mistake, which is told; a `nil` inside: the device is not asked.
    private static func poll(_ reader: TableReader) -> Poll?? {
        guard let interval = reader.duration("interval"), let timeout = reader.duration("timeout"),
            let retries = reader.integer("retries")
        else { return .none }
        let request: [UInt8]
        switch (reader.string("request"), reader.string("request_hex")) {
        case (nil, nil):
            guard let key = ["interval", "timeout", "retries"].first(where: { reader.has($0) }) else {
                return .some(nil)
            }
            reader.error("\(key) has a meaning only with request or request_hex", at: key)
            return .none
        case (let text?, nil): request = Array(text.utf8)
        case (nil, let text?):
            guard let bytes = SerialFraming.hexadecimal(text) else {
                reader.error("request_hex: expected bytes in hexadecimal, such as \"01 03 00\"", at: "request_hex")
                return .none
            }
            request = bytes
        default:
            reader.error("request_hex stands instead of request: leave one of them out", at: "request_hex")
            return .none
        }
        guard (1...1_024).contains(request.count) else {
            reader.error(
                "the request: expected 1 to 1024 bytes", at: reader.has("request") ? "request" : "request_hex")
            return .none
        }
        return .some(Poll(request: request, interval: interval, timeout: timeout, retries: Int(retries)))
    }

    package var interval: Duration? { poll?.interval }
    package var claim: SensorClaim? { SensorClaim(resource: "the port \(serial.identity)") }
    package func deviceFiles() -> [String] { serial.identity.files }

    /// Five characters' time and at least 100 ms without a byte: the device is between two lines.
    private var silence: Duration { max(.milliseconds(100), serial.format.characterTime * 5) }

    /// How often the port's own counters are looked at.
    private static let healthInterval = Duration.seconds(5)

    package func run(_ context: SensorContext) async throws(SensorError) {
        let port = try SerialPort(serial)
        var isTalking = false
        if poll == nil {
            // When bytes come at once, the port was opened in the middle of a line, and half a number is a wrong number.
            switch await context.poller.readable(port.descriptor, within: silence) {
            case .cancelled: return
            case .timedOut: break
            case .ready: isTalking = true
            }
        }
        var session = Session(
            decoder: SerialDecoder(framing, isTalking: isTalking),
            poll: poll.map { poll in
                SerialPoll(
                    interval: poll.interval, timeout: poll.timeout, retries: poll.retries,
                    now: context.time.now().instant)
            })
        session.look(at: port, now: context.time.now().instant, context)
        if poll == nil { context.isOpen() }
        while true {
            let now = context.time.now().instant
            while let action = session.poll?.next(now: now) {
                switch action {
                case .ask: try await ask(port, context)
                case .silent: context.failing(silent(session))
                }
            }
            let deadline = [session.decoder.deadline, session.poll?.deadline, session.nextLook].compactMap(\.self).min()
            switch await context.wait(for: port.descriptor, until: deadline) {
            case .cancelled: return
            case .command, .timedOut: break
            case .ready: session.take(try port.read(), at: context.time.now().instant, context)
            }
            let later = context.time.now().instant
            session.idle(now: later, context)
            if let due = session.nextLook, later >= due { session.look(at: port, now: later, context) }
        }
    }

    /// Sends the request, whatever was left of the last answer thrown away.
    private func ask(_ port: borrowing SerialPort, _ context: SensorContext) async throws(SensorError) {
        guard let poll else { return }
        port.discardInput()
        var rest = poll.request[...]
        var tries = 0
        while !rest.isEmpty {
            rest = rest.dropFirst(try port.write(rest))
            guard !rest.isEmpty else { return }
            // Flow control holds it up; the answer's timeout ends that.
            tries += 1
            let pause = context.time.now().instant + .milliseconds(20)
            guard tries < 100, await context.wait(until: pause) == .timedOut else { return }
        }
    }

    private func silent(_ session: Session) -> SensorError {
        SensorError(
            doing: "read the device on \(serial.identity)",
            reason: session.hasReceived ? "it answers, but never with a whole frame" : "it does not answer",
            remedy: session.hasReceived
                ? "check the speed and format (\(serial.format.description)) and the framing"
                : "check its power and wiring, the speed and format (\(serial.format.description)) and the request")
    }

    /// What is known of an open port.
    private struct Session {
        var decoder: SerialDecoder
        var poll: SerialPoll?
        private var health = LineHealth()
        private(set) var nextLook: Instant?
        private(set) var hasReceived = false
        private var isIll = false

        init(decoder: SerialDecoder, poll: SerialPoll?) {
            self.decoder = decoder
            self.poll = poll
        }

        mutating func take(_ bytes: [UInt8], at now: Instant, _ context: SensorContext) {
            hasReceived = hasReceived || !bytes.isEmpty
            let overlong = decoder.overlong
            let (deliveries, frames) = decoder.push(bytes, at: now)
            health.received(bytes.count, frames: frames, at: now)
            context.drop(decoder.overlong - overlong)
            deliver(deliveries, now: now, context)
            if frames > 0, isIll {
                isIll = false
                context.isOpen()
            }
        }

        mutating func idle(now: Instant, _ context: SensorContext) {
            let deliveries = decoder.idle(now: now)
            if !deliveries.isEmpty { health.received(0, frames: deliveries.count, at: now) }
            deliver(deliveries, now: now, context)
        }

        private mutating func deliver(_ deliveries: [SerialDecoder.Delivery], now: Instant, _ context: SensorContext) {
            for delivery in deliveries {
                if poll != nil {
                    // An answer to nobody's question is one that came too late.
                    guard poll?.answered(now: now) == true else {
                        context.drop(1)
                        continue
                    }
                    hasReceived = false
                    context.isOpen()
                }
                if let utc = delivery.utc { context.offer(utc: utc) }
                if case .samples(let samples) = delivery.body, samples.isEmpty { continue }
                context.emit(delivery.body, raw: delivery.raw)
            }
        }

        /// Looks at the counters, the port's and the framing's, and says what is wrong.
        mutating func look(at port: borrowing SerialPort, now: Instant, _ context: SensorContext) {
            nextLook = now + SerialSensor.healthInterval
            for counter in decoder.counters { context.count(counter.name, counter.value) }
            let errors = port.errors()
            health.counted(errors)
            if let errors {
                context.count("framing errors", errors.framing)
                context.count("parity errors", errors.parity)
                if errors.overrun > 0 { context.count("overruns", errors.overrun) }
                if errors.breaks > 0 { context.count("breaks", errors.breaks) }
            }
            // Told once: its numbers rise all the time.
            guard poll == nil, !isIll, let problem = health.problem(now: now) else { return }
            isIll = true
            context.failing(
                SensorError(
                    doing: "read frames from \(port.path)", reason: problem,
                    remedy: "compare baud, parity and stop_bits with the device's, and frame with what it sends"))
        }
    }
}
