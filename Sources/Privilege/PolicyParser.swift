import CSystem
import SystemCalls

/// Why a policy is none.
public struct PolicyError: Error, Equatable, CustomStringConvertible {
  /// From 1; 0 where it is about the file.
  public let line: Int
  public let reason: String
  /// Whether a right is missing to read the file.
  var isForbidden = false
  /// Whether there is no file.
  let isMissing: Bool

  public init(line: Int, reason: String, isMissing: Bool = false) {
    self.line = line
    self.reason = reason
    self.isMissing = isMissing
  }

  /// As much of it as one may know who may not read the policy.
  var summary: String {
    isMissing ? "no policy" : line == 0 ? "policy unreadable" : "policy unreadable: line \(line)"
  }

  public var description: String { line == 0 ? reason : "line \(line): \(reason)" }
}

extension Policy {
  /// The longest policy, in bytes.
  public static let longest = 1 << 16

  /// Reads the lines of a policy: `allow | deny  USER | @GROUP | *  WHAT  [on INTERFACE] [in NAMESPACE]`.
  public init(_ bytes: [UInt8], accounts: Accounts) throws(PolicyError) {
    let (rules, errors) = Self.parse(bytes, accounts: accounts)
    if let first = errors.first { throw first }
    self.rules = rules
  }

  /// The lines that are understood, and what is wrong with the others.
  static func parse(_ bytes: [UInt8], accounts: Accounts) -> (rules: [Rule], errors: [PolicyError]) {
    guard bytes.count <= Self.longest else {
      return ([], [PolicyError(line: 0, reason: "longer than \(Self.longest) bytes")])
    }
    var rules: [Rule] = []
    var errors: [PolicyError] = []
    var number = 0
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for line in lines {
      number += 1
      do throws(PolicyError) {
        if let rule = try rule(Self.withoutComment(line), number: number, accounts: accounts) { rules.append(rule) }
      } catch {
        errors.append(error)
      }
    }
    // It may go on: `tcp 80` of `tcp 8080`.
    if !bytes.isEmpty, bytes.last != UInt8(ascii: "\n") {
      errors.append(PolicyError(line: number, reason: "no newline at its end"))
    }
    return (rules, errors)
  }

  /// Nil where nothing is in the line.
  private static func rule(
    _ line: ArraySlice<UInt8>, number: Int, accounts: Accounts
  ) throws(PolicyError) -> Rule? {
    guard line.allSatisfy({ $0 == 9 || $0 == 13 || (32...126).contains($0) }) else {
      throw PolicyError(line: number, reason: "a character that is not ASCII")
    }
    var words = Words(line: number, line)
    return words.isEmpty ? nil : try words.rule(accounts)
  }

  /// A comment starts with `#`, but where a digit is behind it that starts the second word: a user or, behind `@`, a group.
  private static func withoutComment(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    var word = 0
    var previous: UInt8 = 32
    for index in line.indices {
      let byte = line[index]
      if isSpace(previous), !isSpace(byte) { word += 1 }
      if byte == UInt8(ascii: "#") {
        let starts = isSpace(previous) || previous == UInt8(ascii: "@")
        let isNumber = line[(index + 1)...].first.map { (48...57).contains($0) } ?? false
        guard word == 2, starts, isNumber else { return line[..<index] }
      }
      previous = byte
    }
    return line
  }

  fileprivate static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 13 }
}

extension Wanted {
  /// Requests in the words of a policy, with one port, one name and so on: `udp 53 on eth0`. There are two where the words do not say
  /// whether the socket is one of inet or of inet6, and for a capture, which needs two sockets.
  public static func requests(_ text: String) throws(PolicyError) -> [Wanted] {
    guard text.utf8.allSatisfy({ (32...126).contains($0) }) else {
      throw PolicyError(line: 0, reason: "a character that is not ASCII")
    }
    var words = Words(line: 0, Array(text.utf8)[...])
    let what = try words.what()
    let (interface, namespace) = try words.place(of: what)
    guard interface.isLiteral, namespace.isLiteral else {
      throw words.error("a request names one thing, not a pattern")
    }
    let kinds: [SocketKind]
    var port: UInt16 = 0
    switch what {
    case .device(let name) where name.isLiteral: return [.device(name.text, namespace: namespace.text)]
    case .ports(let transport, let ranges) where ranges.count == 1 && ranges[0].count == 1:
      port = ranges[0].lowerBound
      kinds = transport.sockets.examples
    case .sockets(let pattern): kinds = pattern.examples
    case .capture:
      let packets = SocketPattern.captures.examples.map {
        Wanted.socket($0, port: 0, interface: interface.text, namespace: namespace.text)
      }
      return packets + [.socket(.interfaceChanges, port: 0, interface: "", namespace: namespace.text)]
    case .anything, .device, .ports: kinds = []
    }
    guard !kinds.isEmpty else { throw words.error("a request names one thing, not several") }
    return kinds.map { .socket($0, port: port, interface: interface.text, namespace: namespace.text) }
  }

  /// The first of ``requests(_:)``.
  init(_ text: String) throws(PolicyError) {
    guard let first = try Wanted.requests(text).first else { throw PolicyError(line: 0, reason: "no request") }
    self = first
  }
}

/// The words of a line, taken one after the other.
private struct Words {
  private let line: Int
  private let text: String
  private var rest: ArraySlice<String>

  init(line: Int, _ text: ArraySlice<UInt8>) {
    self.line = line
    let words = text.split(whereSeparator: Policy.isSpace).map { String(decoding: $0, as: UTF8.self) }
    rest = words[...]
    self.text = words.joined(separator: " ")
  }

  var isEmpty: Bool { rest.isEmpty }

