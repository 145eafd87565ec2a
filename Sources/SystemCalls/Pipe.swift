import CSystem

/// A pipe that is written to, without a copy of the bytes where the kernel can do that: vmsplice(2).
///
/// The reader then reads the memory of this process. So what was written has to stay as it is until ``capacity`` more bytes were
/// written behind it: by then it has been read.
public struct Pipe {
  private let number: CInt
  /// How much is written and not yet read at most, in bytes; 0 where nothing is read later than it was written.
  public let capacity: Int
  private var shares: Bool

  /// Where the descriptor is another than that of a pipe, it is written to as usual. `wanted`: the capacity to ask for, in bytes; a pipe
  /// that holds more is written to as usual too.
  public init(_ number: CInt, capacity wanted: Int) {
    self.number = number
    #if os(Linux)
      _ = procket_fcntl(number, CInt(procket_set_pipe_size), CInt(clamping: wanted))
      let size = Int(procket_fcntl(number, CInt(procket_get_pipe_size), 0))
      // The holder has no more to keep than it asked for.
      shares = size > 0 && size <= wanted
      capacity = shares ? size : 0
    #else
      shares = false
      capacity = 0
    #endif
  }

  /// Whether all that was written has been read. The corresponding request is `FIONREAD`.
  public var isEmpty: Bool {
    var unread: CInt = 0
    return procket_ioctl(number, UInt(FIONREAD), &unread) == 0 && unread == 0
  }

  /// Writes all, however long it takes.
  public mutating func writeAll(_ bytes: UnsafeRawBufferPointer) throws(Errno) {
    var rest = bytes
    while shares, !rest.isEmpty {
      do {
        let count = try valueOrErrno { procket_share(number, rest.baseAddress, rest.count) }
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      } catch {
        switch error.rawValue {
        case EAGAIN: try Files.wait(for: number, CInt(POLLOUT))
        // The kernel cannot, or something forbids it.
        case ENOSYS, EPERM, EINVAL: shares = false
        default: throw error
        }
      }
    }
    try Files.writeAll(number, rest)
  }
}
