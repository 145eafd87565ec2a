import SystemCalls

/// What there is to say of a policy before it is put in place: all that makes it none, and what its author may not have meant.
public struct PolicyReport: Sendable {
  /// How many lines are understood, but for comments.
  public let rules: Int
  public let errors: [PolicyError]
  public let warnings: [PolicyWarning]

  init(_ bytes: [UInt8], accounts: Accounts) {
    let (rules, errors) = Policy.parse(bytes, accounts: accounts)
    self.rules = rules.count
    self.errors = errors
    var warnings: [PolicyWarning] = []
    for (index, rule) in rules.enumerated() {
      warnings += PolicyWarning.checks.compactMap { check in
        check(rule, accounts).map { PolicyWarning(line: rule.line, reason: $0) }
      }
      if let first = rules[..<index].first(where: { $0.covers(rule) }) {
        warnings.append(
          PolicyWarning(
            line: rule.line, reason: "it never decides: line \(first.line) decides each request that it is about"))
      }
    }
    warnings += Policy(rules: rules).interfaceWarnings
    if errors.isEmpty, !rules.contains(where: { $0.allows }) {
      warnings.append(PolicyWarning(line: 0, reason: "no line allows anything, so all is refused"))
    }
    self.warnings = warnings
  }
}

/// What is doubtful in a policy, and makes it no less of one.
public struct PolicyWarning: Sendable, CustomStringConvertible {
  /// From 1; 0 where it is about the file.
  public let line: Int
  let reason: String

  public var description: String { (line == 0 ? "" : "line \(line): ") + "warning: \(reason)" }
}

extension PolicyWarning {
  /// What is looked for in a line by itself: each says what is doubtful, or nil. A new one is a function below.
  static let checks: [@Sendable (Policy.Rule, Accounts) -> String?] = [
    unknownNumber, impossibleInterface, kindWithoutInterface, impossibleNamespace, impossibleDevice,
  ]

  /// Names that are unknown are errors. A number may be one of a directory that the opener does not read.
  @Sendable private static func unknownNumber(_ rule: Policy.Rule, _ accounts: Accounts) -> String? {
    switch rule.who {
    case .user(let number) where accounts.name(of: number) == nil:
      "no user of /etc/passwd has the number \(number)"
    case .group(let number) where !accounts.hasGroup(number):
      "no group of /etc/group has the number \(number)"
    default: nil
    }
  }

  /// What dev_valid_name() of the kernel, and the opener, take for a name.
  @Sendable private static func impossibleInterface(_ rule: Policy.Rule, _ accounts: Accounts) -> String? {
    let name = rule.interface
    let letters = name.text.utf8.filter { $0 != UInt8(ascii: "*") }
    let isPossible =
      letters.count <= NamePattern.longestInterface
      && name.withoutWildcards.utf8.allSatisfy { Names.isAllowed($0, besides: "._-@") }
      && name.text != "." && name.text != ".."
    return isPossible ? nil : "it matches nothing: no interface can have such a name"
  }

  @Sendable private static func kindWithoutInterface(_ rule: Policy.Rule, _ accounts: Accounts) -> String? {
    guard case .sockets(let sockets) = rule.what, !rule.interface.matches("") else { return nil }
    let families = sockets.families ?? [AF_INET]
    let isBound = families.contains { [AF_INET, AF_INET6, SocketKind.packetFamily].contains($0) }
    return isBound && sockets.types != [SocketKind.oldPacket]
      ? nil : "it matches nothing: sockets of this kind are on no interface"
  }

  @Sendable private static func impossibleNamespace(_ rule: Policy.Rule, _ accounts: Accounts) -> String? {
    let path = rule.namespace
    if path.matches("") || path.text.utf8.first == UInt8(ascii: "/") && Names.isStraight(path.text.utf8.dropFirst()) {
      return nil
    }
    return "it matches nothing: a namespace is named by its path from / on, without //, . and .."
  }

  @Sendable private static func impossibleDevice(_ rule: Policy.Rule, _ accounts: Accounts) -> String? {
    guard case .device(let name) = rule.what, !Device.isValid(name.withoutWildcards) else { return nil }
    return "it matches nothing: a device is named by its path below /dev, as in net/tun"
  }
}

extension NamePattern {
  /// `IFNAMSIZ`, without the byte that ends it.
  fileprivate static let longestInterface = 15

  /// One of the names that it matches.
  fileprivate var withoutWildcards: String {
    String(text.map { $0 == "*" || $0 == "?" ? "x" : $0 })
  }
}
