import Admin
import Broker
import Configuration
import Glibc
import Linux
import NIOCore
import NIOPosix
import Readings
import Upstream

/// The way in for devices, and the way up to the cloud.
extension Doctor {
    // MARK: Listeners

    func listenerFindings() -> [DoctorReport.Finding] {
        if let status {
            return [
                .init(
                    "listener", .pass,
                    "serves \(status.clientCount) clients at \(status.listening.joined(separator: ", "))")
            ]
        }
        return settings.lan.listeners.map { listener in
            guard case .tcp(let address) = listener.endpoint else {
                return .init("listener", .pass, "\(listener.endpoint) is free to be opened")
            }
            do {
                let group = MultiThreadedEventLoopGroup.singleton
                let channel = try ServerBootstrap(group: group)
                    .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                    .bind(host: address.host, port: address.port).wait()
                try channel.close().wait()
                return .init("listener", .pass, "\(address) is free to be listened at")
            } catch {
                return Self.finding(address, error)
            }
        }
    }

    private static func finding(_ address: ListenAddress, _ error: any Error) -> DoctorReport.Finding {
        let code = (error as? IOError)?.errnoCode
        let reason = code.map { ErrnoText.text($0) } ?? "\(error)"
        let text = "cannot listen at \(address): \(reason)"
        switch code {
        case EADDRINUSE:
            let holders = ProcessHolders.ofPort(address.port)
            let holder = holders.isEmpty ? "" : ": \(holders.map(\.description).joined(separator: ", ")) has it"
            let isMosquitto = holders.contains { $0.name == "mosquitto" }
            return .init(
                "listener", .fail, text + holder,
                remedy: isMosquitto
                    ? "systemctl disable --now mosquitto, or choose another port in [lan]"
                    : "stop it, or choose another port in [lan]")
        case EADDRNOTAVAIL:
            return .init(
                "listener", .fail, text, remedy: "use an address that this machine has (ip address), or 0.0.0.0 for all"
            )
        case EACCES:
            return .init("listener", .fail, text, remedy: "ports below 1024 are root's: use 1883 or 8883")
        default: return .init("listener", .fail, text, remedy: "check listen in [lan]")
        }
    }

    // MARK: Upstream

    func upstreamFindings() async -> [DoctorReport.Finding] {
        guard var configuration = settings.upstream?.configuration else {
            return [
                .init("upstream", .fail, "there is none that could be used", remedy: "mend [upstream] in the settings")
            ]
        }
        if let link = status?.link, link.isUp {
            let confirmed =
                link.secondsSinceConfirmation.map { "last confirmed \(Int($0)) s ago" } ?? "not confirmed yet"
            var findings: [DoctorReport.Finding] = [
                .init("upstream", .pass, "the gateway's link to \(link.url) is \(link.state), \(confirmed)")
            ]
            if let problem = link.problem { findings.append(Self.finding("upstream", .warn, problem)) }
            findings += certificateFindings(link)
            return findings
        }
        do throws(GatewayError) {
            configuration.password = try SecretFile.read(
                settings.upstream?.passwordFile, settingsDirectory: settings.upstream?.settingsDirectory ?? ".")
        } catch {
            return [.init("upstream password", .fail, "cannot \(error.doing): \(error.reason)", remedy: error.remedy)]
        }
        var ways: [[DoctorReport.Finding]] = []
        for url in configuration.addresses { ways.append(await probe(configuration, url)) }
        // One way is enough; that the others do not work is still worth a look.
        let hasWay = ways.contains { $0.allSatisfy { $0.verdict == .pass } }
        return ways.flatMap(\.self).map { finding in
            guard hasWay, finding.verdict == .fail else { return finding }
            var finding = finding
            finding.verdict = .warn
            return finding
        }
    }

    /// The name servers that the resolver asks (resolv.conf(5)).
    private static var nameServers: [String] {
        guard let bytes = try? SmallFile.read("/etc/resolv.conf", limit: 64 << 10) else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { line in
            let words = line.split { $0 == " " || $0 == "\t" }
            return words.count > 1 && words[0] == "nameserver" ? String(words[1]) : nil
        }
    }

    /// On a thread of its own: it blocks.
    private func probe(_ configuration: UpstreamConfiguration, _ url: UpstreamAddress) async -> [DoctorReport.Finding] {
        let (time, patience) = (time, Self.patience)
        let found = await withCheckedContinuation { continuation in
            UpstreamProbe.start(configuration, url, time: time, patience: patience) {
                continuation.resume(returning: $0)
            }
        }
        return found.map { finding in
            var text = finding.text
            if finding.step == .name, finding.hasFailed {
                let servers = Self.nameServers
                text += servers.isEmpty ? " (no name server is set)" : " (asked: \(servers.joined(separator: ", ")))"
            }
            return .init("upstream \(finding.step)", finding.hasFailed ? .fail : .pass, text, remedy: finding.remedy)
        }
    }

    private func certificateFindings(_ link: GatewayStatus.Link) -> [DoctorReport.Finding] {
        [("the gateway's certificate", link.certificateDays), ("the broker's certificate", link.brokerCertificateDays)]
            .compactMap { name, days in
                guard let days, days < 21 else { return nil }
                return .init(
                    "upstream tls", days < 2 ? .fail : .warn, "\(name) ends in \(Int(days)) days",
                    remedy: "renew it; the gateway takes a new one up by itself")
            }
    }
}
