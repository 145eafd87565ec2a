import SystemCalls

#if os(Linux)
  /// A program of classic BPF for a socket that a policy allows on one interface: nothing that came on another one is received,
  /// whatever its holder binds it to.
  enum InterfaceFilter {
    /// `program` is asked about what comes on the interface; an empty one accepts all.
    static func attach(_ program: [UInt8], to fd: CInt, only index: CInt) throws(Errno) {
      try (check(index) + (program.isEmpty ? finish(UInt32.max) : program)).withBytes { (bytes) throws(Errno) in
        try Sockets.attachFilter(fd, bytes)
      }
    }

    /// Throws away what a raw socket has received since it was opened: at first it is bound to no interface.
    static func empty(_ fd: CInt) throws(Errno) {
      try finish(0).withBytes { (bytes) throws(Errno) in try Sockets.attachFilter(fd, bytes) }
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
      defer { room.deallocate() }
      while true {
        do { _ = try Files.read(fd, into: room) } catch {
          guard error.rawValue != EAGAIN else { return }
          throw error
        }
      }
    }

    /// Passes on to what follows, with the accumulator as it is at the beginning of a program. The kernel ends it by itself, with 0, for
    /// what came on no interface.
    private static func check(_ index: CInt) -> [UInt8] {
      instruction(0x20, interfaceIndex) + instruction(0x15, UInt32(bitPattern: index), ifTrue: 1) + finish(0)
        + instruction(0x00, 0)
    }

    /// `SKF_AD_OFF + SKF_AD_IFINDEX` of linux/filter.h
    private static let interfaceIndex: UInt32 = 0xffff_f008

    /// Of linux/bpf_common.h: `BPF_RET | BPF_K`
    private static func finish(_ length: UInt32) -> [UInt8] { instruction(0x06, length) }

    /// A `struct sock_filter`.
    private static func instruction(_ code: UInt16, _ value: UInt32, ifTrue: UInt8 = 0) -> [UInt8] {
      withUnsafeBytes(of: code) { [UInt8]($0) } + [ifTrue, 0] + withUnsafeBytes(of: value) { [UInt8]($0) }
    }
  }
#endif
