import CSystem
import SystemCalls

/// A socket that somebody wants opened: docs/protocol.md, "Functions of an opener".
public struct SocketRequest {
  public var family: CInt
  public var type: CInt
  public var number: CInt
  public var address: [UInt8]
  public var port: UInt16
  public var interface: String
  public var namespace: String
  public var backlog: CInt?

  public init(
    family: CInt, type: CInt, protocol number: CInt, address: [UInt8], port: UInt16, interface: String,
    namespace: String, backlog: CInt?
  ) {
    self.family = family
    self.type = type
    self.number = number
    self.address = address
    self.port = port
    self.interface = interface
    self.namespace = namespace
    self.backlog = backlog
  }

  /// Letters, digits and `. _ - : @`, or empty.
  public static func isInterface(_ name: String) -> Bool {
    name.utf8.allSatisfy { Names.isAllowed($0, besides: "._-:@") }
  }

  /// Opens the socket, in its namespace, and binds it.
  public func open(with privileges: borrowing Privileges) throws(Errno) -> Descriptor {
    let isGoverned = try privileges.permit(Wanted(self))
    return try privileges.inside(namespace, straight: isGoverned) { () throws(Errno) in
      try openHere(with: privileges)
    }
  }

  private func openHere(with privileges: borrowing Privileges) throws(Errno) -> Descriptor {
    let (family, type, number) = (family, type, number)
    let address = try socketAddress()
    let socket = try privileges.raised([.netRaw, .netAdmin]) { () throws(Errno) in
      try Sockets.socket(family: family, type: type, protocol: number)
    }
    let fd = socket.number
    if isInternet, !interface.isEmpty || type == Sockets.stream { try prepare(fd, with: privileges) }
    if !address.isEmpty {
      try privileges.raised(.netBindService) { () throws(Errno) in
        try address.withBytes { (bytes) throws(Errno) in try Sockets.bind(fd, to: bytes) }
      }
    }
    if let backlog, type == Sockets.stream, isInternet { try Sockets.listen(fd, backlog: backlog) }
    return socket
  }

  private var isInternet: Bool { family == AF_INET || family == AF_INET6 }

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
        guard interface.utf8.count < IFNAMSIZ else { throw Errno(rawValue: ENODEV) }
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

  /// What the socket is bound to; empty where it is not. A raw socket has an address, and no port.
  func socketAddress() throws(Errno) -> [UInt8] {
    let hasPort = type == Sockets.stream || type == Sockets.datagram
    let binds = isInternet && (hasPort || type == Wanted.raw && !address.isEmpty)
    let port = hasPort ? port : 0
    switch family {
    case AF_INET where binds:
      guard address.isEmpty || address.count == 4 else { throw Errno(rawValue: EINVAL) }
      var socket = sockaddr_in()
      socket.sin_family = sa_family_t(AF_INET)
      socket.sin_port = port.bigEndian
      withUnsafeMutableBytes(of: &socket.sin_addr) { $0.copyBytes(from: address) }
      return withUnsafeBytes(of: socket) { [UInt8]($0) }
    case AF_INET6 where binds:
      guard address.isEmpty || address.count == 16 else { throw Errno(rawValue: EINVAL) }
      var socket = sockaddr_in6()
      socket.sin6_family = sa_family_t(AF_INET6)
      socket.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &socket.sin6_addr) { $0.copyBytes(from: address) }
      return withUnsafeBytes(of: socket) { [UInt8]($0) }
    default:
      #if os(Linux)
        if family == AF_PACKET, !interface.isEmpty { return try packetAddress() }
      #endif
      guard address.isEmpty || isInternet else { throw Errno(rawValue: EINVAL) }
      return []
    }
  }

  #if os(Linux)
    /// SO_BINDTODEVICE is not for packet sockets: they are bound to an interface, packet(7).
    private func packetAddress() throws(Errno) -> [UInt8] {
      let index = if_nametoindex(interface)
      guard index != 0 else { throw Errno(rawValue: ENODEV) }
      var socket = sockaddr_ll()
      socket.sll_family = UInt16(AF_PACKET)
      socket.sll_protocol = UInt16(truncatingIfNeeded: number)
      socket.sll_ifindex = CInt(bitPattern: index)
      return withUnsafeBytes(of: socket) { [UInt8]($0) }
    }
  #endif
}
