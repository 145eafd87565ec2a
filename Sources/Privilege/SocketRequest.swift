import CSystem
import SystemCalls

/// A socket that somebody wants opened: docs/protocol.md, "Functions of an opener".
public struct SocketRequest {
  public var family: CInt
  public var type: CInt
  public var number: CInt
  public var address: [UInt8] = []
  public var port: UInt16 = 0
  public var interface = ""
  public var namespace = ""
  /// Nil: it does not listen.
  public var backlog: CInt?
  /// A program of classic BPF for a packet socket; empty where it takes all.
  public var filter: [UInt8] = []

  public init(family: CInt = 0, type: CInt = 0, protocol number: CInt = 0) {
    self.family = family
    self.type = type
    self.number = number
  }

  /// A packet socket as a capture needs it: of no protocol, so that it receives nothing before it is bound again.
  public static func capture() -> SocketRequest { SocketRequest(family: SocketKind.packetFamily) }

  var kind: SocketKind { SocketKind(family, type, number) }

  /// Throws where something is asked for that would not be done, or not as it is asked for. A backlog is a hint, and passed over for
  /// sockets that do not listen.
  func check() throws(Errno) {
    let addressed = kind.isInternet ? [0, family == AF_INET ? 4 : 16] : [0]
    guard kind.isWhole, addressed.contains(address.count), port == 0 || kind.hasPorts
    else { throw Errno(rawValue: EINVAL) }
    if interface.isEmpty { return }
    // SIOCGIFINDEX stops at a colon: eth0:1 would be eth0.
    guard kind.isInternet || kind.isPacket && type != SocketKind.oldPacket, !interface.utf8.contains(UInt8(ascii: ":"))
    else { throw Errno(rawValue: EINVAL) }
    #if os(Linux)
      guard interface.utf8.count < IFNAMSIZ else { throw Errno(rawValue: ENODEV) }
    #endif
  }

  /// Letters, digits and `. _ - : @`, or empty.
  public static func isInterface(_ name: String) -> Bool {
    name.utf8.allSatisfy { Names.isAllowed($0, besides: "._-:@") }
  }

  /// What can be the name of an interface at all, or empty: no white space, and no `/`.
  public static func isAnyInterface(_ name: String) -> Bool {
    name.utf8.allSatisfy { $0 > 32 && $0 != 127 && $0 != UInt8(ascii: "/") }
  }

  /// `SOCK_RAW`
  public static let rawType = SocketKind.raw

  /// Opens the socket, in its namespace, and binds it.
  public func open(with privileges: borrowing Privileges) throws(Errno) -> Descriptor {
    try check()
    let permission = try privileges.permit(Wanted(self))
    if permission.boundsInterface, !kind.hasFilter { throw Errno(rawValue: EOPNOTSUPP) }
    return try privileges.inside(namespace, straight: permission.isGoverned) { () throws(Errno) in
      try openHere(with: privileges, bounded: permission.boundsInterface)
    }
  }

  private func openHere(with privileges: borrowing Privileges, bounded: Bool) throws(Errno) -> Descriptor {
    // A packet socket with a protocol receives from all interfaces until it is bound.
    let (family, type, number) = (family, type, kind.isPacket && !interface.isEmpty ? 0 : number)
    let socket = try privileges.raised([.netRaw, .netAdmin]) { () throws(Errno) in
      try Sockets.socket(family: family, type: type, protocol: number)
    }
    let fd = socket.number
    let address = try socketAddress(fd)
    if kind.isInternet, !interface.isEmpty || type == Sockets.stream { try prepare(fd, with: privileges) }
    #if os(Linux)
      try setFilter(fd, bounded: bounded, with: privileges)
    #endif
    if !address.isEmpty {
      try privileges.raised(.netBindService) { () throws(Errno) in
        try address.withBytes { (bytes) throws(Errno) in try Sockets.bind(fd, to: bytes) }
      }
    }
    #if os(Linux)
      if privileges.caller.isOutranked, !interface.isEmpty, try boundInterface(fd) != interface {
        // An interface has other names beside the one that was asked for.
        throw Errno(rawValue: EINVAL)
      }
    #endif
    if let backlog, kind.listens { try Sockets.listen(fd, backlog: backlog) }
    return socket
  }

