// Whether one line of a policy is about all that another is about. Where that is not plain, it is not.

extension Policy.Rule {
  func covers(_ other: Policy.Rule) -> Bool {
    (who == .everyone || who == other.who) && what.covers(other.what) && interface.covers(other.interface)
      && namespace.covers(other.namespace)
  }
}

extension Policy.What {
  fileprivate func covers(_ other: Policy.What) -> Bool {
    switch (self, other) {
    case (.anything, _): true
    case (.ports(let transport, let ranges), .ports(let others, let wanted)):
      transport == others && wanted.allSatisfy { Self.ranges(ranges, cover: $0) }
    case (.ports(let transport, let ranges), .sockets(let pattern)):
      transport.sockets.covers(pattern) && Self.ranges(ranges, cover: 0...UInt16.max)
    case (.sockets(let pattern), .ports(let transport, _)): pattern.covers(transport.sockets)
    case (.sockets(let pattern), .sockets(let other)): pattern.covers(other)
    case (.device(let pattern), .device(let other)): pattern.covers(other)
    case (.capture, .capture): true
    default: false
    }
  }

  /// Whether ranges, in any order, have all ports of another one among them.
  private static func ranges(_ ranges: [ClosedRange<UInt16>], cover wanted: ClosedRange<UInt16>) -> Bool {
    var next = Int(wanted.lowerBound)
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where range.lowerBound <= next {
      next = max(next, Int(range.upperBound) + 1)
    }
    return next > wanted.upperBound
  }
}

extension SocketPattern {
  fileprivate func covers(_ other: SocketPattern) -> Bool {
    func covers(_ numbers: [CInt]?, _ others: [CInt]?) -> Bool {
      guard let numbers else { return true }
      return others?.allSatisfy { numbers.contains($0) } ?? false
    }
    return covers(families, other.families) && covers(types, other.types) && covers(protocols, other.protocols)
  }
}

extension NamePattern {
  /// The other's text stands for what it matches: its wildcards match no `/` either. But a `?` here is one character, and a `*` there
  /// is any number of them.
  func covers(_ other: NamePattern) -> Bool {
    if text == "*" || text == other.text { return true }
    let isSimple = !text.utf8.contains(UInt8(ascii: "?")) || !other.text.utf8.contains(UInt8(ascii: "*"))
    return isSimple && other.text != "*" && matches(other.text)
  }
}
