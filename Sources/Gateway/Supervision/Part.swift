/// A piece of the gateway that can fail, or be replaced, by itself: a listener, a sensor, the link, a file.
///
/// The ``Supervisor`` starts a part, starts it again when it fails, stops it and reports it. No part restarts itself.
protocol Part: Sendable {
    /// Unique among the parts of one gateway.
    var name: PartName { get }

    /// Does the part's work, from the start to the end: called again for each restart, never twice at once.
    ///
    /// Calls ``PartLife/isRunning()`` once the part does what it is for. Returns after ``PartLife/stop`` has happened and
    /// all that the part opened is closed.
    /// - Throws: when the part cannot start or cannot go on.
    func run(_ life: PartLife) async throws(PartFailure)

    /// What is wrong with a part that runs all the same and mends itself; `nil` while all is well. Any thread; cheap.
    var problem: PartFailure? { get }
}

extension Part {
    var problem: PartFailure? { nil }
}

/// What a part is, and which one of its kind.
struct PartName: Hashable, Sendable, CustomStringConvertible {
    /// In the order in which parts start. They stop in the reverse of it: first what brings something new, then the way
    /// through, last the link, which waits for what is on its way.
    enum Kind: String, Hashable, Sendable, CaseIterable {
        case dataDirectory = "data directory"
        case outbox = "outbox file"
        case state = "state file"
        case upstream = "upstream link"
        case ingest
        case lan
        case listener
        case sensor
        case control = "control socket"
        case watchdog
        case clock
        case salvage
    }

    let kind: Kind
    /// Empty where there is one of the kind.
    let id: String

    init(_ kind: Kind, _ id: String = "") { (self.kind, self.id) = (kind, id) }

    var description: String { id.isEmpty ? kind.rawValue : "\(kind.rawValue) \(id)" }
}

/// Why a part does not do what it is for, and what a person can do about it.
struct PartFailure: Error, Hashable, Sendable, CustomStringConvertible {
    /// What decides how soon the part is tried again, and whether the whole gateway is in doubt.
    enum Cause: Hashable, Sendable {
        /// A device that is not plugged in: it shall be noticed soon when it is.
        case absent
        /// Something outside the gateway: a port in use, a certificate that cannot be read, a full disk. It may last for
        /// days, and another gateway process would meet it again.
        case outside
        /// The part itself: it ended, or hangs. Several such in a short time put the process in doubt.
        case inside
    }

    let cause: Cause
    /// What failed and why, in one sentence: "cannot listen on 0.0.0.0:1883: another program listens there".
    let reason: String
    let remedy: String?

    init(_ cause: Cause, _ reason: String, remedy: String?) {
        (self.cause, self.reason, self.remedy) = (cause, reason, remedy)
    }

    /// - Parameter text: the reason, followed by the remedy in the form in which the rooms' errors give theirs:
    ///   "cannot …: …\n  try: …".
    init(_ cause: Cause, text: String) {
        let parts = text.split(separator: "\n  try: ", maxSplits: 1)
        self.init(cause, parts.first.map(String.init) ?? text, remedy: parts.count > 1 ? String(parts[1]) : nil)
    }

    var description: String { reason + (remedy.map { "\n  try: \($0)" } ?? "") }
}

/// What a part that runs is handed: when to stop, and where to say that it has started.
struct PartLife: Sendable {
    /// The part is to stop.
    let stop: OneShotEvent
    /// Happens before `stop` where the whole gateway stops, and not this part alone.
    let gatewayStop: OneShotEvent
    private let started: @Sendable () -> Void

    init(stop: OneShotEvent, gatewayStop: OneShotEvent, started: @escaping @Sendable () -> Void) {
        self.stop = stop
        self.gatewayStop = gatewayStop
        self.started = started
    }

    /// The part does what it is for. Cheap; any thread.
    func isRunning() { started() }
}
