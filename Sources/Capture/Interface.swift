import CSystem
import SystemCalls

#if os(Linux)
  /// What is known of a network interface, asked in the network namespace that a socket was opened in: netdevice(7).
  public struct Interface {
    private static let nameLength = Int(IFNAMSIZ)
    private static let requestLength = MemoryLayout<ifreq>.size

    private enum Request {
      static let name: UInt64 = 0x8910
      static let mtu: UInt64 = 0x8921
      static let hardware: UInt64 = 0x8927
      static let index: UInt64 = 0x8933
    }

    public let name: String
    public let index: CInt
    public let mtu: Int
    /// `ARPHRD_*`: 1 is Ethernet.
    public let hardwareType: UInt16
    /// Six bytes.
    public let address: [UInt8]

    /// `ENODEV` where there is no such interface.
    public init(named name: String, on fd: CInt) throws(Errno) {
      guard !name.isEmpty, name.utf8.count < Self.nameLength, !name.utf8.contains(0) else {
        throw Errno(rawValue: ENODEV)
      }
      let request = Array(name.utf8)
      index = try Self.ask(fd, Request.index, request) { $0.loadUnaligned(as: CInt.self) }
      mtu = Int(try Self.ask(fd, Request.mtu, request) { $0.loadUnaligned(as: CInt.self) })
      let hardware = try Self.ask(fd, Request.hardware, request) { [UInt8]($0[0..<8]) }
      hardwareType = UInt16(hardware[0]) | UInt16(hardware[1]) << 8
      address = Array(hardware[2..<8])
      self.name = name
    }

    /// An interface may have been given another name.
    public init(index: CInt, on fd: CInt) throws(Errno) {
      var request = [UInt8](repeating: 0, count: Self.requestLength)
      request.withUnsafeMutableBytes { $0.storeBytes(of: index, toByteOffset: Self.nameLength, as: CInt.self) }
      try Self.call(fd, Request.name, &request)
      let name = request.prefix(Self.nameLength).prefix { $0 != 0 }
      try self.init(named: String(decoding: name, as: UTF8.self), on: fd)
    }

    /// Fills a `struct ifreq` with a name, and reads what stands behind it afterwards.
    private static func ask<R>(
      _ fd: CInt, _ request: UInt64, _ name: [UInt8], _ read: (UnsafeRawBufferPointer) -> R
    ) throws(Errno) -> R {
      var structure = name + [UInt8](repeating: 0, count: requestLength - name.count)
      try call(fd, request, &structure)
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
