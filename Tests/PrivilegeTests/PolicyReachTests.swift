import SystemCalls
import Testing

@testable import Privilege

/// Which files and sockets the lines of a policy let a user have opened at all.
@Suite struct PolicyReachTests {
  private func policy(_ text: String) throws -> Policy {
    try Policy(
      Array("\(text)\n".utf8), accounts: Accounts(users: Array("alice:x:1000:1000::/:/bin/sh\n".utf8), groups: []))
  }

  @Test(arguments: [
    ("allow alice device net/tun", ["net/tun"]), ("allow * device tap*", ["tap0", "tapx"]),
    ("allow * device tap* in /run/netns/*", ["tap0", "tapx"]),
    ("allow * device *", ["disk", "net/tun", "tap0", "tapx"]),
    ("deny * device tap0 in *\nallow * device tap*", ["tapx"]),
    ("deny * device tap0\nallow * device tap* in *", ["tap0", "tapx"]),
    ("deny * any on * in *\nallow * device *", []), ("deny * any on eth0 in *\nallow * device tap0", ["tap0"]),
    ("allow * any", ["disk", "net/tun", "tap0", "tapx"]), ("allow * any on eth0", []), ("allow #1 any", []),
    ("allow * udp *\nallow * socket * * *\nallow * capture", []),
  ]) func devices(_ text: String, _ expected: [String]) throws {
    let policy = try policy(text)
    let names = ["disk", "net/tun", "tap0", "tapx"]
    #expect(names.filter { policy.allowsDevice($0, for: 1000, groups: []) } == expected)
    #expect(policy.allowsDevices(for: 1000, groups: []) || expected.isEmpty)
  }

  @Test(
    arguments: [
      ("allow * udp 53", []), ("allow * udp 53 in /run/netns/a", ["/run/netns"]),
      ("allow * udp 53 in /run/netns/lab-*\nallow * tcp 53 in /var/ns/?", ["/run/netns", "/var/ns"]),
      ("allow * udp 53 in *", ["/"]), ("allow * udp 53 in /*/a", ["/"]), ("allow * udp 53 in /a", ["/"]),
      ("allow * udp 53 in /run/net*/a", ["/run"]), ("allow #1 udp 53 in *\ndeny * udp 53 in *", []),
    ] as [(String, Set<String>)]) func namespaces(_ text: String, _ expected: Set<String>) throws
  {
    #expect(try policy(text).namespaceDirectories(for: 1000, groups: []) == expected)
  }

  @Test(arguments: [
    ("allow * any", true), ("allow * any on eth0", false), ("allow * socket unix stream 0", true),
    ("allow * socket * raw *", true), ("allow * socket netlink raw *", false), ("deny * any", false),
    ("allow * udp *\nallow * device *\nallow * capture", false), ("allow #1 any", false),
  ]) func unixSockets(_ text: String, _ expected: Bool) throws {
    #expect(try policy(text).allowsUnixSockets(for: 1000, groups: []) == expected)
  }

  @Test func builtIn() {
    let policy = Policy.builtIn
    for name in ["net/tun", "tun0", "tap7", "bpf"] { #expect(policy.allowsDevice(name, for: 1, groups: [])) }
    for name in ["null", "net/other", "sda"] { #expect(!policy.allowsDevice(name, for: 1, groups: [])) }
    #expect(!policy.allowsUnixSockets(for: 1, groups: []))
    #expect(policy.namespaceDirectories(for: 1, groups: []) == ["/"])
  }
}
