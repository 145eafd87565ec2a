import CSystem

/// The calls on sockets. A socket address is a native `struct sockaddr`, as bytes.
public enum Sockets {
  /// The longest address, in bytes: that of `struct sockaddr_storage`.
  public static let longestAddress = MemoryLayout<sockaddr_storage>.size

  #if os(Linux)
    public static let stream = CInt(SOCK_STREAM.rawValue)
    public static let datagram = CInt(SOCK_DGRAM.rawValue)
  #else
    public static let stream = SOCK_STREAM
    public static let datagram = SOCK_DGRAM
  #endif

  /// A non-blocking, close-on-exec socket. The corresponding C function is `socket`.
  public static func socket(family: CInt, type: CInt, protocol number: CInt) throws(Errno) -> Descriptor {
    #if os(Linux)
      let flags = CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
      return Descriptor(owning: try valueOrErrno { systemSocket(family, type | flags, number) })
    #else
      let descriptor = Descriptor(owning: try valueOrErrno { systemSocket(family, type, number) })
      try prepare(descriptor.number)
      return descriptor
    #endif
  }

  #if os(Linux)
    /// What ``pair(_:)`` makes.
    public static let pairType = stream | CInt(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
  #endif

  /// Connects two non-blocking, close-on-exec Unix sockets: one end is opened in `here`, the other returned.
  /// The corresponding C function is `socketpair`.
  public static func pair(_ here: inout LateDescriptor) throws(Errno) -> Descriptor {
    var ends: [CInt] = [-1, -1]
    #if os(Linux)
      try valueOrErrno { socketpair(AF_UNIX, pairType, 0, &ends) }
    #else
      try valueOrErrno { socketpair(AF_UNIX, stream, 0, &ends) }
    #endif
    here.open(Descriptor(owning: ends[0]))
    let there = Descriptor(owning: ends[1])
    #if !os(Linux)
      try prepare(ends[0])
      try prepare(ends[1])
    #endif
    return there
  }

  /// The corresponding C function is `bind`.
  public static func bind(_ fd: CInt, to address: UnsafeRawBufferPointer) throws(Errno) {
    try withAddress(address) { (pointer, length) throws(Errno) in try valueOrErrno { systemBind(fd, pointer, length) } }
  }

  /// Starts a connection and does not wait for it; no bytes are a NULL address. The corresponding C function is `connect`.
  public static func connect(_ fd: CInt, to address: UnsafeRawBufferPointer) throws(Errno) {
    try Files.withoutBlocking(fd) { () throws(Errno) in
      try withAddress(address) { (pointer, length) throws(Errno) in
        try valueOrErrno { systemConnect(fd, pointer, length) }
      }
    }
  }

  /// A socket connected to the Unix socket at a path, of fewer bytes than `sun_path` has.
  public static func connect(toPath path: some Collection<UInt8>, type: CInt = stream) throws(Errno) -> Descriptor {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { throw Errno(rawValue: ENAMETOOLONG) }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
    let descriptor = try socket(family: AF_UNIX, type: type, protocol: 0)
    let number = descriptor.number
    try withUnsafeBytes(of: &address) { (bytes) throws(Errno) in try connect(number, to: bytes) }
    return descriptor
  }

  /// The corresponding C function is `listen`.
  public static func listen(_ fd: CInt, backlog: CInt) throws(Errno) {
    try valueOrErrno { systemListen(fd, backlog) }
  }

  /// A non-blocking, close-on-exec connection. The corresponding C function is `accept`.
  public static func accept(_ fd: CInt, address: inout AddressBuffer) throws(Errno) -> Descriptor {
    try Files.withoutBlocking(fd) { () throws(Errno) in
      try address.receive { (pointer, length) throws(Errno) in
        Descriptor(owning: try valueOrErrno { procket_accept(fd, pointer, length) })
      }
    }
  }

  /// The corresponding C function is `getsockname`.
  public static func name(of fd: CInt, into address: inout AddressBuffer) throws(Errno) {
    try address.receive(always: true) { (pointer, length) throws(Errno) in
      try valueOrErrno { getsockname(fd, pointer, length) }
    }
  }

  /// Receives without waiting. The corresponding C function is `recvfrom`.
  public static func receive(
    _ fd: CInt, into buffer: UnsafeMutableRawBufferPointer, flags: CInt, address: inout AddressBuffer
  ) throws(Errno) -> Int {
    try address.receive { (pointer, length) throws(Errno) in
      try valueOrErrno { recvfrom(fd, buffer.baseAddress, buffer.count, flags | CInt(MSG_DONTWAIT), pointer, length) }
    }
  }

  /// Sends without waiting; no address where the socket is connected. The corresponding C function is `sendto`.
  public static func send(
    _ fd: CInt, _ bytes: UnsafeRawBufferPointer, flags: CInt, to address: UnsafeRawBufferPointer
  ) throws(Errno) -> Int {
    try withAddress(address) { (pointer, length) throws(Errno) in
      try valueOrErrno { sendto(fd, bytes.baseAddress, bytes.count, flags | sendFlags, pointer, length) }
    }
  }

  /// The corresponding C function is `setsockopt`.
  public static func setOption(_ fd: CInt, level: CInt, name: CInt, _ value: UnsafeRawBufferPointer) throws(Errno) {
    try valueOrErrno { setsockopt(fd, level, name, value.baseAddress, socklen_t(value.count)) }
  }

  /// Fetches an option's value; its length. The corresponding C function is `getsockopt`.
  public static func option(
    _ fd: CInt, level: CInt, name: CInt, into value: UnsafeMutableRawBufferPointer
  ) throws(Errno) -> Int {
    var length = socklen_t(value.count)
    try valueOrErrno { getsockopt(fd, level, name, value.baseAddress, &length) }
    return min(Int(length), value.count)
  }

  /// Never waits, and never raises SIGPIPE.
  static var sendFlags: CInt {
    #if os(Linux)
      return CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL)
    #else
      return CInt(MSG_DONTWAIT)
    #endif
  }

