import SystemCalls

#if os(Linux)
  /// What is known of a network interface, asked in the network namespace that a socket was opened in.
  public struct Interface {
    public let name: String
    public let index: CInt
    public let mtu: Int
    /// `ARPHRD_*`: 1 is Ethernet.
    public let hardwareType: UInt16
    /// Six bytes.
    public let address: [UInt8]

    /// `ENODEV` where there is no such interface.
    public init(named name: String, on fd: CInt) throws(Errno) {
      index = try Interfaces.index(of: name, on: fd)
      mtu = Int(try Interfaces.ask(.mtu, of: name, on: fd) { $0.loadUnaligned(as: CInt.self) })
      let hardware = try Interfaces.ask(.hardware, of: name, on: fd) { [UInt8]($0[0..<8]) }
      hardwareType = UInt16(hardware[0]) | UInt16(hardware[1]) << 8
      address = Array(hardware[2..<8])
      self.name = name
    }

    /// An interface may have been given another name.
    public init(index: CInt, on fd: CInt) throws(Errno) {
      try self.init(named: try Interfaces.name(of: index, on: fd), on: fd)
    }
  }
#endif
