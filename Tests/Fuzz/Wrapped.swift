import CSystem
import SystemCalls

// The linker leads calls of the program to these functions (--wrap, scripts/fuzz). Nothing that reads input is among them.

/// How the program waits, and what it gives up for good, which would end the fuzzer too.
enum Wrapped {
  /// Who is at the other end, while the program runs.
  nonisolated(unsafe) static var node: Node?
  /// What the program takes for its capabilities.
  nonisolated(unsafe) fileprivate static var capabilities = procket_capabilities()
  /// The most that a packet socket's ring may have, in bytes: the kernel takes it from the whole machine.
  fileprivate static let longestRing = 8 << 20
}

// The program waits: now the node does something. So there is no second thread, and each input runs the same way each time.

@_silgen_name("__real_poll")
private func realPoll(_ entries: UnsafeMutablePointer<pollfd>?, _ count: nfds_t, _ timeout: CInt) -> CInt

@_cdecl("__wrap_poll")
func wrapPoll(_ entries: UnsafeMutablePointer<pollfd>?, _ count: nfds_t, _ timeout: CInt) -> CInt {
  guard let node = Wrapped.node else { return realPoll(entries, count, timeout) }
  return node.wait(timeout) { realPoll(entries, count, 0) }
}

// vmsplice(2) waits whatever the mode of the pipe is.

@_silgen_name("__real_procket_share")
private func realShare(_ fd: CInt, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int

@_cdecl("__wrap_procket_share")
func wrapShare(_ fd: CInt, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
  var entry = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
  if realPoll(&entry, 1, 0) == 0 {
    errno = EAGAIN
    return -1
  }
  return realShare(fd, bytes, count)
}

// Time passes when the node says so.

@_silgen_name("__real_clock_gettime")
private func realTime(_ clock: CInt, _ time: UnsafeMutablePointer<timespec>) -> CInt

@_cdecl("__wrap_clock_gettime")
func wrapTime(_ clock: CInt, _ time: UnsafeMutablePointer<timespec>) -> CInt {
  guard let node = Wrapped.node, clock == CLOCK_MONOTONIC else { return realTime(clock, time) }
  time.pointee = timespec(tv_sec: node.now / 1_000_000_000, tv_nsec: node.now % 1_000_000_000)
  return 0
}

// What cannot be taken back.

@_cdecl("__wrap_procket_filter_system_calls")
func wrapFilter(_ filter: UnsafePointer<sock_filter>, _ length: UInt16) -> CInt { 0 }

@_cdecl("__wrap_procket_limit")
func wrapLimit(_ files: rlim_t) -> CInt { 0 }

@_cdecl("__wrap_procket_set_capabilities")
func wrapSetCapabilities(_ sets: UnsafePointer<procket_capabilities>) -> CInt {
  Wrapped.capabilities = sets.pointee
  return 0
}

@_cdecl("__wrap_procket_get_capabilities")
func wrapGetCapabilities(_ sets: UnsafeMutablePointer<procket_capabilities>) -> CInt {
  sets.pointee = Wrapped.capabilities
  return 0
}

// What would take the machine's memory.

@_silgen_name("__real_setsockopt")
private func realSetOption(
  _ fd: CInt, _ level: CInt, _ name: CInt, _ value: UnsafeRawPointer?, _ length: socklen_t
) -> CInt

@_cdecl("__wrap_setsockopt")
func wrapSetOption(
  _ fd: CInt, _ level: CInt, _ name: CInt, _ value: UnsafeRawPointer?, _ length: socklen_t
) -> CInt {
  // SOL_PACKET; PACKET_RX_RING, PACKET_TX_RING
  if level == 263, name == 5 || name == 13, length >= 8, let value {
    let (size, count) = (value.loadUnaligned(as: UInt32.self), value.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    guard UInt64(size) * UInt64(count) <= UInt64(Wrapped.longestRing) else {
      errno = ENOMEM
      return -1
    }
  }
  return realSetOption(fd, level, name, value, length)
}