  @discardableResult
  static func withAddress<R>(
    _ address: UnsafeRawBufferPointer, _ call: (UnsafePointer<sockaddr>?, socklen_t) throws(Errno) -> R
  ) throws(Errno) -> R {
    guard address.count <= longestAddress else { throw Errno(rawValue: EINVAL) }
    if address.isEmpty { return try call(nil, 0) }
    // Aligned as the structure is.
    var storage = sockaddr_storage()
    withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: address) }
    let copy = storage
    var result: Result<R, Errno> = .failure(Errno(rawValue: EINVAL))
    withUnsafePointer(to: copy) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { rebound in
        do throws(Errno) {
          result = .success(try call(rebound, socklen_t(address.count)))
        } catch {
          result = .failure(error)
        }
      }
    }
    return try result.get()
  }

  #if !os(Linux)
    private static func prepare(_ fd: CInt) throws(Errno) {
      try valueOrErrno { procket_fcntl(fd, F_SETFD, FD_CLOEXEC) }
      try Files.setNonblocking(fd, true)
    }
  #endif
}

/// Room for an address that the kernel writes, of the size that the caller asked for.
public struct AddressBuffer: ~Copyable {
  private var storage = sockaddr_storage()
  private let room: Int
  private var needed = 0

  public init(room: Int) { self.room = max(0, min(room, Sockets.longestAddress)) }

  /// Without room no address is asked for, unless it is `always`.
  @discardableResult
  mutating func receive<R: ~Copyable>(
    always: Bool = false, _ call: (UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) throws(Errno) -> R
  ) throws(Errno) -> R {
    if room == 0, !always { return try call(nil, nil) }
    var length = socklen_t(room)
    defer { needed = min(Int(length), Sockets.longestAddress) }
    return try withUnsafeMutablePointer(to: &storage) { (pointer) throws(Errno) -> R in
      try call(UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), &length)
    }
  }

  mutating func withRoom(_ body: (UnsafeMutableRawPointer?, Int) -> Int) {
    needed = min(
      withUnsafeMutableBytes(of: &storage) { body(room == 0 ? nil : $0.baseAddress, room) }, Sockets.longestAddress)
  }

  /// The address, as long as the kernel needed: what did not fit is zeroes.
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    withUnsafeBytes(of: storage) { body(UnsafeRawBufferPointer(rebasing: $0[0..<needed])) }
  }
}

private func systemSocket(_ family: CInt, _ type: CInt, _ number: CInt) -> CInt { socket(family, type, number) }

private func systemBind(_ fd: CInt, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> CInt {
  bind(fd, address, length)
}

private func systemConnect(_ fd: CInt, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> CInt {
  connect(fd, address, length)
}

private func systemListen(_ fd: CInt, _ backlog: CInt) -> CInt { listen(fd, backlog) }
