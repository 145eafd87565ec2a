import CSystem
import SystemCalls

#if os(Linux)
  /// Sends messages in one go: sendmmsg(2) on sockets, write(2) on devices.
  public struct PacketSender: ~Copyable {
    private var vectors = [iovec](repeating: iovec(), count: procket_batch)

    public init() {}

    /// Sends what it can without waiting. `sent` of them went; where that is not all, `error` says why.
    public mutating func send(
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

    private mutating func sendBatch(_ messages: ArraySlice<UnsafeRawBufferPointer>, to fd: CInt) throws(Errno) -> Int {
      var count = 0
      for message in messages.prefix(vectors.count) {
        vectors[count] = iovec(
          iov_base: UnsafeMutableRawPointer(mutating: message.baseAddress), iov_len: message.count)
        count += 1
      }
      return Int(try valueOrErrno { procket_send_batch(fd, vectors, UInt32(count)) })
    }

    /// A device takes a message whole or not at all.
    private func write(_ messages: ArraySlice<UnsafeRawBufferPointer>, to fd: CInt) throws(Errno) -> Int {
      guard let message = messages.first else { return 0 }
      guard try Files.write(fd, message) == message.count else { throw Errno(rawValue: EMSGSIZE) }
      return 1
    }
  }
#endif
