extension Policy {
  /// What the words of its lines may lead to expect of `on`, and what they do not do.
  var interfaceWarnings: [PolicyWarning] {
    rules.indices.compactMap { index in
      let rule = rules[index]
      guard rule.boundsInterface else { return nil }
      if rule.allows {
        return rule.what.isOfFilteredSockets ? PolicyWarning(line: rule.line, reason: Self.locked(rule)) : nil
      }
      let open = rules[(index + 1)...].first { $0.allows && $0.interface.matches("") && $0.what.overlaps(rule.what) }
      return open.map { PolicyWarning(line: rule.line, reason: Self.open(rule, by: $0)) }
    }
  }

  private static func locked(_ rule: Rule) -> String {
    "the filter of a packet socket on \(rule.interface.text) is locked, so its holder can set none; capture is what gen_raw needs"
  }

  private static func open(_ rule: Rule, by other: Rule) -> String {
    "line \(other.line) allows sockets that are on no interface, and they receive what comes on \(rule.interface.text) too"
  }
}

extension Policy.What {
  /// The sockets that it is about; nil where it is about none.
  private var sockets: SocketPattern? {
    switch self {
    case .anything: SocketPattern(families: nil, types: nil, protocols: nil)
    case .ports(let transport, _): transport.sockets
    case .sockets(let pattern): pattern
    case .capture: .captures
    case .device: nil
    }
  }

  /// Whether it is about packet sockets whose holder may want a filter of its own.
  fileprivate var isOfFilteredSockets: Bool {
    guard let sockets, self != .capture, sockets.types != [SocketKind.oldPacket] else { return false }
    return sockets.families?.contains(SocketKind.packetFamily) ?? true
  }

  /// Whether both may be about the same socket.
  fileprivate func overlaps(_ other: Policy.What) -> Bool {
    guard let one = sockets, let other = other.sockets else { return false }
    return one.overlaps(other)
  }
}

extension SocketPattern {
  fileprivate func overlaps(_ other: SocketPattern) -> Bool {
    func meet(_ one: [CInt]?, _ other: [CInt]?) -> Bool {
      guard let one, let other else { return true }
      return one.contains { other.contains($0) }
    }
    return meet(families, other.families) && meet(types, other.types) && meet(protocols, other.protocols)
  }
}
