import SystemCalls

/// What somebody wants opened, as a policy sees it and as it stands in the log.
public enum Wanted: Sendable {
  /// Its kind is in the canonical form.
  case socket(SocketKind, port: UInt16, interface: String, namespace: String)
  /// A name below `/dev`.
  case device(String, namespace: String)

  public init(_ request: SocketRequest) {
    self = .socket(
      request.kind.canonical, port: request.port, interface: request.interface, namespace: request.namespace)
  }

  /// The name of its family where its words do not say it; else empty.
  public var family: String {
    guard case .socket(let kind, _, _, _) = self, kind.isInternet else { return "" }
    return kind.family == AF_INET ? "inet" : "inet6"
  }

  var isUnixSocket: Bool {
    if case .socket(let kind, _, _, _) = self { return kind.family == AF_UNIX }
    return false
  }

  var interface: String {
    if case .socket(_, _, let interface, _) = self { return interface }
    return ""
  }

  var namespace: String {
    switch self {
    case .socket(_, _, _, let namespace), .device(_, let namespace): return namespace
    }
  }
}

extension Wanted: CustomStringConvertible {
  /// In the words of a policy.
  public var description: String {
    let what: String
    switch self {
    case .device(let name, _): what = "device \(name)"
    case .socket(let kind, let port, _, _):
      what =
        Transport.allCases.first { $0.sockets.matches(kind) }.map { "\($0.rawValue) \(port)" }
        ?? SocketPattern.name(kind)
    }
    return what + (interface.isEmpty ? "" : " on \(interface)") + (namespace.isEmpty ? "" : " in \(namespace)")
  }
}

/// Protocols with ports.
enum Transport: String, CaseIterable, Sendable {
  case udp
  case tcp

  /// The sockets that bind to its ports.
  var sockets: SocketPattern {
    switch self {
    case .udp: SocketPattern(families: [AF_INET, AF_INET6], types: [Sockets.datagram], protocols: [17])
    case .tcp: SocketPattern(families: [AF_INET, AF_INET6], types: [Sockets.stream], protocols: [6])
    }
  }
}

/// A name in which `*` stands for any characters and `?` for one, but neither for `/`; `*` alone is any name, and no name too.
struct NamePattern: Equatable, Sendable {
  let text: String

  var isLiteral: Bool { !text.utf8.contains(UInt8(ascii: "*")) && !text.utf8.contains(UInt8(ascii: "?")) }

  func matches(_ name: String) -> Bool {
    if text == "*" { return true }
    let pattern = Array(text.utf8)
    let name = Array(name.utf8)
    let slash = UInt8(ascii: "/")
    var (p, n) = (0, 0)
    /// Where the last `*` stands, and how far it reaches.
    var star: (pattern: Int, name: Int)?
    while n < name.count {
      if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
        star = (p, n)
        p += 1
      } else if p < pattern.count, pattern[p] == name[n] || pattern[p] == UInt8(ascii: "?") && name[n] != slash {
        p += 1
        n += 1
      } else if let last = star, name[last.name] != slash {
        star = (last.pattern, last.name + 1)
        p = last.pattern + 1
        n = last.name + 1
      } else {
        return false
      }
    }
    return pattern[p...].allSatisfy { $0 == UInt8(ascii: "*") }
  }
}