  func error(_ reason: String) -> PolicyError { PolicyError(line: line, reason: reason) }

  private mutating func next(_ what: String) throws(PolicyError) -> String {
    guard let word = rest.popFirst() else { throw error("\(what) is missing") }
    return word
  }

  mutating func rule(_ accounts: Accounts) throws(PolicyError) -> Policy.Rule {
    let allows: Bool
    switch try next("allow or deny") {
    case "allow": allows = true
    case "deny": allows = false
    case let word: throw error("allow or deny, not \(word)")
    }
    let who = try who(accounts)
    let what = try what()
    let (interface, namespace) = try place(of: what)
    return Policy.Rule(
      line: line, text: text, allows: allows, who: who, what: what, interface: interface, namespace: namespace)
  }

  private mutating func who(_ accounts: Accounts) throws(PolicyError) -> Policy.Who {
    let word = try next("a user or @group")
    if word == "*" { return .everyone }
    if word.hasPrefix("@") {
      let name = String(word.dropFirst())
      guard let group = Accounts.number(name) ?? accounts.group(named: name) else {
        throw error("no group \(name) in /etc/group\(Self.hint(name))")
      }
      return .group(group)
    }
    guard let user = Accounts.number(word) ?? accounts.user(named: word) else {
      throw error("no user \(word) in /etc/passwd\(Self.hint(word))")
    }
    return .user(user)
  }

  private static func hint(_ name: String) -> String {
    let number: UInt32? = decimal(name)
    return number == nil ? "" : "; its number is written #\(name)"
  }

  mutating func what() throws(PolicyError) -> Policy.What {
    let word = try next("what")
    if let transport = Transport(rawValue: word) { return .ports(transport, try ports()) }
    switch word {
    case "any": return .anything
    case "capture": return .capture
    case "icmp": return .sockets(SocketPattern(families: [AF_INET], types: [SocketKind.raw], protocols: [1]))
    case "icmp6": return .sockets(SocketPattern(families: [AF_INET6], types: [SocketKind.raw], protocols: [58]))
    case "raw":
      let numbers = try number(in: SocketPattern.protocols, "a protocol", most: 0xff)
      return .sockets(SocketPattern(families: [AF_INET, AF_INET6], types: [SocketKind.raw], protocols: numbers))
    case "packet":
      let types = try number(in: [], "an EtherType", most: 0xffff)?.map { CInt(UInt16($0).bigEndian) }
      return .sockets(
        SocketPattern(
          families: [SocketKind.packetFamily], types: [SocketKind.raw, Sockets.datagram, SocketKind.oldPacket],
          protocols: types))
    case "socket":
      return .sockets(try sockets())
    case "device":
      return .device(NamePattern(text: try next("a name below /dev")))
    default:
      throw error("not a thing to open: \(word)")
    }
  }

  private mutating func sockets() throws(PolicyError) -> SocketPattern {
    let word = try next("a family")
    let family: CInt?
    if word == "*" {
      family = nil
    } else if let number = Constants.family(word) ?? decimal(word), (0...0xffff).contains(number) {
      family = number
    } else {
      throw error("not a family: \(word)")
    }
    let type = try number(in: SocketPattern.types, "a type", most: 10)?.first
    let number = try number(in: SocketPattern.protocols, "a protocol", most: CInt.max)?.first
    guard let pattern = SocketPattern(family: family, type: type, number: number) else {
      throw error("protocol \(number ?? 0) has more than one meaning for these sockets")
    }
    return pattern
  }

  /// A number, a name of one, or `*`: any.
  private mutating func number(
    in names: [(name: String, number: CInt)], _ what: String, most: CInt
  ) throws(PolicyError) -> [CInt]? {
    let word = try next(what)
    if word == "*" { return nil }
    let number =
      names.first { $0.name == word }?.number
      ?? (word.hasPrefix("0x") ? hexadecimal(word.dropFirst(2)) : decimal(word))
    guard let number, (0...most).contains(number) else { throw error("not \(what): \(word)") }
    return [number]
  }

  /// `53`, `1-1023`, `53,67-68`, `*`
  private mutating func ports() throws(PolicyError) -> [ClosedRange<UInt16>] {
    let word = try next("a port")
    if word == "*" { return [0...UInt16.max] }
    var ranges: [ClosedRange<UInt16>] = []
    for part in word.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { part -> UInt16? in
        decimal(part)
      }
      guard let first = ends[0], let last = ends[ends.count - 1], ends.count <= 2, first <= last else {
        throw error("not a port or a range of ports: \(part)")
      }
      ranges.append(first...last)
    }
    return ranges
  }

  /// `[on INTERFACE] [in NAMESPACE]`, to the end of the line. None is the empty name, which only `*` matches too.
  mutating func place(of what: Policy.What) throws(PolicyError) -> (interface: NamePattern, namespace: NamePattern) {
    var interface = ""
    var namespace = ""
    if rest.first == "on" {
      rest.removeFirst()
      interface = try next("an interface")
    }
    if rest.first == "in" {
      rest.removeFirst()
      namespace = try next("a namespace")
    }
    if let word = rest.first { throw error("not understood: \(word)") }
    if case .device = what, !interface.isEmpty { throw error("a device is on no interface") }
    return (NamePattern(text: interface), NamePattern(text: namespace))
  }
}

/// A number in digits alone.
func decimal<I: FixedWidthInteger>(_ text: some StringProtocol) -> I? {
  text.utf8.allSatisfy { (48...57).contains($0) } ? I(text, radix: 10) : nil
}

/// The same of hexadecimal digits: no sign.
private func hexadecimal(_ text: some StringProtocol) -> CInt? {
  text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0 | 32) } ? CInt(text, radix: 16) : nil
}
