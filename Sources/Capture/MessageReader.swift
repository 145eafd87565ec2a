import CSystem
import SystemCalls

#if os(Linux)
  /// Reads messages from a descriptor that has no ring, many in one go: recvmmsg(2) on sockets, read(2) on devices.
  public struct MessageReader: ~Copyable {
    /// The longest message, in bytes: more than a datagram or what a TUN device gives.
    private static let room = 1 << 17
    private static let batch = 32

    private let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: room * batch, alignment: 16)
    private var lengths = [UInt32](repeating: 0, count: batch)
    private var count = 0
    private var position = 0
    private var nanoseconds: UInt64 = 0

    public init() {}

    deinit { memory.deallocate() }

    /// Whether messages are left that were read.
    public var isEmpty: Bool { position == count }

    /// Reads what is there; throws `EAGAIN` where there is nothing.
    public mutating func fill(from fd: CInt, isSocket: Bool) throws(Errno) {
      position = 0
      count = 0
      if isSocket {
        let base = memory.baseAddress
        let most = UInt32(Self.batch)
        let result = lengths.withUnsafeMutableBufferPointer { lengths in
          Result { () throws(Errno) in
            try valueOrErrno { procket_receive_batch(fd, base, Self.room, most, lengths.baseAddress) }
          }
        }
        count = Int(try result.get())
      } else {
        try readEach(fd)
      }
      var now = timespec()
      clock_gettime(CLOCK_REALTIME, &now)
      nanoseconds = UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    private mutating func readEach(_ fd: CInt) throws(Errno) {
      while count < Self.batch {
        let piece = UnsafeMutableRawBufferPointer(rebasing: memory[(count * Self.room)..<((count + 1) * Self.room)])
        do throws(Errno) {
          let length = try Files.read(fd, into: piece)
          if length == 0 { throw Errno(rawValue: ENODATA) }
          lengths[count] = UInt32(length)
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
      let start = position * Self.room
      let length = Int(lengths[position])
      position += 1
      return CapturedPacket(
        bytes: UnsafeRawBufferPointer(rebasing: memory[start..<(start + min(length, Self.room))]),
        originalLength: length, nanoseconds: nanoseconds)
    }
  }
#endif
