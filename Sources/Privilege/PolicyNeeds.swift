import CSystem
import SystemCalls

// Which rights the lines of a policy can need.

extension Policy {
  /// For all that a user with these groups may open.
  func needs(of user: uid_t, groups: [gid_t]) -> Capabilities {
    var needs: Capabilities = []
    for rule in rules where rule.who.includes(user, groups) {
      needs.formUnion(rule.needs)
      if rule.decidesEverything { break }
    }
    return needs
  }
}

extension Policy.Rule {
  /// Whether no line behind it is about what its user asks for.
  fileprivate var decidesEverything: Bool { what == .anything && interface.text == "*" && namespace.text == "*" }

  /// For all that it may be the line to decide about.
  var needs: Capabilities {
    guard allows else { return [] }
    let place: Capabilities = namespace.text.isEmpty ? [] : [.sysAdmin, .netAdmin]
    return place.union(needsOfKind)
  }

  private var needsOfKind: Capabilities {
    // Newer kernels want CAP_NET_ADMIN for the filter of a TCP socket.
    let filter: Capabilities = boundsInterface ? .netAdmin : []
    switch what {
    case .anything where !interface.matches(""): return [.netBindService, .netRaw, filter]
    case .anything: return [.netBindService, .netRaw, .netAdmin, .dacOverride]
    case .ports(_, let ranges) where ranges.allSatisfy({ $0 == 0...0 }): return filter
    case .ports(let transport, _): return [.netBindService, transport == .tcp ? filter : []]
    case .capture: return .netRaw
    case .device(let name): return name.isOfNetworkDevices ? .dacOverride : [.dacOverride, .netAdmin]
    case .sockets(let pattern): return pattern.needs.union(pattern.hasStreams ? filter : [])
    }
  }
}

extension SocketPattern {
  fileprivate var hasStreams: Bool { types?.contains(Sockets.stream) ?? true }

  fileprivate var needs: Capabilities {
    guard let families else { return [.netBindService, .netRaw, .netAdmin] }
    return families.reduce(into: []) { needs, family in
      switch family {
      case AF_INET, AF_INET6:
        if types?.contains(SocketKind.raw) ?? true { needs.insert(.netRaw) }
        if types?.contains(where: { $0 != SocketKind.raw }) ?? true { needs.insert(.netBindService) }
      case SocketKind.packetFamily: needs.insert(.netRaw)
      case SocketKind.netlinkFamily, AF_UNIX: break
      default: needs.formUnion([.netRaw, .netAdmin])
      }
    }
  }
}

extension NamePattern {
  /// Devices that the kernel opens without CAP_NET_ADMIN; others, as `ppp`, may need it.
  fileprivate var isOfNetworkDevices: Bool {
    ["net/", "tun", "tap", "bpf"].contains { text.utf8.starts(with: $0.utf8) }
  }
}

#if os(Linux)
  extension Privileges {
    /// What the policy can need for the caller, as it stands now; where there is none that can be used, nothing is opened.
    borrowing func neededByPolicy() -> Capabilities {
      var needs: Capabilities = []
      if let inForce = try? Policy.inForce(with: self) {
        needs = inForce.policy.needs(of: caller.user, groups: caller.groups(in: inForce.accounts))
      }
      // The stronger one only where the executable was not given the other.
      if history.takesRightToRead { needs.insert(canRaise(.dacReadSearch) ? .dacReadSearch : .dacOverride) }
      return needs
    }
  }
#endif
