// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

/// The compiler of filter expressions: where libpcap is. The Makefile says where it is not.
let filter: [Target] =
  Context.environment["PROCKET_WITHOUT_PCAP"] != nil
  ? []
  : [
    .systemLibrary(name: "CPcap"),
    .executableTarget(
      name: "procket-filter", dependencies: ["CPcap", "SystemCalls", "Privilege"], swiftSettings: strict),
  ]

let package = Package(
  name: "procket",
  products: [.executable(name: "procket", targets: ["procket"])],
  targets: [
    .systemLibrary(name: "CErlInterface"),
    .target(name: "CSystem", cSettings: [.define("_GNU_SOURCE"), .treatAllWarnings(as: .error)]),
    .target(name: "ErlangTerm", dependencies: ["CErlInterface"], swiftSettings: strict),
    .target(name: "SystemCalls", dependencies: ["CSystem"], swiftSettings: strict),
    .target(name: "Privilege", dependencies: ["CSystem", "SystemCalls"], swiftSettings: strict),
    .target(name: "Capture", dependencies: ["CSystem", "SystemCalls"], swiftSettings: strict),
    .executableTarget(
      name: "procket", dependencies: ["ErlangTerm", "SystemCalls", "Privilege", "Capture"], swiftSettings: strict),
    .executableTarget(
      name: "procket-flood", dependencies: ["Capture", "CSystem", "SystemCalls"], path: "Benchmarks/flood",
      swiftSettings: strict),
    .testTarget(name: "CaptureTests", dependencies: ["Capture", "CSystem", "SystemCalls"], swiftSettings: strict),
    .testTarget(name: "ErlangTermTests", dependencies: ["ErlangTerm"], swiftSettings: strict),
    .testTarget(name: "SystemCallsTests", dependencies: ["SystemCalls", "CSystem"], swiftSettings: strict),
    .testTarget(name: "ProcketTests", dependencies: ["procket", "ErlangTerm", "SystemCalls"], swiftSettings: strict),
  ] + filter,
  swiftLanguageModes: [.v6]
)
