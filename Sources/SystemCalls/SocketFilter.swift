import CSystem

#if os(Linux)
  /// Programs of classic BPF that decide what a socket receives: socket(7).
  extension Sockets {
    /// Lets only through what a program accepts. The corresponding option is `SO_ATTACH_FILTER`.
    public static func attachFilter(_ fd: CInt, _ program: UnsafeRawBufferPointer) throws(Errno) {
      let size = procket_filter_instruction
      guard program.count % size == 0, let count = UInt16(exactly: program.count / size) else {
        throw Errno(rawValue: EINVAL)
      }
      try valueOrErrno { procket_attach_filter(fd, program.baseAddress, count) }
    }

    /// From here on the program stays, whoever holds the socket. The corresponding option is `SO_LOCK_FILTER`.
    public static func lockFilter(_ fd: CInt) throws(Errno) {
      var on: CInt = 1
      try withUnsafeBytes(of: &on) { (bytes) throws(Errno) in
        try setOption(fd, level: SOL_SOCKET, name: CInt(procket_lock_filter), bytes)
      }
    }

    /// The index of the interface that a socket of inet or inet6 is bound to, or 0. The corresponding option is `SO_BINDTOIFINDEX`.
    public static func boundIndex(_ fd: CInt) throws(Errno) -> CInt {
      var index: CInt = 0
      _ = try withUnsafeMutableBytes(of: &index) { (bytes) throws(Errno) in
        try option(fd, level: SOL_SOCKET, name: CInt(procket_bind_to_index), into: bytes)
      }
      return index
    }
  }
#endif
