import SystemCalls

#if os(Linux)
  /// Sends messages in one go: sendmmsg(2) on sockets, write(2) on devices.
  public enum PacketSender {
    /// The most that one call sends: what the kernel does meanwhile is not read.
    private static let batch = 64

    /// Sends what it can without waiting. `sent` of them went; where that is not all, `error` says why.
    public static func send(
      _ messages: ArraySlice<UnsafeRawBufferPointer>, to fd: CInt, isSocket: Bool
    ) -> (sent: Int, error: Errno?) {
      var rest = messages
      do {
        while !rest.isEmpty {
          rest = rest.dropFirst(isSocket ? try sendBatch(rest, to: fd) : try write(rest, to: fd))
        }
        return (messages.count, nil)
      } catch {
        return (messages.count - rest.count, error)
      }
    }

    private static func sendBatch(_ messages: ArraySlice<UnsafeRawBufferPointer>, to fd: CInt) throws(Errno) -> Int {
      let nowhere = UnsafeRawBufferPointer(start: nil, count: 0)
      var datagrams = Datagrams(messages.prefix(batch).map { ($0, nowhere) })
      return try datagrams.send(fd, flags: 0)
    }

    /// A device takes a message whole or not at all.
    private static func write(_ messages: ArraySlice<UnsafeRawBufferPointer>, to fd: CInt) throws(Errno) -> Int {
      guard let message = messages.first else { return 0 }
      guard try Files.write(fd, message) == message.count else { throw Errno(rawValue: EMSGSIZE) }
      return 1
    }
  }
#endif
