import CSystem
import SystemCalls

/// What somebody wants opened, as a policy sees it and as it stands in the log.
public enum Wanted: Sendable {
  case socket(family: CInt, type: CInt, protocol: CInt, port: UInt16, interface: String, namespace: String)
  /// A name below `/dev`.
  case device(String, namespace: String)

  static let raw: CInt = 3
  /// `SOCK_PACKET`, the old way to a packet socket: the kernel takes it for one, whatever the family.
  static let oldPacket: CInt = 10
  #if os(Linux)
    static let packetFamily = AF_PACKET
  #else
    static let packetFamily: CInt = -1
  #endif

  public init(_ request: SocketRequest) {
    let old = request.family == AF_INET && request.type == Self.oldPacket
    self = .socket(
      family: old ? Self.packetFamily : request.family, type: request.type, protocol: request.number,
      port: request.port, interface: request.interface, namespace: request.namespace)
  }

  var interface: String {
    if case .socket(_, _, _, _, let interface, _) = self { return interface }
    return ""
  }

  var namespace: String {
    switch self {
    case .socket(_, _, _, _, _, let namespace): return namespace
    case .device(_, let namespace): return namespace
    }
  }
}

extension Wanted: CustomStringConvertible {
  /// In the words of a policy.
  public var description: String {
    let what: String
    switch self {
    case .device(let name, _): what = "device \(name)"
    case .socket(let family, let type, let number, let port, _, _):
      what =
        Transport.allCases.first { $0.sockets.matches(family, type, number) }.map { "\($0.rawValue) \(port)" }
        ?? SocketPattern.name(family, type, number)
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
    case .udp: SocketPattern(families: [AF_INET, AF_INET6], types: [Sockets.datagram], protocols: [0, 17])
    case .tcp: SocketPattern(families: [AF_INET, AF_INET6], types: [Sockets.stream], protocols: [0, 6])
    }
  }
}

/// Some sockets; nil is any.
struct SocketPattern: Equatable, Sendable {
  var families: [CInt]?
  var types: [CInt]?
  var protocols: [CInt]?

  func matches(_ family: CInt, _ type: CInt, _ number: CInt) -> Bool {
    (families?.contains(family) ?? true) && (types?.contains(type) ?? true) && (protocols?.contains(number) ?? true)
  }

  /// The socket that it stands for, where that is only one.
  var example: (family: CInt, type: CInt, protocol: CInt)? {
    guard let family = families?.first, let type = types?.first, let number = protocols?.first else { return nil }
    return (family, type, number)
  }

  static let types: [(name: String, number: CInt)] = [
    ("stream", Sockets.stream), ("dgram", Sockets.datagram), ("raw", Wanted.raw), ("seqpacket", 5),
  ]

  static let protocols: [(name: String, number: CInt)] = [
    ("ip", 0), ("icmp", 1), ("tcp", 6), ("udp", 17), ("ipv6", 41), ("icmp6", 58), ("sctp", 132), ("raw", 255),
  ]

  static func name(_ family: CInt, _ type: CInt, _ number: CInt) -> String {
    switch (family, type) {
    case (AF_INET, Wanted.raw) where number == 1: return "icmp"
    case (AF_INET6, Wanted.raw) where number == 58: return "icmp6"
    case (AF_INET, Wanted.raw), (AF_INET6, Wanted.raw): return "raw \(number)"
    case (Wanted.packetFamily, _):
      return "packet 0x" + String(UInt16(truncatingIfNeeded: number).bigEndian, radix: 16)
    default:
      let type = types.first { $0.number == type }?.name ?? "\(type)"
      return "socket \(family) \(type) \(number)"
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
