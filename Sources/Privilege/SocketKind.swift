import SystemCalls

/// Family, type and protocol of a socket. The kernel takes several numbers for one kind; a policy is about the kind.
public struct SocketKind: Equatable, Sendable {
  var family: CInt
  var type: CInt
  var number: CInt

  init(_ family: CInt, _ type: CInt, _ number: CInt) {
    self.family = family
    self.type = type
    self.number = number
  }

  /// The one form in which a kind is matched and named.
  var canonical: SocketKind {
    switch (family, type) {
    case (AF_INET, Self.oldPacket): SocketKind(Self.packetFamily, type, number)
    case (AF_INET, Sockets.stream), (AF_INET6, Sockets.stream):
      SocketKind(family, type, number == 0 || number == Self.multipath ? 6 : number)
    case (AF_INET, Sockets.datagram), (AF_INET6, Sockets.datagram): SocketKind(family, type, number == 0 ? 17 : number)
    case (AF_INET, Self.sequenced), (AF_INET6, Self.sequenced): SocketKind(family, type, number == 0 ? 132 : number)
    case (Self.netlinkFamily, Sockets.datagram): SocketKind(family, Self.raw, number)
    case (AF_UNIX, Self.raw): SocketKind(family, Sockets.datagram, number == AF_UNIX ? 0 : number)
    case (AF_UNIX, _): SocketKind(family, type, number == AF_UNIX ? 0 : number)
    default: self
    }
  }

  var isInternet: Bool { canonical.family == AF_INET || family == AF_INET6 }

  var isPacket: Bool { canonical.family == Self.packetFamily }

  /// Whether it is bound to an address and a port.
  var hasPorts: Bool { isInternet && [Sockets.stream, Sockets.datagram, Self.sequenced].contains(type) }

  var listens: Bool { isInternet && (type == Sockets.stream || type == Self.sequenced) }

  /// Whether a filter of the socket decides about all that it receives. That of a socket of another protocol, as MPTCP or SCTP, may not
  /// be the one of its connections.
  var hasFilter: Bool {
    switch type {
    case _ where isPacket: true
    case Self.raw: isInternet
    case Sockets.datagram: isInternet && [0, 1, 17, 58, 136].contains(number)
    case Sockets.stream: isInternet && [0, 6].contains(number)
    default: false
    }
  }

  /// Whether the kernel takes the numbers as they are. It cuts a packet socket's protocol to 16 bits, and a raw socket's to 8.
  var isWhole: Bool {
    guard (0...Self.highestType).contains(type), family >= 0, number >= 0 else { return false }
    if isPacket { return number <= 0xffff }
    return !isInternet || type != Self.raw || number <= 0xff
  }

  /// `NETLINK_ROUTE`: by it a capture hears of its interface.
  static let interfaceChanges = SocketKind(netlinkFamily, raw, 0)

  static let raw: CInt = 3
  static let sequenced: CInt = 5
  /// `SOCK_PACKET`, the old way to a packet socket: the kernel makes one of it where the family is inet.
  static let oldPacket: CInt = 10
  private static let highestType: CInt = 10
  /// `IPPROTO_MPTCP`
  static let multipath: CInt = 262
  #if os(Linux)
    static let packetFamily = AF_PACKET
    static let netlinkFamily = AF_NETLINK
  #else
    static let packetFamily: CInt = -1
    static let netlinkFamily: CInt = -1
  #endif
}

/// Some sockets, in the canonical form; nil is any.
struct SocketPattern: Equatable, Sendable {
  var families: [CInt]?
  var types: [CInt]?
  var protocols: [CInt]?

  func matches(_ kind: SocketKind) -> Bool {
    (families?.contains(kind.family) ?? true) && (types?.contains(kind.type) ?? true)
      && (protocols?.contains(kind.number) ?? true)
  }

  /// The sockets that it stands for, one of each family; none where they are of more than one protocol.
  var examples: [SocketKind] {
    guard let families, let type = types?.first, let number = protocols?.first else { return [] }
    return families.map { SocketKind($0, type, number) }
  }

  /// The kind that a line names, where nil is any; nil where a number stands for different protocols.
  init?(family: CInt?, type: CInt?, number: CInt?) {
    if let family, let type {
      let kind = SocketKind(family, type, number ?? -1).canonical
      if number != nil, !kind.isWhole { return nil }
      self.init(families: [kind.family], types: [kind.type], protocols: number.map { _ in [kind.number] })
      return
    }
    let isInternet = family.map { $0 == AF_INET || $0 == AF_INET6 } ?? true
    if isInternet, number == 0 || number == SocketKind.multipath { return nil }
    self.init(families: family.map { [$0] }, types: type.map { [$0] }, protocols: number.map { [$0] })
  }

  init(families: [CInt]?, types: [CInt]?, protocols: [CInt]?) {
    self.families = families
    self.types = types
    self.protocols = protocols
  }

  /// Bound to an EtherType later.
  static let captures = SocketPattern(
    families: [SocketKind.packetFamily], types: [SocketKind.raw, Sockets.datagram], protocols: [0])

  static let types: [(name: String, number: CInt)] = [
    ("stream", Sockets.stream), ("dgram", Sockets.datagram), ("raw", SocketKind.raw),
    ("seqpacket", SocketKind.sequenced),
  ]

  static let protocols: [(name: String, number: CInt)] = [
    ("ip", 0), ("icmp", 1), ("tcp", 6), ("udp", 17), ("ipv6", 41), ("icmp6", 58), ("sctp", 132), ("raw", 255),
  ]

  /// In the words of a policy.
  static func name(_ kind: SocketKind) -> String {
    switch (kind.family, kind.type) {
    case (AF_INET, SocketKind.raw) where kind.number == 1: return "icmp"
    case (AF_INET6, SocketKind.raw) where kind.number == 58: return "icmp6"
    case (AF_INET, SocketKind.raw), (AF_INET6, SocketKind.raw): return "raw \(kind.number)"
    case (SocketKind.packetFamily, _):
      return "packet 0x" + String(UInt16(truncatingIfNeeded: kind.number).bigEndian, radix: 16)
    default:
      let type = types.first { $0.number == kind.type }?.name ?? "\(kind.type)"
      return "socket \(kind.family) \(type) \(kind.number)"
    }
  }
}
