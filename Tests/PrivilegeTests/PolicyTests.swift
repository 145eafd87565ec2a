import SystemCalls
import Testing

@testable import Privilege

@Suite struct PolicyTests {
  private static let accounts = Accounts(
    users: Array(
      "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/:\nbob:x:1001:1001::/:\n4000:x:1000:33::/:\nbroken\n::7:7\n"
        .utf8),
    groups: Array("root:x:0:\nalice:x:1000:\n4001:x:33:\nweb:x:33:alice,carol\nweber:x:34:bob\nnonsense\n".utf8))

  private func policy(_ text: String) throws -> Policy {
    try Policy(Array((text.isEmpty || text.hasSuffix("\n") ? text : text + "\n").utf8), accounts: Self.accounts)
  }

  /// The line that decides about a request, negative where it denies; 0 where none does.
  private func decision(_ text: String, _ request: String, user: uid_t = 1000, groups: [gid_t] = [1000, 33]) throws
    -> Int
  {
    guard let rule = try policy(text).rule(about: try Wanted(request), user: user, groups: groups) else { return 0 }
    return rule.allows ? rule.line : -rule.line
  }

  @Test func firstMatchDecides() throws {
    let text = """
      # comment

      deny  alice   udp 53
      allow @web    udp 1-1023   # and so on
      \tallow *\tudp 53\r
      deny  bob     any
      """
    #expect(try decision(text, "udp 53") == -3)
    #expect(try decision(text, "udp 54") == 4)
    #expect(try decision(text, "udp 1024") == 0)
    #expect(try decision(text, "udp 53", user: 7, groups: []) == 5)
    #expect(try decision(text, "tcp 80", user: 1001, groups: [34]) == -6)
    #expect(try decision(text, "device net/tun", user: 1001, groups: []) == -6)
    #expect(try decision("", "udp 53") == 0)
  }

  @Test(arguments: [
    ("udp 53", "udp 53", true), ("udp 53", "udp 54", false), ("udp 53", "tcp 53", false), ("udp *", "udp 0", true),
    ("tcp 80,443", "tcp 443", true), ("tcp 1-10,20", "tcp 11", false), ("tcp 0-65535", "tcp 65535", true),
    ("icmp", "icmp", true), ("icmp", "icmp6", false), ("icmp6", "raw 58", false), ("raw *", "icmp", true),
    ("raw 1", "icmp", true), ("raw icmp", "raw 1", true), ("raw 2", "raw 1", false), ("raw *", "udp 5", false),
    ("packet *", "packet 0x0800", true), ("packet 2048", "packet 0x0800", true),
    ("packet 0x0806", "packet 0x0800", false),
    ("packet *", "socket inet 10 8", true), ("socket inet 10 *", "packet 3", false),
    ("socket inet stream *", "tcp 80", true),
    ("socket inet stream 0", "tcp 80", true), ("socket inet stream 262", "tcp 80", true),
    ("socket inet6 dgram 0", "udp 80", false),
    ("tcp *", "socket inet stream 262", true), ("udp 0", "socket inet dgram 0", true),
    ("socket inet seqpacket 0", "socket inet seqpacket sctp", true),
    ("socket netlink dgram 15", "socket netlink raw 15", true), ("socket unix raw 1", "socket unix dgram 0", true),
    ("socket * raw 15", "socket netlink dgram 15", true),
    ("socket inet raw *", "icmp", true), ("socket * * *", "packet 3", true),
    ("socket netlink * 0", "socket 16 raw 0", true),
    ("socket netlink * 0", "socket netlink dgram 15", false), ("socket packet raw *", "packet 3", true),
    ("device net/tun", "device net/tun", true), ("device net/*", "device net/tun", true),
    ("device *", "device net/tun", true),
    ("device bpf*", "device bpf12", true), ("device bpf*", "device bpf/x", false), ("device tap?", "device tap1", true),
    ("device tap?", "device tap", false), ("device net", "device net/tun", false),
    ("any", "device net/tun", true), ("any", "udp 53", true), ("any", "udp 53 on eth0", false),
    ("any on *", "udp 53 on eth0", true), ("any on *", "udp 53", true),
    ("any on * in *", "udp 53 on eth0 in /run/netns/a", true),
    ("any on * in *", "device net/tun", true), ("any on eth*", "device net/tun", false),
    ("device net/tun", "device net/tun in /run/netns/a", false),
    ("device net/tun in /run/netns/*", "device net/tun in /run/netns/a", true),
    ("device net/tun in /run/netns/*", "device net/tun", false),
    ("device net/tun in *", "device net/tun", true), ("any in *", "device net/tun in /run/netns/a", true),
    ("udp 53 on eth0", "udp 53 on eth0", true), ("udp 53 on eth0", "udp 53", false),
    ("udp 53 on eth0", "udp 53 on eth1", false),
    ("udp 53 in /run/netns/*", "udp 53 in /run/netns/a", true),
    ("udp 53 in /run/netns/*", "udp 53 in /run/netns/a/b", false),
    ("udp 53 in /run/netns/*", "udp 53", false), ("udp 53", "udp 53 in /run/netns/a", false),
    ("capture on eth0", "packet 0 on eth0", true), ("capture on eth0", "packet 0 on eth1", false),
    ("capture on eth0", "packet 0", false), ("capture on eth0", "packet 0x0800 on eth0", false),
    ("capture", "packet 0", true), ("capture on eth0", "socket packet dgram 0 on eth0", true),
    ("capture on eth0", "socket inet 10 0", false), ("capture on eth0", "socket netlink raw 15", false),
    ("capture on *", "socket netlink raw 0 in /run/netns/a", false), ("capture on eth0", "device net/tun", false),
    ("packet * on eth0", "capture on eth0", true), ("any on eth0", "capture on eth0", true),
  ]) func whatIsAllowed(_ what: String, _ request: String, _ allowed: Bool) throws {
    #expect(try decision("allow alice \(what)", request) == (allowed ? 1 : 0))
    #expect(try decision("deny alice \(what)", request) == (allowed ? -1 : 0))
  }

