import CSystem

#if os(Linux)
  /// What the kernel says of network interfaces, in the network namespace that a socket was opened in: netdevice(7).
  public enum Interfaces {
    private static let nameLength = Int(IFNAMSIZ)
    private static let requestLength = MemoryLayout<ifreq>.size

    public enum Question: UInt64 {
      case mtu = 0x8921
      case hardware = 0x8927
      case index = 0x8933
    }

    private static let name: UInt64 = 0x8910

    /// `ENODEV` where there is no such interface.
    public static func index(of name: String, on fd: CInt) throws(Errno) -> CInt {
      try ask(.index, of: name, on: fd) { $0.loadUnaligned(as: CInt.self) }
    }

    public static func name(of index: CInt, on fd: CInt) throws(Errno) -> String {
      var request = [UInt8](repeating: 0, count: requestLength)
      request.withUnsafeMutableBytes { $0.storeBytes(of: index, toByteOffset: nameLength, as: CInt.self) }
      try call(fd, name, &request)
      return String(decoding: request.prefix(nameLength).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Fills a `struct ifreq` with a name, and reads what stands behind it afterwards.
    public static func ask<R>(
      _ question: Question, of name: String, on fd: CInt, _ read: (UnsafeRawBufferPointer) -> R
    ) throws(Errno) -> R {
      let bytes = Array(name.utf8)
      guard !bytes.isEmpty, bytes.count < nameLength, !bytes.contains(0) else { throw Errno(rawValue: ENODEV) }
      var structure = bytes + [UInt8](repeating: 0, count: requestLength - bytes.count)
      try call(fd, question.rawValue, &structure)
      return structure.withUnsafeBytes { read(UnsafeRawBufferPointer(rebasing: $0[nameLength...])) }
    }

    private static func call(_ fd: CInt, _ request: UInt64, _ structure: inout [UInt8]) throws(Errno) {
      let result = structure.withUnsafeMutableBytes { bytes in
        Result { () throws(Errno) in try Files.ioctl(fd, request: request, argument: bytes.baseAddress) }
      }
      try result.get()
    }
  }
#endif
