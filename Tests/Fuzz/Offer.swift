import CSystem
import SystemCalls

/// The descriptors that a node has to offer, each with another end in the node. The numbers are the same in each run, and higher than those
/// that the program gets.
struct Offer {
  static let kinds = 16
  private static let first: CInt = 3000
  private static let ends: CInt = 3100
  private var isOpen = [Bool](repeating: false, count: kinds)

  /// The number of a descriptor, which is opened where it is not yet.
  mutating func number(_ kind: Int) -> CInt {
    let kind = kind % Self.kinds
    if !isOpen[kind] {
      isOpen[kind] = true
      let (there, here) = Self.make(kind)
      Self.move(there, to: Self.first + CInt(kind))
      Self.move(here, to: Self.ends + CInt(kind))
    }
    return Self.first + CInt(kind)
  }

  /// The other end.
  mutating func end(_ kind: Int) -> CInt {
    number(kind) - Self.first + Self.ends
  }

  /// The other end is closed, and is so until the run ends.
  mutating func closeEnd(_ kind: Int) { _ = close(end(kind)) }

  /// The node closes what it has offered, as a caller does while the program still has its copy.
  mutating func withdraw(_ kind: Int) { _ = close(number(kind)) }

  mutating func closeAll() {
    for kind in 0..<Self.kinds where isOpen[kind] {
      closeEnd(kind)
      withdraw(kind)
      isOpen[kind] = false
    }
  }

  private static func move(_ fd: CInt, to number: CInt) {
    guard fd >= 0 else { return }
    _ = procket_dup_to(fd, number)
    _ = close(fd)
  }

  /// -1 where this machine has no such thing.
  private static func make(_ kind: Int) -> (there: CInt, here: CInt) {
    switch kind {
    case 0: pair(Sockets.stream)
    case 1: pair(Sockets.datagram)
    case 2: pair(CInt(SOCK_SEQPACKET.rawValue))
    case 3: bound(Sockets.datagram)
    case 4: bound(Sockets.stream)
    case 5: pipe()
    case 6: swapped(pipe())
    case 7: (file("/dev/null", O_RDWR), -1)
    case 8: (socket(AF_NETLINK, CInt(SOCK_RAW.rawValue) | nonblocking, 0), -1)
    case 9: (memoryFile("fuzz", 0), -1)
    case 10: (file("/tmp", O_RDONLY | O_DIRECTORY), -1)
    case 11: (eventfd(0, O_NONBLOCK), -1)
    case 12: (socket(AF_INET6, Sockets.stream | nonblocking, 0), -1)
    case 13: packets()
    case 14: (file("/dev/net/tun", O_RDWR | O_NONBLOCK), -1)
    default: (epoll_create1(0), -1)
    }
  }

  private static func file(_ path: String, _ flags: CInt) -> CInt { procket_open(path, flags | O_CLOEXEC) }

  private static let nonblocking = CInt(SOCK_NONBLOCK.rawValue)

  private static func pair(_ type: CInt) -> (CInt, CInt) {
    var ends: [CInt] = [-1, -1]
    _ = socketpair(AF_UNIX, type | nonblocking, 0, &ends)
    return (ends[0], ends[1])
  }

  private static func pipe() -> (CInt, CInt) {
    var ends: [CInt] = [-1, -1]
    _ = systemPipe(&ends, O_NONBLOCK)
    return (ends[0], ends[1])
  }

  private static func swapped(_ ends: (CInt, CInt)) -> (CInt, CInt) { (ends.1, ends.0) }

  /// A socket of loopback, which listens where it is a stream, and one that is connected to it.
  private static func bound(_ type: CInt) -> (CInt, CInt) {
    let (there, here) = (socket(AF_INET, type | nonblocking, 0), socket(AF_INET, type | nonblocking, 0))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        _ = bind(there, name, length)
        if type == Sockets.stream { _ = listen(there, 4) }
        _ = getsockname(there, name, &length)
        _ = connect(here, name, length)
      }
    }
    return (there, here)
  }

  /// A packet socket as gen_raw opens it, and one that sends on lo.
  private static func packets() -> (CInt, CInt) {
    let type = CInt(SOCK_RAW.rawValue) | nonblocking
    let (there, here) = (socket(AF_PACKET, type, 0), socket(AF_PACKET, type, 0))
    var address = sockaddr_ll()
    address.sll_family = UInt16(AF_PACKET)
    address.sll_ifindex = 1
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        _ = bind(here, name, socklen_t(MemoryLayout<sockaddr_ll>.size))
      }
    }
    return (there, here)
  }
}

// Not imported: they stand behind _GNU_SOURCE.

@_silgen_name("memfd_create")
private func memoryFile(_ name: UnsafePointer<CChar>, _ flags: UInt32) -> CInt

@_silgen_name("eventfd")
private func eventfd(_ value: UInt32, _ flags: CInt) -> CInt

@_silgen_name("pipe2")
private func systemPipe(_ ends: UnsafeMutablePointer<CInt>, _ flags: CInt) -> CInt