  @Test(arguments: [
    ("alice", true), ("#1000", true), ("@web", true), ("@#33", true), ("@#1000", true), ("*", true),
    ("bob", false), ("#1001", false), ("@weber", false), ("@#34", false), ("4000", true), ("@4001", true),
    ("#4711", false), ("root", false),
  ]) func who(_ who: String, _ included: Bool) throws {
    #expect(try decision("allow \(who) any", "udp 1") == (included ? 1 : 0))
  }

  @Test(arguments: [
    ("permit alice any", "allow or deny, not permit"),
    ("allow", "a user or @group is missing"),
    ("allow alice", "what is missing"),
    ("allow nobody-here any", "no user nobody-here in /etc/passwd"),
    ("allow @nobodies any", "no group nobodies in /etc/group"),
    ("allow broken any", "no user broken in /etc/passwd"),
    ("allow 1000 any", "no user 1000 in /etc/passwd; its number is written #1000"),
    ("allow @33 any", "no group 33 in /etc/group; its number is written #33"),
    ("allow # any", "a user or @group is missing"),
    ("allow #12x any", "no user #12x in /etc/passwd"),
    ("allow alice packet 0x+800", "not an EtherType: 0x+800"),
    ("allow alice packet 0x-8", "not an EtherType: 0x-8"),
    ("allow alice packet 0x", "not an EtherType: 0x"),
    ("allow alice anything", "not a thing to open: anything"),
    ("allow alice udp", "a port is missing"),
    ("allow alice udp 65536", "not a port or a range of ports: 65536"),
    ("allow alice udp 5-4", "not a port or a range of ports: 5-4"),
    ("allow alice udp 1,,2", "not a port or a range of ports: "),
    ("allow alice udp 1-2-3", "not a port or a range of ports: 1-2-3"),
    ("allow alice udp +5", "not a port or a range of ports: +5"),
    ("allow alice udp 5,*", "not a port or a range of ports: *"),
    ("allow alice raw nothing", "not a protocol: nothing"),
    ("allow alice packet 0x10000", "not an EtherType: 0x10000"),
    ("allow alice packet -1", "not an EtherType: -1"),
    ("allow alice socket nothing raw 0", "not a family: nothing"),
    ("allow alice socket inet raw", "a protocol is missing"),
    ("allow alice raw 256", "not a protocol: 256"),
    ("allow alice socket inet raw 262", "protocol 262 has more than one meaning for these sockets"),
    ("allow alice socket packet raw 65536", "protocol 65536 has more than one meaning for these sockets"),
    ("allow alice socket inet * 0", "protocol 0 has more than one meaning for these sockets"),
    ("allow alice socket * stream 0", "protocol 0 has more than one meaning for these sockets"),
    ("allow alice socket inet 11 0", "not a type: 11"),
    ("allow alice udp 53 on", "an interface is missing"),
    ("allow alice udp 53 in", "a namespace is missing"),
    ("allow alice udp 53 in /a on eth0", "not understood: on"),
    ("allow alice udp 53 tcp 80", "not understood: tcp"),
    ("allow alice device net/tun on eth0", "a device is on no interface"),
    ("allow alice device café", "a character that is not ASCII"),
    ("allow alice any\u{0}", "a character that is not ASCII"),
  ]) func errors(_ line: String, _ reason: String) throws {
    let expected = PolicyError(line: 3, reason: reason)
    #expect(throws: expected) { try policy("# one\nallow alice udp 53\n\(line)\nallow alice any\n") }
  }

