import CSystem
import SystemCalls

// What a policy allows at all, in whatever namespace.

extension Policy {
  func allowsDevices(for user: uid_t, groups: [gid_t]) -> Bool {
    rules.contains { $0.allows && $0.isAboutDevices && $0.who.includes(user, groups) }
  }

  func allowsDevice(_ name: String, for user: uid_t, groups: [gid_t]) -> Bool {
    for rule in rules where rule.isAboutDevices && rule.who.includes(user, groups) {
      if case .device(let pattern) = rule.what, !pattern.matches(name) { continue }
      if rule.allows { return true }
      if rule.namespace.text == "*" { return false }
    }
    return false
  }

  /// The directories that have the namespaces in which a user may open something. `/`: anywhere.
  func namespaceDirectories(for user: uid_t, groups: [gid_t]) -> Set<String> {
    Set(
      rules.filter { $0.allows && !$0.namespace.text.isEmpty && $0.who.includes(user, groups) }.map(
        \.namespace.directory))
  }

  func allowsUnixSockets(for user: uid_t, groups: [gid_t]) -> Bool {
    rules.contains { $0.allows && $0.isAboutUnixSockets && $0.who.includes(user, groups) }
  }
}

extension Policy.Rule {
  fileprivate var isAboutDevices: Bool {
    switch what {
    case .anything: interface.matches("")
    case .device: true
    case .ports, .sockets, .capture: false
    }
  }

  fileprivate var isAboutUnixSockets: Bool {
    switch what {
    case .anything: interface.matches("")
    case .sockets(let pattern): pattern.families?.contains(AF_UNIX) ?? true
    case .device, .ports, .capture: false
    }
  }
}

extension NamePattern {
  /// That of all paths which it matches; `/` where they have no other in common.
  fileprivate var directory: String {
    let wildcards = [UInt8(ascii: "*"), UInt8(ascii: "?")]
    let literal = text.utf8.prefix { !wildcards.contains($0) }
    guard literal.first == UInt8(ascii: "/"), let last = literal.lastIndex(of: UInt8(ascii: "/")),
      last > literal.startIndex
    else { return "/" }
    return String(decoding: literal[..<last], as: UTF8.self)
  }
}
