import ErlangTerm
import Privilege
import SystemCalls

/// Serves requests until stdin ends: docs/protocol.md.
struct Server: ~Copyable {
  private static let input: CInt = 0
  private static let output: CInt = 1
  /// How often it is looked whether descriptors that are watched have been closed, in milliseconds.
  private static let closedInterval: CInt = 250
  private static let closedNanoseconds = Int64(closedInterval) * 1_000_000

  /// How often the lane is looked at for each look at all of the streams.
  private static let laneFirst = 8
  /// After so many requests of the lane in a row all streams are looked at: one caller does not starve the others.
  private static let laneInRow = 32

  /// Where an answer goes: to where the request came from.
  private enum Way { case output, lane }

  /// What came along with the first part of a request.
  private final class Came {
    var descriptors: Descriptors
    init(_ descriptors: consuming Descriptors) { self.descriptors = descriptors }
  }

  private let role: Role
  private var context: Context
  private var stdin: Intake
  private var channel: Intake
  private var parts = PartAssembler<Came>()
  private var scratch = TermWriter()
  private var ready = PollSet(count: 4)
  private var inRow = 0
  private var lookedAt = Clock.monotonic()

  init(_ role: Role, privileges: consuming Privileges) {
    self.role = role
    context = Context(role, privileges: privileges)
    stdin = Intake(.packet2, rights: .refused)
    channel = Intake(.packet2, rights: role.rights)
  }

  /// Returns when stdin or the channel ends, and when an opener has no longer the rights for its policy; throws where stdout or the channel fails.
  mutating func run() throws(Errno) {
    while !context.privileges.isOutdated {
      _ = try wait()
      if ready[3] { try tellReady() }
      if context.readiness.number >= 0, Clock.monotonic() - lookedAt > Self.closedNanoseconds { try tellClosed() }
      if ready[0] { _ = try readLane() }
      if ready[1], try readChannel() == false { return }
      if ready[2], try readInput() == false { return }
    }
  }

  /// Polls for a while, then sleeps; whether something has come.
  private mutating func wait() throws(Errno) -> Bool {
    if let deadline = context.spin.deadline(), try poll(until: deadline) { return true }
    let watching = context.readiness.number >= 0
    let came = try look(timeout: watching ? Self.closedInterval : -1)
    context.spin.slept()
    return came
  }

  private mutating func poll(until deadline: Int64) throws(Errno) -> Bool {
    repeat {
      // A request is read off the lane for less than it costs to ask whether one is there.
      for _ in 0..<Self.laneFirst where try readLane() {
        context.spin.hit()
        inRow += 1
        guard inRow.isMultiple(of: Self.laneInRow) else {
          ready.clear()
          return true
        }
        _ = try look(timeout: 0)
        return true
      }
      if try look(timeout: 0) {
        context.spin.hit()
        return true
      }
      Processors.yield()
    } while Clock.monotonic() < deadline
    return false
  }

  private mutating func look(timeout: CInt) throws(Errno) -> Bool {
    ready.set(0, context.lane.number, context.lane.events)
    ready.set(1, role.readsChannel ? context.channel.number : -1, CInt(POLLIN))
    ready.set(2, Self.input, CInt(POLLIN))
    ready.set(3, context.readiness.number, CInt(POLLIN))
    return try ready.poll(timeout: timeout)
  }

  private mutating func readInput() throws(Errno) -> Bool {
    if try stdin.read(from: Self.input) == false { return false }
    while let frame = Self.next(&stdin) { try receive(frame, stdin.takeDescriptors(of: frame), .output) }
    return true
  }

  private mutating func readChannel() throws(Errno) -> Bool {
    if try channel.read(from: context.channel.number) == false { return false }
    while let frame = Self.next(&channel) { try receive(frame, channel.takeDescriptors(of: frame), .output) }
    return true
  }

  /// Whether there was a request.
  private mutating func readLane() throws(Errno) -> Bool {
    var served = false
    try context.lane.ready()
    while let frame = context.lane.next() {
      served = true
      try receive(frame, context.lane.takeDescriptors(of: frame), .lane)
    }
    return served
  }

  /// A frame of `{packet,2}` cannot be too long.
  private static func next(_ intake: inout Intake) -> Intake.Frame? {
    (try? intake.next()) ?? nil
  }

