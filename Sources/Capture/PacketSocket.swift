import CSystem
import SystemCalls

#if os(Linux)
  /// What is set and asked on a packet socket: packet(7).
  public enum PacketSocket {
    private static let addMembership: CInt = 1
    private static let promiscuousMembership: UInt16 = 1
    private static let level: CInt = 263

    static func setOption<Value: BitwiseCopyable>(_ fd: CInt, _ name: CInt, _ value: Value) throws(Errno) {
      var value = value
      try withUnsafeBytes(of: &value) { (bytes) throws(Errno) in
        try Sockets.setOption(fd, level: level, name: name, bytes)
      }
    }

    static func setOption(_ fd: CInt, _ name: CInt, _ words: [UInt32]) throws(Errno) {
      try words.withUnsafeBytes { [UInt8]($0) }.withBytes { (bytes) throws(Errno) in
        try Sockets.setOption(fd, level: level, name: name, bytes)
      }
    }

    /// Receives, from now on, packets of an EtherType from an interface, or from all where `index` is 0.
    public static func bind(_ fd: CInt, index: CInt, etherType: UInt16) throws(Errno) {
      var address = sockaddr_ll()
      address.sll_family = UInt16(AF_PACKET)
      address.sll_protocol = etherType.bigEndian
      address.sll_ifindex = index
      try withUnsafeBytes(of: &address) { (bytes) throws(Errno) in try Sockets.bind(fd, to: bytes) }
    }

    /// The interface that the socket is bound to: 0 for all, -1 where it has been removed.
    public static func boundIndex(_ fd: CInt) -> CInt {
      var address = AddressBuffer(room: MemoryLayout<sockaddr_ll>.size)
      do { try Sockets.name(of: fd, into: &address) } catch { return -1 }
      return address.withBytes { bytes in
        bytes.count >= 8 ? bytes.loadUnaligned(fromByteOffset: 4, as: CInt.self) : -1
      }
    }

    /// Receives what is for others too.
    public static func becomePromiscuous(_ fd: CInt, index: CInt) throws(Errno) {
      // struct packet_mreq
      let request: [UInt32] = [UInt32(bitPattern: index), UInt32(promiscuousMembership), 0, 0]
      try setOption(fd, addMembership, request)
    }

    /// What the kernel has counted since it was asked before: packets that passed the filter, and those among them that it dropped.
    public static func takeStatistics(_ fd: CInt) throws(Errno) -> (packets: Int, drops: Int) {
      // struct tpacket_stats_v3
      var counters: (UInt32, UInt32, UInt32) = (0, 0, 0)
      _ = try withUnsafeMutableBytes(of: &counters) { (bytes) throws(Errno) in
        try Sockets.option(fd, level: level, name: CInt(procket_packet_statistics), into: bytes)
      }
      return (Int(counters.0), Int(counters.1))
    }
  }

  extension Sockets {
    /// Whether nothing more can be sent to a socket: its peer has closed, or it was shut down for reading. The corresponding event is
    /// `POLLRDHUP`.
    static func isEnded(_ fd: CInt) throws(Errno) -> Bool {
      let hangUp = Int16(EPOLLRDHUP.rawValue)
      var entry = pollfd(fd: fd, events: hangUp, revents: 0)
      try valueOrErrno { poll(&entry, 1, 0) }
      return entry.revents & hangUp != 0
    }

    /// The error that waits on a socket, which is then gone; nil where there is none. The corresponding option is `SO_ERROR`.
    public static func takeError(_ fd: CInt) -> Errno? {
      var number: CInt = 0
      do {
        _ = try withUnsafeMutableBytes(of: &number) { (bytes) throws(Errno) in
          try option(fd, level: SOL_SOCKET, name: SO_ERROR, into: bytes)
        }
      } catch {
        return error
      }
      return number == 0 ? nil : Errno(rawValue: number)
    }
  }
#endif
