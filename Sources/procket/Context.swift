import ErlangTerm
import Privilege
import SystemCalls

/// What a port process has done, for those who look after it.
struct Counters {
  var calls = 0
  var errors = 0
  /// Bytes of requests and of answers.
  var received = 0
  var sent = 0

  var numbers: [(name: String, Int)] {
    [("calls", calls), ("errors", errors), ("received", received), ("sent", sent)]
  }
}

/// What a port process keeps from one call to the next.
struct Context: ~Copyable {
  let role: Role
  let privileges: Privileges
  let commands: [String: Command]
  var stdin = FrameReader(.packet2, takesDescriptors: false)
  /// The connection of the node's server, once `attach` has made it, and the node's process.
  var attached: Connection
  var peer: pid_t = -1
  /// The connection of one caller at a time, and its successor, once the answer that brings the other end of that was sent.
  var direct: Connection
  var nextDirect = LateDescriptor()
  var spin = Spin()
  /// Whether the BEAM has asked for the reasons of refusals.
  var tellsReasons = false
  var counters = Counters()
  /// How many batches the call that is being served stands in.
  var batches = 0
  var memory = Memory()
  var readiness = Readiness()
  #if os(Linux)
    var capture = CaptureState()
  #endif
  /// Where the request that is being served came from, the descriptors that came along, and its answer.
  var stream = Stream.stdin
  var incoming = Descriptors()
  var answer = Answer()
  private var scratch = Scratch()

  init(_ role: Role, privileges: consuming Privileges) {
    self.role = role
    self.privileges = privileges
    commands = Commands.table(role.commands)
    attached = Connection(role)
    direct = Connection(role)
  }

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
