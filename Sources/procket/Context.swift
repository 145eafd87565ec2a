import Privilege
import SystemCalls

/// What a port process keeps from one call to the next.
struct Context: ~Copyable {
  let privileges: Privileges
  /// The Unix socket to the BEAM, once it is connected, and the BEAM's process.
  var channel = LateDescriptor()
  var peer: pid_t = -1
  var memory = Memory()
  var readiness = Readiness()
  /// The answer to the request that is being served.
  var answer = Answer()
  private var scratch = Scratch()

  init(privileges: consuming Privileges) { self.privileges = privileges }

  /// Memory for the time of one call; its contents are undefined.
  mutating func buffer(of size: Int) -> UnsafeMutableRawBufferPointer { scratch.room(size) }

  /// A buffer that stays, unless it was a large one.
  private struct Scratch: ~Copyable {
    private static let kept = 1 << 17
    private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.kept, alignment: 16)

    deinit { memory.deallocate() }

    mutating func room(_ size: Int) -> UnsafeMutableRawBufferPointer {
      let wanted = max(size, Self.kept)
      if wanted > memory.count || memory.count > Self.kept && wanted == Self.kept {
        memory.deallocate()
        memory = .allocate(byteCount: wanted, alignment: 16)
      }
      return UnsafeMutableRawBufferPointer(rebasing: memory[0..<size])
    }
  }
}