  /// Sockets and network devices, for everyone.
  @Test(arguments: [
    ("udp 53", true), ("tcp 80 on eth0 in /run/netns/a", true), ("icmp", true), ("icmp6", true), ("raw 255", true),
    ("packet 3", true), ("socket netlink raw 15", true), ("device net/tun", true), ("device tap0", true),
    ("device net/tun in /run/netns/a", true),
    ("device bpf", true), ("device pts/0", false), ("device mem", false), ("socket unix stream 0", false),
    ("socket 38 seqpacket 0", false),
  ]) func builtIn(_ request: String, _ allowed: Bool) throws {
    #expect((Policy.builtIn.rule(about: try Wanted(request), user: 4711, groups: [])?.allows ?? false) == allowed)
  }

  /// A policy that was cut does not end where a line ends.
  @Test func unfinished() throws {
    #expect(throws: PolicyError(line: 2, reason: "no newline at its end")) {
      try Policy(Array("allow alice udp 53\nallow alice tcp 80".utf8), accounts: Self.accounts)
    }
    #expect(throws: PolicyError(line: 1, reason: "no newline at its end")) {
      try Policy(Array("# nothing".utf8), accounts: Self.accounts)
    }
    #expect(try Policy([], accounts: Self.accounts).rules.isEmpty)
  }

  /// A number is no comment.
  @Test func comments() throws {
    #expect(try decision("allow #1000 udp 53 #1 first", "udp 53") == 1)
    #expect(try decision("allow @#33 udp 53#1", "udp 53") == 1)
    #expect(try decision("#1 comment\n # 2\nallow alice udp 53", "udp 53") == 3)
  }

  @Test func tooLong() {
    let text = String(repeating: "#", count: Policy.longest + 1)
    #expect(throws: PolicyError(line: 0, reason: "longer than 65536 bytes")) { try policy(text) }
  }

  @Test(arguments: [
    "udp 1-2", "udp *", "any", "raw *", "packet *", "device net/*", "udp 53 on eth*", "socket inet * 6", "udp 53\n",
  ])
  func notOneRequest(_ text: String) { #expect(throws: PolicyError.self) { try Wanted(text) } }

  /// A request is named as a line would name it.
  @Test(arguments: [
    "udp 53", "tcp 80 on eth0", "udp 53 on eth0 in /run/netns/a", "icmp", "icmp6", "raw 255", "packet 0x806",
    "packet 0x3 on lo",
    "device net/tun", "device net/tun in /run/netns/a",
  ]) func description(_ text: String) throws { #expect("\(try Wanted(text))" == text) }

  @Test func whatTheOpenerIsAskedFor() {
    func name(_ family: CInt, _ type: CInt, _ number: CInt) -> String {
      var request = SocketRequest(family: family, type: type, protocol: number)
      request.port = 53
      return "\(Wanted(request))"
    }
    #expect(name(AF_INET, 2, 17) == "udp 53")
    #expect(name(AF_INET6, 2, 0) == "udp 53")
    #expect(name(AF_INET, 1, 0) == "tcp 53")
    #expect(name(AF_INET6, 1, 262) == "tcp 53")
    #expect(name(AF_NETLINK, 2, 15) == "socket 16 raw 15")
    #expect(name(AF_INET, 3, 1) == "icmp")
    #expect(name(AF_INET, 1, 132) == "socket 2 stream 132")
    // The kernel makes a packet socket of it.
    #expect(name(AF_INET, 10, CInt(UInt16(0x0800).bigEndian)) == "packet 0x800")
    #expect(name(AF_NETLINK, 3, 0) == "socket 16 raw 0")
  }

  /// What would not be done, or not as it is asked for.
  @Test func whatCannotBeApplied() {
    func check(_ change: (inout SocketRequest) -> Void) -> CInt? {
      var request = SocketRequest(family: AF_INET, type: 2, protocol: 17)
      change(&request)
      do throws(Errno) {
        try request.check()
        return nil
      } catch {
        return error.rawValue
      }
    }
    func packet(_ request: inout SocketRequest) {
      request.family = AF_PACKET
      request.type = 3
      request.number = 8
    }
    #expect(check { $0.port = 53 } == nil)
    #expect(check { $0.address = [127, 0, 0, 1] } == nil)
    #expect(check { $0.address = [127, 0, 0] } == EINVAL)
    #expect(check { $0.address = [UInt8](repeating: 0, count: 16) } == EINVAL)
    #expect(check { $0.backlog = 5 } == nil)
    #expect(check { $0.interface = "eth0.1" } == nil)
    #expect(check { $0.interface = "eth0:" } == EINVAL)
    #expect(check { $0.interface = "a234567890123456" } == ENODEV)
    #expect(check { $0.type = 11 } == EINVAL)
    #expect(check { ($0.type, $0.number) = (3, 262) } == EINVAL)
    #expect(check { ($0.type, $0.number, $0.port) = (3, 1, 53) } == EINVAL)
    #expect(check { ($0.type, $0.number, $0.address) = (3, 1, [127, 0, 0, 1]) } == nil)
    #expect(check { packet(&$0) } == nil)
    #expect(
      check {
        packet(&$0)
        $0.interface = "eth0"
      } == nil)
    #expect(
      check {
        packet(&$0)
        $0.interface = "eth0:"
      } == EINVAL)
    #expect(
      check {
        packet(&$0)
        $0.number = 8 + 65536
      } == EINVAL)
    #expect(
      check {
        packet(&$0)
        $0.address = [1, 2, 3, 4]
      } == EINVAL)
    #expect(
      check {
        packet(&$0)
        $0.port = 1
      } == EINVAL)
    #expect(check { ($0.type, $0.number, $0.interface) = (10, 8, "eth0") } == EINVAL)
    #expect(check { ($0.type, $0.number, $0.address) = (10, 8, [108, 111, 0, 0]) } == EINVAL)
    #expect(check { ($0.type, $0.number) = (10, 8 + 65536) } == EINVAL)
    #expect(check { ($0.family, $0.number) = (AF_NETLINK, 0) } == nil)
    #expect(check { ($0.family, $0.number, $0.interface) = (AF_NETLINK, 0, "eth0") } == EINVAL)
    #expect(check { ($0.family, $0.number, $0.interface) = (AF_UNIX, 0, "eth0") } == EINVAL)
  }

  @Test func accounts() {
    let accounts = Self.accounts
    #expect(accounts.user(named: "alice") == 1000)
    #expect(accounts.user(named: "ali") == nil)
    #expect(accounts.user(named: "") == nil)
    #expect(accounts.name(of: 1001) == "bob")
    #expect(accounts.name(of: 7) == nil)
    #expect(accounts.groups(of: 1000) == [1000, 33])
    #expect(accounts.groups(of: 1001) == [1001, 34])
    #expect(accounts.groups(of: 5) == [])
    #expect(accounts.identity(of: "alice")?.user == 1000)
    #expect(accounts.identity(of: "#4711")?.user == 4711)
    #expect(accounts.identity(of: "4711") == nil)
  }

  /// Against every way to split the name, for all short patterns and names.
  @Test func patterns() {
    func matches(_ pattern: Substring, _ name: Substring) -> Bool {
      guard let first = pattern.first else { return name.isEmpty }
      let rest = pattern.dropFirst()
      switch first {
      case "*":
        if matches(rest, name) { return true }
        guard let head = name.first, head != "/" else { return false }
        return matches(pattern, name.dropFirst())
      case "?": return name.first.map { $0 != "/" } ?? false && matches(rest, name.dropFirst())
      default: return name.first == first && matches(rest, name.dropFirst())
      }
    }
    func words(_ letters: [Character], upTo length: Int) -> [String] {
      (0..<length).reduce(into: [""]) { words, _ in words += words.flatMap { word in letters.map { word + String($0) } }
      }
    }
    let names = Set(words(["a", "b", "/"], upTo: 4))
    for pattern in Set(words(["a", "*", "?", "/"], upTo: 4)) where pattern != "*" {
      for name in names where NamePattern(text: pattern).matches(name) != matches(pattern[...], name[...]) {
        Issue.record("\(pattern) and \(name)")
      }
    }
    #expect(NamePattern(text: "*").matches("/run/netns/a") && NamePattern(text: "*").matches(""))
  }

  /// The netlink socket of a capture is on no interface, and a line that denies one does not take it from the others.
  @Test func captures() throws {
    #expect(try decision("allow alice capture on eth0", "socket netlink raw 0") == 1)
    #expect(try decision("deny alice capture on eth0", "socket netlink raw 0") == 0)
    #expect(try decision("deny alice capture on eth0", "packet 0 on eth0") == -1)
    let both = try Wanted.requests("capture on eth0 in /run/netns/a").map { "\($0)" }
    #expect(both == ["packet 0x0 on eth0 in /run/netns/a", "socket 16 raw 0 in /run/netns/a"])
  }

  @Test(arguments: [
    ("allow * packet * on eth0", [1]), ("allow * any on eth*", [1]), ("allow * socket packet raw 0 on eth0", [1]),
    ("allow * packet * on *", []), ("allow * packet *", []), ("allow * capture on eth0", []),
    ("allow * udp 53 on eth0", []), ("deny * any on mgmt*", []),
    ("deny * any on mgmt*\nallow * packet * on *", [1]), ("deny * any on mgmt*\nallow * udp *", [1]),
    ("deny * any on mgmt*\nallow * udp * on eth*", []), ("deny * any on mgmt*\nallow * device *", []),
    ("deny * udp * on mgmt*\nallow * tcp * on *", []), ("deny * capture on mgmt*\nallow * capture on *", [1]),
    ("deny * icmp on mgmt*\nallow * udp *", []), ("deny * icmp on mgmt*\nallow * raw * on *", [1]),
    ("allow * udp * on *\ndeny * any on mgmt*", []),
  ]) func warnings(_ text: String, _ lines: [Int]) throws {
    #expect(try policy(text).interfaceWarnings.map(\.line) == lines)
  }

  #if os(Linux)
    @Test(
      arguments: [
        ("udp 53", [.netBindService]), ("udp 0", []), ("udp 53 on eth0", [.netBindService]),
        ("tcp 80", [.netBindService]), ("tcp 0", []), ("tcp 80 on *", [.netBindService]),
        ("tcp 80 on eth0", [.netBindService, .netAdmin]), ("tcp 0 on eth*", [.netAdmin]),
        ("udp 53 in /run/netns/*", [.netBindService, .sysAdmin, .netAdmin]),
        ("icmp", [.netRaw]), ("icmp6", [.netRaw]), ("raw *", [.netRaw]), ("packet * on eth0", [.netRaw]),
        ("capture on eth0", [.netRaw]), ("capture in *", [.netRaw, .sysAdmin, .netAdmin]),
        ("socket netlink raw *", []), ("socket unix * *", []), ("socket inet dgram 136", [.netBindService]),
        ("socket inet raw 6", [.netRaw]), ("socket inet * *", [.netBindService, .netRaw]),
        ("socket inet stream 6 on eth0", [.netBindService, .netAdmin]), ("socket packet raw *", [.netRaw]),
        ("socket 15 raw 2", [.netRaw, .netAdmin]), ("socket * raw *", [.netBindService, .netRaw, .netAdmin]),
        ("device net/tun", [.dacOverride]), ("device tap*", [.dacOverride]), ("device bpf*", [.dacOverride]),
        ("device ppp", [.dacOverride, .netAdmin]), ("device *", [.dacOverride, .netAdmin]),
        ("device net/tun in *", [.dacOverride, .sysAdmin, .netAdmin]),
        ("any", [.netBindService, .netRaw, .netAdmin, .dacOverride]),
        ("any on eth0", [.netBindService, .netRaw, .netAdmin]),
        ("any on * in *", [.netBindService, .netRaw, .netAdmin, .dacOverride, .sysAdmin]),
      ] as [(String, Capabilities)]) func whatALineNeeds(_ what: String, _ needs: Capabilities) throws
    {
      #expect(try policy("allow alice \(what)").needs(of: 1000, groups: []) == needs)
      #expect(try policy("allow alice \(what)").needs(of: 1001, groups: []) == [])
      #expect(try policy("deny alice \(what)").needs(of: 1000, groups: []) == [])
      #expect(try policy("allow @web \(what)\nallow * udp 0").needs(of: 1001, groups: [33]) == needs)
      #expect(try policy("deny * any on * in *\nallow alice \(what)").needs(of: 1000, groups: []) == [])
      #expect(try policy("deny * any on *\nallow alice \(what)").needs(of: 1000, groups: []) == needs)
    }

    @Test func theBuiltInPolicyNeedsAll() {
      let all: Capabilities = [.netBindService, .netRaw, .netAdmin, .dacOverride, .sysAdmin]
      #expect(Policy.builtIn.needs(of: 1, groups: []) == all)
    }
  #endif
}
