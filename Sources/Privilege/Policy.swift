import SystemCalls

/// Who may open what: docs/security.md. The first rule that is about a request decides; what none is about is refused.
public struct Policy: Sendable {
  public struct Rule: Sendable {
    /// The number of its line, from 1, and the line itself.
    public let line: Int
    public let text: String
    public let allows: Bool
    let who: Who
    let what: What
    let interface: NamePattern
    let namespace: NamePattern

    /// Whether what it allows is bound to the interface that is asked for: `on *` is about any interface, and none.
    var boundsInterface: Bool { interface.text != "*" && !interface.text.isEmpty }
  }

  enum Who: Equatable, Sendable {
    case everyone
    case user(uid_t)
    case group(gid_t)
  }

  enum What: Equatable, Sendable {
    case anything
    case ports(Transport, [ClosedRange<UInt16>])
    case sockets(SocketPattern)
    case device(NamePattern)
    /// The sockets of a capture: a packet socket that is bound later, and a netlink socket, which is on no interface.
    case capture
  }

  public let rules: [Rule]

  /// The rule that decides about a request of a user with these groups, or nil.
  public func rule(about wanted: Wanted, user: uid_t, groups: [gid_t]) -> Rule? {
    rules.first { $0.isAbout(wanted) && $0.who.includes(user, groups) }
  }
}

extension Policy.Rule {
  fileprivate func isAbout(_ wanted: Wanted) -> Bool {
    guard namespace.matches(wanted.namespace) else { return false }
    if case (.capture, .socket(let kind, _, _, _)) = (what, wanted), kind == .interfaceChanges {
      // Every capture needs it: one that is denied on an interface does not end the others.
      return allows
    }
    guard interface.matches(wanted.interface) else { return false }
    switch (what, wanted) {
    case (.anything, _): return true
    case (.device(let pattern), .device(let name, _)): return pattern.matches(name)
    case (.sockets(let pattern), .socket(let kind, _, _, _)): return pattern.matches(kind)
    case (.ports(let transport, let ranges), .socket(let kind, let port, _, _)):
      return transport.sockets.matches(kind) && ranges.contains { $0.contains(port) }
    case (.capture, .socket(let kind, _, _, _)): return SocketPattern.captures.matches(kind)
    case (.device, .socket), (.sockets, .device), (.ports, .device), (.capture, .device): return false
    }
  }
}

extension Policy.Who {
  func includes(_ user: uid_t, _ groups: [gid_t]) -> Bool {
    switch self {
    case .everyone: true
    case .user(let number): number == user
    case .group(let number): groups.contains(number)
    }
  }
}
