import CSystem

/// Descriptors that are waited for together: poll(2).
public struct PollSet: ~Copyable {
  private let entries: UnsafeMutableBufferPointer<pollfd>

  public init(count: Int) {
    entries = .allocate(capacity: count)
    entries.initialize(repeating: pollfd(fd: -1, events: 0, revents: 0))
  }

  deinit { entries.deallocate() }

  /// Waits for `events` of a descriptor; -1 is none.
  public mutating func set(_ index: Int, _ fd: CInt, _ events: CInt) {
    entries[index] = pollfd(fd: fd, events: Int16(truncatingIfNeeded: events), revents: 0)
  }

  /// Forgets what the last poll found.
  public mutating func clear() {
    for index in entries.indices { entries[index].revents = 0 }
  }

  /// Whether the last poll found something there.
  public subscript(index: Int) -> Bool { entries[index].revents != 0 }

  /// Whether it found any of these events.
  public subscript(index: Int, events: CInt) -> Bool { CInt(entries[index].revents) & events != 0 }

  /// Waits for so many milliseconds, -1 is for ever; whether anything has come. The corresponding C function is `poll`.
  public mutating func poll(timeout: CInt) throws(Errno) -> Bool {
    let (base, count) = (entries.baseAddress, nfds_t(entries.count))
    return try valueOrErrno { systemPoll(base, count, timeout) } > 0
  }
}

private func systemPoll(_ entries: UnsafeMutablePointer<pollfd>?, _ count: nfds_t, _ timeout: CInt) -> CInt {
  poll(entries, count, timeout)
}