  private mutating func receive(
    _ frame: Intake.Frame, _ descriptors: consuming Descriptors, _ way: Way
  ) throws(Errno) {
    context.counters.received += frame.bytes.count
    try serve(frame, descriptors, way)
  }

  /// Answers one frame, or takes it for a part of a longer one.
  private mutating func serve(
    _ frame: Intake.Frame, _ descriptors: consuming Descriptors, _ way: Way
  ) throws(Errno) {
    guard let request = Request(frame.bytes, otherwise: &context.answer) else {
      return try send(id: nil, Descriptors(), way)
    }
    let isPart = request.isPart && way == .output && role.takesParts
    let isAttached = context.channel.number >= 0
    if isPart, isAttached { return try assemble(request, descriptors, lost: frame.lost) }
    context.answer.begin(id: request.id)
    if isPart || frame.lost {
      context.answer.fail(.code(isAttached ? EMFILE : ENOTCONN), function: request.function)
      return try send(id: request.id, Descriptors(), way)
    }
    try call(request, descriptors, way)
  }

  private mutating func call(
    _ request: Request, _ descriptors: consuming Descriptors, _ way: Way
  ) throws(Errno) {
    guard request.arguments.isList else {
      context.answer.fail(.name("badrequest"), function: request.function)
      return try send(id: request.id, Descriptors(), way)
    }
    var call = Call(id: request.id, arguments: request.arguments, descriptors: descriptors.numbers)
    Commands.run(request.function, &call, &context)
    if context.answer.isTooLong {
      context.answer.fail(.code(EMSGSIZE), function: request.function)
      call.outgoing.removeAll()
    }
    // What came along is closed before the answer: nobody finds it open behind their back.
    descriptors.removeAll()
    try send(id: request.id, call.outgoing.takeAll(), way)
  }

  /// Sends the answer, and ahead of it or with it the descriptors that it brings.
  private mutating func send(
    id: UnsafeRawBufferPointer?, _ outgoing: consuming Descriptors, _ way: Way
  ) throws(Errno) {
    if outgoing.count > 0 { context.answer.add(descriptors: outgoing.count) }
    context.counters.sent += context.answer.length
    switch way {
    case .output:
      if outgoing.count > 0 { try Messages.send(outgoing, over: context.channel.number) }
      // A port that the BEAM closes once it has the answer is free.
      outgoing.removeAll()
      try context.answer.write(to: Self.output, id: id, with: &scratch)
    case .lane:
      context.sendOnLane(outgoing)
    }
  }

  private mutating func assemble(
    _ request: Request, _ descriptors: consuming Descriptors, lost: Bool
  ) throws(Errno) {
    let came = Came(descriptors)
    let whole: (bytes: [UInt8], kept: Came)?
    do throws(Failure) {
      whole = try parts.add(request, keeping: came)
    } catch {
      context.answer.begin(id: request.id)
      context.answer.fail(lost ? .code(EMFILE) : error, function: request.function)
      return try send(id: request.id, Descriptors(), .output)
    }
    guard let whole else { return }
    try whole.bytes.withBytes { (bytes) throws(Errno) in
      guard let request = Request(bytes, otherwise: &context.answer) else {
        return try send(id: nil, Descriptors(), .output)
      }
      context.answer.begin(id: request.id)
      guard !request.isPart else {
        context.answer.fail(.name("badrequest"), function: request.function)
        return try send(id: request.id, Descriptors(), .output)
      }
      try call(request, whole.kept.descriptors.takeAll(), .output)
    }
  }

  /// Sends `{Event, ready}`.
  private mutating func tellReady() throws(Errno) {
    for event in try context.readiness.takeReady() {
      try tell(event) { $0.withTerm { $0.atom("ready") } }
    }
  }

  /// Sends `{Event, {error, ebadf}}` for what has been closed.
  private mutating func tellClosed() throws(Errno) {
    lookedAt = Clock.monotonic()
    for event in context.readiness.takeClosed(peer: context.peer) {
      try tell(event) { $0.fail(.code(EBADF), function: "select") }
    }
  }

  private mutating func tell(_ event: [UInt8], _ write: (inout Answer) -> Void) throws(Errno) {
    try event.withBytes { (id) throws(Errno) in
      context.answer.begin(id: id)
      write(&context.answer)
      try send(id: id, Descriptors(), .output)
    }
  }
}