  /// What is set before the socket is bound.
  private func prepare(_ fd: CInt, with privileges: borrowing Privileges) throws(Errno) {
    if type == Sockets.stream {
      var on: CInt = 1
      try withUnsafeBytes(of: &on) { (bytes) throws(Errno) in
        try Sockets.setOption(fd, level: SOL_SOCKET, name: SO_REUSEADDR, bytes)
      }
    }
    if !interface.isEmpty {
      #if os(Linux)
        let name = Array(interface.utf8) + [0]
        try privileges.raised(.netRaw) { () throws(Errno) in
          try name.withBytes { (bytes) throws(Errno) in
            try Sockets.setOption(fd, level: SOL_SOCKET, name: SO_BINDTODEVICE, bytes)
          }
        }
      #else
        throw Errno(rawValue: ENOTSUP)
      #endif
    }
  }

  /// What the socket `fd` is bound to; empty where it is not. A raw socket has an address, and no port.
  func socketAddress(_ fd: CInt) throws(Errno) -> [UInt8] {
    switch family {
    case AF_INET where kind.hasPorts || !address.isEmpty:
      var socket = sockaddr_in()
      socket.sin_family = sa_family_t(AF_INET)
      socket.sin_port = port.bigEndian
      withUnsafeMutableBytes(of: &socket.sin_addr) { $0.copyBytes(from: address) }
      return withUnsafeBytes(of: socket) { [UInt8]($0) }
    case AF_INET6 where kind.hasPorts || !address.isEmpty:
      var socket = sockaddr_in6()
      socket.sin6_family = sa_family_t(AF_INET6)
      socket.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &socket.sin6_addr) { $0.copyBytes(from: address) }
      return withUnsafeBytes(of: socket) { [UInt8]($0) }
    default:
      #if os(Linux)
        if family == AF_PACKET, !interface.isEmpty { return try packetAddress(fd) }
      #endif
      return []
    }
  }

  #if os(Linux)
    /// Attaches the filter, and the one that locks the socket to its interface where that is `bounded`.
    private func setFilter(
      _ fd: CInt, bounded: Bool, with privileges: borrowing Privileges
    ) throws(Errno) {
      if bounded {
        if kind.isInternet, type == SocketKind.raw { try InterfaceFilter.empty(fd) }
        let index = kind.isInternet ? try Sockets.boundIndex(fd) : try Interfaces.index(of: interface, on: fd)
        // Newer kernels want CAP_NET_ADMIN for one of a TCP socket.
        try privileges.raised(.netAdmin) { () throws(Errno) in
          try InterfaceFilter.attach(filter, to: fd, only: index)
        }
        try Sockets.lockFilter(fd)
      } else if !filter.isEmpty {
        try filter.withBytes { (bytes) throws(Errno) in try Sockets.attachFilter(fd, bytes) }
      }
    }

    /// SO_BINDTODEVICE is not for packet sockets: they are bound to an interface, packet(7).
    private func packetAddress(_ fd: CInt) throws(Errno) -> [UInt8] {
      let index = try Interfaces.index(of: interface, on: fd)
      var socket = sockaddr_ll()
      socket.sll_family = UInt16(AF_PACKET)
      socket.sll_protocol = UInt16(truncatingIfNeeded: number)
      socket.sll_ifindex = index
      return withUnsafeBytes(of: socket) { [UInt8]($0) }
    }

    /// The name of the interface that the socket is bound to.
    private func boundInterface(_ fd: CInt) throws(Errno) -> String {
      if family == AF_PACKET {
        var address = sockaddr_ll()
        var length = socklen_t(MemoryLayout<sockaddr_ll>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
          getsockname(fd, UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), &length)
        }
        try valueOrErrno { result }
        return try Interfaces.name(of: address.sll_ifindex, on: fd)
      }
      let name = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(IFNAMSIZ), alignment: 1)
      defer { name.deallocate() }
      name.initializeMemory(as: UInt8.self, repeating: 0)
      _ = try Sockets.option(fd, level: SOL_SOCKET, name: SO_BINDTODEVICE, into: name)
      return String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
    }
  #endif
}
