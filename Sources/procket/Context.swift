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
  /// The Unix socket to the BEAM, once it is connected, and the BEAM's process.
  var channel = LateDescriptor()
  var peer: pid_t = -1
  var lane: Lane
  var spin = Spin()
  /// Whether the BEAM has asked for the reasons of refusals.
  var tellsReasons = false
  var counters = Counters()
  /// How many batches the call that is being served stands in.
  var batches = 0
  var memory = Memory()
  var readiness = Readiness()
  /// The answer to the request that is being served.
  var answer = Answer()
  private var scratch = Scratch()

  init(_ role: Role, privileges: consuming Privileges) {
    self.role = role
    self.privileges = privileges
    commands = Commands.table(role.commands)
    lane = Lane(rights: role.rights, longest: role.longestRequest)
  }

  /// Sends the answer on the lane, and with it the descriptors that it brings.
  mutating func sendOnLane(_ outgoing: consuming Descriptors) {
    lane.append(outgoing)
    answer.withFrame { lane.send($0) }
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
