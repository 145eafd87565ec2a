import Testing

@testable import Privilege

/// All that is wrong in a policy, and what is doubtful in it.
@Suite struct PolicyReportTests {
  private static let accounts = Accounts(
    users: Array("root:x:0:0\nalice:x:1000:1000\nbob:x:1001:1001\n".utf8),
    groups: Array("root:x:0:\nalice:x:1000:\nweb:x:33:alice\n".utf8))

  private func report(_ text: String) -> PolicyReport {
    PolicyReport(Array(text.utf8), accounts: Self.accounts)
  }

  private func warnings(_ text: String) -> [String] { report(text).warnings.map { "\($0)" } }

  @Test func allErrors() {
    let report = report(
      "allow alice udp 53\npermit alice any\nallow nobody-here any\n\nallow bob udp 99999 # é\nallow alice")
    #expect(
      report.errors.map { "\($0)" } == [
        "line 2: allow or deny, not permit", "line 3: no user nobody-here in /etc/passwd",
        "line 5: not a port or a range of ports: 99999", "line 6: what is missing", "line 6: no newline at its end",
      ])
    #expect(report.rules == 1)
  }

  @Test func nothingToSay() {
    let text = """
      allow alice udp 53 on a23456789012345
      allow alice udp 53
      allow alice udp 53 on *
      deny  *     udp 54
      allow alice udp *
      allow #1000 device net/tun
      allow @#33  device bpf* in /run/netns/*
      allow *     any on * in *

      """
    let report = report(text)
    #expect(report.errors.isEmpty && report.warnings.isEmpty && report.rules == 8)
  }

  @Test(arguments: ["", "# nothing\n\n", "deny * any\n"]) func allowsNothing(_ text: String) {
    #expect(warnings(text) == ["warning: no line allows anything, so all is refused"])
  }

  @Test func unknownNumbers() {
    #expect(
      warnings("allow #4711 any\nallow @#4712 any\n") == [
        "line 1: warning: no user of /etc/passwd has the number 4711",
        "line 2: warning: no group of /etc/group has the number 4712",
      ])
  }

  @Test(arguments: [
    ("alice udp 53 on a234567890123456", "no interface can have such a name"),
    ("alice udp 53 on a2345678901234*56?", "no interface can have such a name"),
    ("alice udp 53 on eth0/1", "no interface can have such a name"),
    ("alice udp 53 on eth0:1", "no interface can have such a name"),
    ("alice udp 53 on eth[0-3]", "no interface can have such a name"),
    ("alice udp 53 on ..", "no interface can have such a name"),
    ("alice socket netlink raw 15 on eth0", "sockets of this kind are on no interface"),
    ("alice socket unix * * on eth*", "sockets of this kind are on no interface"),
    ("alice socket packet 10 * on eth0", "sockets of this kind are on no interface"),
    ("alice udp 53 in run/netns/a", "a namespace is named by its path from / on, without //, . and .."),
    ("alice udp 53 in */netns/a", "a namespace is named by its path from / on, without //, . and .."),
    ("alice udp 53 in /run//netns/a", "a namespace is named by its path from / on, without //, . and .."),
    ("alice udp 53 in /run/../netns/*", "a namespace is named by its path from / on, without //, . and .."),
    ("alice udp 53 in /run/netns/", "a namespace is named by its path from / on, without //, . and .."),
    ("alice device /dev/net/tun", "a device is named by its path below /dev, as in net/tun"),
    ("alice device net/../mem", "a device is named by its path below /dev, as in net/tun"),
    ("alice device tap[0-9]", "a device is named by its path below /dev, as in net/tun"),
  ]) func matchesNothing(_ line: String, _ reason: String) {
    #expect(warnings("allow alice icmp\nallow \(line)\n") == ["line 2: warning: it matches nothing: \(reason)"])
  }

  @Test(arguments: [
    ("* any on * in *", "alice device net/tun in /run/netns/a"), ("alice any", "alice udp 53"),
    ("alice any", "alice device net/tun"), ("#1000 any", "alice any"), ("@web raw icmp", "@#33 raw 1"),
    ("alice udp 1-100", "alice udp 53,54"), ("alice udp 51-60,1-50,40-70", "alice udp 45-65"),
    ("alice udp *", "alice socket inet dgram 17"), ("alice socket * dgram *", "alice udp 53"),
    ("alice socket * * *", "alice packet *"), ("alice raw *", "alice icmp6"), ("alice packet *", "alice packet 0x0800"),
    ("alice device *", "alice device net/tun"), ("alice device tap*", "alice device tap1?"),
    ("alice udp 53 on *", "alice udp 53"), ("alice udp 53 on eth*", "alice udp 53 on eth0"),
    ("alice udp 53 in /run/netns/*", "alice udp 53 in /run/netns/lab-*"),
  ]) func hides(_ first: String, _ second: String) {
    let expected = ["line 3: warning: it never decides: line 1 decides each request that it is about"]
    #expect(warnings("allow \(first)\n#\ndeny \(second)\n") == expected)
    #expect(warnings("deny \(first)\n#\nallow \(second)\nallow * any on * in *\n").first == expected[0])
  }

  @Test(arguments: [
    ("alice udp 53", "* udp 53"), ("alice udp 53", "@web udp 53"), ("@web udp 53", "alice udp 53"),
    ("alice udp 53", "alice udp 52-53"), ("alice udp 53", "alice any"), ("alice udp 53", "alice tcp 53"),
    ("alice udp 53", "alice udp 53 on eth0"), ("alice udp 53 on eth0", "alice udp 53"),
    ("alice udp 53 on eth0", "alice udp 53 on *"), ("alice any", "alice any on *"), ("alice raw 1", "alice raw *"),
    ("alice icmp", "alice raw 1"), ("alice socket inet dgram 17", "alice udp 53"),
    ("alice udp 0-65534", "alice socket inet dgram 17"), ("alice device net/*", "alice device *"),
    ("alice device tap?", "alice device tap*"), ("alice device *", "alice socket netlink raw 0"),
    ("alice udp 53,55", "alice udp 53-55"),
  ]) func leaves(_ first: String, _ second: String) {
    #expect(warnings("allow \(first)\n#\ndeny \(second)\n").isEmpty)
  }

  /// For all short patterns and names: what the one covers it matches.
  @Test func covers() {
    func words(_ letters: [String], upTo length: Int) -> [String] {
      (0..<length).reduce(into: [""]) { words, _ in
        words += words.flatMap { word in letters.map { word + $0 } }
      }
    }
    let names = Set(words(["a", "b", "/"], upTo: 4))
    let patterns = Set(words(["a", "*", "?", "/"], upTo: 3)).map { NamePattern(text: $0) }
    var covered = 0
    for one in patterns {
      for other in patterns where one.covers(other) {
        covered += 1
        if let name = names.first(where: { other.matches($0) && !one.matches($0) }) {
          Issue.record("\(one.text) does not cover \(other.text): \(name)")
        }
      }
    }
    #expect(covered > 2 * patterns.count)
  }
}
