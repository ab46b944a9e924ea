// swift-tools-version: 6.2
import PackageDescription

/// Every target is compiled alike: Swift 6 mode, explicit existentials, imports internal unless said otherwise,
/// and every warning an error.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

/// What no message passes through is compiled for size: the binary's is a feature.
let small: [SwiftSetting] = [.unsafeFlags(["-Osize"], .when(configuration: .release))]

/// Swift 6.2 sees races in the outbox where 6.3 sees that there are none; it compiles that room in Swift 5 mode.
#if compiler(>=6.3)
    let outbox = strict
#else
    let outbox = [.swiftLanguageMode(.v5)] + strict.dropFirst()
#endif

/// One concept of the gateway. Imports only point down; `.ci/check-imports` holds the table of what may import what.
/// - Parameter isHot: every message passes through it, and speed counts for more than size.
func room(
    _ name: String, _ dependencies: [Target.Dependency] = [], isHot: Bool = false, _ settings: [SwiftSetting] = strict
) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: isHot ? settings : settings + small)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

extension Target.Dependency {
    static func nio(_ product: String) -> Self { .product(name: product, package: "swift-nio") }
    static let ssl = product(name: "NIOSSL", package: "swift-nio-ssl")
    static let deque = product(name: "DequeModule", package: "swift-collections")
    static let log = product(name: "Logging", package: "swift-log")
    static let argumentParser = product(name: "ArgumentParser", package: "swift-argument-parser")
}

let package = Package(
    name: "tidegate",
    products: [.executable(name: "tidegate", targets: ["tidegate"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    ],
    targets: [
        .target(name: "CLinux"),
        .target(name: "CCrypt", linkerSettings: [.linkedLibrary("crypt"), .linkedLibrary("crypto")]),
        .target(name: "COpenSSL", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "CPCRE2", linkerSettings: [.linkedLibrary("pcre2-8")]),
        .target(name: "CZlib", linkerSettings: [.linkedLibrary("z")]),
        .target(name: "CGpiod", linkerSettings: [.linkedLibrary("gpiod")]),
        .target(name: "CSerial"),
        .systemLibrary(name: "CModbus", pkgConfig: "libmodbus", providers: [.apt(["libmodbus-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CMosquitto", pkgConfig: "libmosquitto", providers: [.apt(["libmosquitto-dev"])]),

        room("Linux", ["CLinux", .log], isHot: true),
        room("Readings", isHot: true),
        room("Settings"),
        room("Database", ["CSQLite", "CZlib", "Linux"], isHot: true),
        room("MQTT", [.nio("NIOCore"), .deque], isHot: true),
        room(
            "Broker",
            [
                "MQTT", "Readings", .nio("NIOCore"), .nio("NIOPosix"), .nio("NIOHTTP1"), .nio("NIOWebSocket"), .ssl,
                .log,
            ], isHot: true),
        room("Sensors", ["CGpiod", "CModbus", "CSerial", "Linux", "Readings", "Settings", .log]),
        room("Pipeline", ["CPCRE2", "Readings"], isHot: true),
        room("Outbox", ["Readings", "Database", .deque], isHot: true, outbox),
        room("Registry", ["CCrypt", "Linux", "Database", "MQTT", "Readings", .nio("NIOCore")]),
        room("Upstream", ["CMosquitto", "COpenSSL", "Outbox", "Readings", .log], isHot: true),
        room("Admin", ["Readings", .nio("NIOCore"), .nio("NIOPosix"), .log]),
        room(
            "Configuration",
            ["Linux", "Readings", "Settings", "MQTT", "Broker", "Sensors", "Pipeline", "Outbox", "Upstream"]),
        room("Timekeeping", ["CLinux", "Linux", "Readings"]),
        room("Setup", ["Admin", "Configuration", "Linux", "Registry", "Settings", "Timekeeping"]),
        room(
            "Diagnosis",
            [
                "CZlib", "Admin", "Broker", "Configuration", "Database", "Linux", "Outbox", "Readings", "Sensors",
                "Settings", "Timekeeping", "Upstream", .nio("NIOCore"), .nio("NIOPosix"), .log,
            ]),
        room(
            "Gateway",
            [
                "CLinux", "Linux", "Readings", "Settings", "Database", "MQTT", "Broker", "Sensors", "Pipeline",
                "Outbox",
                "Upstream", "Registry", "Admin", "Configuration", "Timekeeping", "Setup", "Diagnosis",
                .nio("NIOCore"), .nio("NIOPosix"), .log,
            ]
        ),
        .executableTarget(
            name: "tidegate",
            dependencies: [
                "Gateway", "Configuration", "Setup", "Diagnosis", "Admin", "Linux", "Sensors", "Settings",
                .argumentParser,
            ],
            swiftSettings: strict + small
        ),

        .target(
            name: "TestSupport", dependencies: ["CLinux", "MQTT", "Readings", .nio("NIOCore")], path: "Tests/Support",
            swiftSettings: strict),
        .target(name: "FaultyDisk", dependencies: ["CSQLite"], path: "Tests/FaultyDisk"),
        tests("LinuxTests", ["TestSupport", "Linux", .log]),
        tests("ReadingsTests", ["TestSupport", "Readings"]),
        tests("SettingsTests", ["TestSupport", "Settings"]),
        tests("DatabaseTests", ["TestSupport", "Database"]),
        tests("MQTTTests", ["TestSupport", "MQTT", .nio("NIOCore")]),
        tests(
            "BrokerTests",
            ["TestSupport", "Broker", "Registry", "MQTT", "Readings", .nio("NIOCore"), .nio("NIOPosix"), .log]),
        tests("SensorsTests", ["CGpiod", "TestSupport", "Sensors", "Readings", "Settings", .log]),
        tests("PipelineTests", ["Pipeline", "Readings"]),
        tests(
            "RegistryTests", ["FaultyDisk", "TestSupport", "Registry", "Database", "MQTT", "Readings", .nio("NIOCore")]),
        tests("OutboxTests", ["FaultyDisk", "TestSupport", "Outbox", "Database", "Readings"]),
        tests("UpstreamTests", ["TestSupport", "Upstream", "Outbox", "Readings", .log]),
        tests("AdminTests", ["Admin", "Readings", "TestSupport", .nio("NIOPosix"), .log]),
        tests(
            "ConfigurationTests",
            [
                "Configuration", "Broker", "MQTT", "Outbox", "Pipeline", "Upstream", "Readings", "Settings",
                "TestSupport",
            ]),
        tests("TimekeepingTests", ["Timekeeping", "Readings", "TestSupport"]),
        tests("SetupTests", ["Setup", "Configuration", "TestSupport"]),
        tests("DiagnosisTests", ["Diagnosis", "TestSupport"]),
        tests(
            "GatewayTests",
            [
                "Gateway", "Broker", "Database", "Outbox", "Pipeline", "Timekeeping", "Upstream", "Readings",
                "TestSupport", .log,
            ]),
        tests("IntegrationTests", ["TestSupport", "MQTT", "tidegate", .nio("NIOCore")]),
    ]
)
