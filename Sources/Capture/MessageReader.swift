import SystemCalls

#if os(Linux)
  /// Reads messages from a descriptor that has no ring, many in one go: recvmmsg(2) on sockets, read(2) on devices.
  public struct MessageReader: ~Copyable {
    /// The longest message, in bytes: more than a datagram or what a TUN device gives.
    private static let room = 1 << 17
    private static let batch = 32

    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: room * batch, alignment: 16)
    private var datagrams: Datagrams
    private var lengths = [Int](repeating: 0, count: batch)
    private var count = 0
    private var position = 0
    private var nanoseconds: UInt64 = 0

    public init() {
      datagrams = Datagrams(count: Self.batch, size: Self.room, addressRoom: 0, in: memory)
    }

    deinit { memory.deallocate() }

    /// Whether messages are left that were read.
    public var isEmpty: Bool { position == count }

    /// Reads what is there; throws `EAGAIN` where there is nothing, and `ENODATA` where nothing more can come.
    public mutating func fill(from fd: CInt, isSocket: Bool) throws(Errno) {
      position = 0
      count = 0
      if isSocket {
        count = try datagrams.receive(fd, flags: CInt(MSG_TRUNC))
        for index in 0..<count { lengths[index] = datagrams.length(index) }
        if count > 0, lengths[count - 1] == 0, try Sockets.isEnded(fd) {
          // Behind the last message each read is empty, and looks like an empty message.
          while count > 0, lengths[count - 1] == 0 { count -= 1 }
          if count == 0 { throw Errno(rawValue: ENODATA) }
        }
      } else {
        try readEach(fd)
      }
      var now = timespec()
      clock_gettime(CLOCK_REALTIME, &now)
      nanoseconds = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    private mutating func readEach(_ fd: CInt) throws(Errno) {
      while count < Self.batch {
        do throws(Errno) {
          let length = try Files.read(fd, into: datagrams.data(count))
          if length == 0 { throw Errno(rawValue: ENODATA) }
          lengths[count] = length
          count += 1
        } catch {
          // What was read before it comes first.
          if count > 0 { return }
          throw error
        }
      }
    }

    /// The next message that was read. It stays until the next ``fill(from:isSocket:)``.
    public mutating func next() -> CapturedPacket? {
      guard position < count else { return nil }
      let piece = datagrams.data(position)
      let length = lengths[position]
      position += 1
      return CapturedPacket(
        bytes: UnsafeRawBufferPointer(rebasing: piece[0..<min(length, piece.count)]), originalLength: length,
        nanoseconds: nanoseconds)
    }
  }
#endif
