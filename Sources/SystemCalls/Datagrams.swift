import CSystem

/// Datagrams that are received or sent with one call.
///
/// It points to memory of its caller's, which has to stay for as long as this is used.
public struct Datagrams: ~Copyable {
  /// The most at once.
  public static let most = Int(procket_most_messages)

  private var messages: [procket_message]
  private let addresses: UnsafeMutableBufferPointer<sockaddr_storage>

  /// Room for `count` datagrams of `size` bytes each, in `memory`, and for their addresses.
  public init(count: Int, size: Int, addressRoom: Int, in memory: UnsafeMutableRawBufferPointer) {
    let room = max(0, min(addressRoom, Sockets.longestAddress))
    addresses = .allocate(capacity: room == 0 ? 0 : count)
    addresses.initialize(repeating: sockaddr_storage())
    messages = []
    messages.reserveCapacity(count)
    for index in 0..<count {
      let address = addresses.baseAddress.map { UnsafeMutableRawPointer($0 + index) }
      messages.append(
        procket_message(
          data: iovec(iov_base: memory.baseAddress.map { $0 + index * size }, iov_len: size),
          address: room == 0 ? nil : address, address_length: socklen_t(room), count: 0))
    }
  }

  /// Each goes to its address, or with an empty one to where the socket is connected.
  public init(_ datagrams: [(data: UnsafeRawBufferPointer, address: UnsafeRawBufferPointer)]) {
    addresses = .allocate(capacity: 0)
    messages = datagrams.map { datagram in
      procket_message(
        data: iovec(
          iov_base: UnsafeMutableRawPointer(mutating: datagram.data.baseAddress), iov_len: datagram.data.count),
        address: datagram.address.isEmpty ? nil : UnsafeMutableRawPointer(mutating: datagram.address.baseAddress),
        address_length: socklen_t(datagram.address.count), count: 0)
    }
  }

  deinit { addresses.deallocate() }

  /// Receives without waiting; how many came. The corresponding C function is `recvmmsg`.
  public mutating func receive(_ fd: CInt, flags: CInt) throws(Errno) -> Int {
    try transfer(fd, flags | CInt(MSG_DONTWAIT), receives: true)
  }

  /// Sends without waiting; how many were sent. The corresponding C function is `sendmmsg`.
  public mutating func send(_ fd: CInt, flags: CInt) throws(Errno) -> Int {
    try transfer(fd, flags | Sockets.sendFlags, receives: false)
  }

  private mutating func transfer(_ fd: CInt, _ flags: CInt, receives: Bool) throws(Errno) -> Int {
    try messages.withUnsafeMutableBufferPointer { (messages) throws(Errno) in
      let (base, count) = (messages.baseAddress, messages.count)
      return Int(try valueOrErrno { procket_many(fd, base, count, flags, receives ? 1 : 0) })
    }
  }

  /// The memory of one of them, and how long what was received is: more than its room with `MSG_TRUNC`.
  public func data(_ index: Int) -> UnsafeMutableRawBufferPointer {
    let vector = messages[index].data
    return UnsafeMutableRawBufferPointer(start: vector.iov_base, count: vector.iov_len)
  }

  public func length(_ index: Int) -> Int { messages[index].count }

  /// Where one of them came from, as long as the kernel needed: what did not fit is zeroes.
  public func address(_ index: Int) -> UnsafeRawBufferPointer {
    let message = messages[index]
    let length = message.address == nil ? 0 : min(Int(message.address_length), Sockets.longestAddress)
    return UnsafeRawBufferPointer(start: message.address, count: length)
  }
}
