// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]
let parts: [Target.Dependency] = ["ErlangTerm", "SystemCalls", "Privilege", "Capture"]

/// The port program, or what make fuzz builds of the same files: libFuzzer brings a main of its own.
let program: Target =
  Context.environment["PROCKET_FUZZ"] == nil
  ? .executableTarget(name: "procket", dependencies: parts, swiftSettings: strict)
  : .executableTarget(
    name: "procket-fuzz", dependencies: parts + ["CSystem"], path: "Tests/Fuzz",
    exclude: ["Program/main.swift", "Program/PolicyTool.swift", "Seeds", "Corpus"], swiftSettings: strict)

/// The compiler of filter expressions: where libpcap is. The Makefile says where it is not.
let filter: [Target] =
  Context.environment["PROCKET_WITHOUT_PCAP"] != nil
  ? []
  : [
    .systemLibrary(name: "CPcap"),
    .executableTarget(
      name: "procket-filter", dependencies: ["CPcap", "SystemCalls", "Privilege"], swiftSettings: strict),
  ]

/// The tests of the port program need it.
let tests: [Target] =
  program.name != "procket"
  ? []
  : [
    .testTarget(name: "CaptureTests", dependencies: ["Capture", "CSystem", "SystemCalls"], swiftSettings: strict),
    .testTarget(name: "ErlangTermTests", dependencies: ["ErlangTerm"], swiftSettings: strict),
    .testTarget(name: "SystemCallsTests", dependencies: ["SystemCalls", "CSystem"], swiftSettings: strict),
    .testTarget(name: "PrivilegeTests", dependencies: ["Privilege", "SystemCalls", "CSystem"], swiftSettings: strict),
    .executableTarget(
      name: "filter-probe", dependencies: ["Privilege", "SystemCalls", "CSystem"], path: "Tests/FilterProbe",
      swiftSettings: strict),
    .testTarget(
      name: "ProcketTests", dependencies: ["procket", "filter-probe", "ErlangTerm", "SystemCalls"],
      swiftSettings: strict),
  ]

let package = Package(
  name: "procket",
  products: [.executable(name: program.name, targets: [program.name])],
  targets: [
    .systemLibrary(name: "CErlInterface"),
    .target(name: "CSystem", cSettings: [.define("_GNU_SOURCE"), .treatAllWarnings(as: .error)]),
    .target(name: "ErlangTerm", dependencies: ["CErlInterface"], swiftSettings: strict),
    .target(name: "SystemCalls", dependencies: ["CSystem"], swiftSettings: strict),
    .target(name: "Privilege", dependencies: ["CSystem", "SystemCalls"], swiftSettings: strict),
    .target(name: "Capture", dependencies: ["CSystem", "SystemCalls"], swiftSettings: strict),
    program,
    .executableTarget(
      name: "procket-echo", dependencies: ["SystemCalls"], path: "Benchmarks/echo", swiftSettings: strict),
    .executableTarget(
      name: "procket-flood", dependencies: ["Capture", "CSystem", "SystemCalls"], path: "Benchmarks/flood",
      swiftSettings: strict),
  ] + filter + tests,
  swiftLanguageModes: [.v6]
)
