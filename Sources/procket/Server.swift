import ErlangTerm
import Privilege
import SystemCalls

/// Serves requests until stdin or the attached connection ends: docs/protocol.md.
struct Server: ~Copyable {
  private static let input: CInt = 0
  /// How often it is looked whether descriptors that are watched have been closed, in milliseconds.
  private static let closedInterval: CInt = 250
  private static let closedNanoseconds = Int64(closedInterval) * 1_000_000

  /// How often the direct connection is looked at for each look at all of the streams.
  private static let directFirst = 8
  /// After so many of its requests in a row all streams are looked at: one caller does not starve the others.
  private static let directInRow = 32
  /// After how long a connection tries again to send descriptors, in milliseconds.
  private static let retryInterval: CInt = 1

  private var context: Context
  private var ready = PollSet(count: 4)
  private var inRow = 0
  private var lookedAt = Clock.monotonic()

  init(_ role: Role, privileges: consuming Privileges) {
    context = Context(role, privileges: privileges)
  }

  /// Returns also when an opener has no longer the rights for its policy; throws where stdout fails.
  mutating func run() throws(Errno) {
    while !context.privileges.isOutdated, !context.attached.hasEnded {
      _ = try wait()
      if ready[3] { try tellReady() }
      if context.readiness.number >= 0, Clock.monotonic() - lookedAt > Self.closedNanoseconds { try tellClosed() }
      if ready[0] || context.direct.mustRetry { _ = try context.serveDirect() }
      if ready[1] || context.attached.mustRetry { try context.serveAttached() }
      if ready[2], try context.serveInput() == false { return }
    }
  }

  /// Polls for a while, then sleeps; whether something has come.
  private mutating func wait() throws(Errno) -> Bool {
    if let deadline = context.spin.deadline(), try poll(until: deadline) { return true }
    let came = try look(timeout: timeout)
    context.spin.slept()
    return came
  }

  /// In milliseconds; -1 where there is nothing to wait for but requests.
  private var timeout: CInt {
    if context.direct.mustRetry || context.attached.mustRetry { return Self.retryInterval }
    return context.readiness.number >= 0 ? Self.closedInterval : -1
  }

  private mutating func poll(until deadline: Int64) throws(Errno) -> Bool {
    repeat {
      // A request is read off the direct connection for less than it costs to ask whether one is there.
      for _ in 0..<Self.directFirst where try context.serveDirect() {
        context.spin.hit()
        inRow += 1
        guard inRow.isMultiple(of: Self.directInRow) else {
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
    ready.set(0, context.direct.number, context.direct.events)
    ready.set(1, context.attached.number, context.attached.events)
    ready.set(2, Self.input, CInt(POLLIN))
    ready.set(3, context.readiness.number, CInt(POLLIN))
    return try ready.poll(timeout: timeout)
  }

  /// Sends `{Event, ready}`.
  private mutating func tellReady() throws(Errno) {
    for event in try context.readiness.takeReady() {
      try context.send(id: event) { $0.withTerm { $0.atom("ready") } }
    }
  }

  /// Sends `{Event, {error, ebadf}}` for what has been closed.
  private mutating func tellClosed() throws(Errno) {
    lookedAt = Clock.monotonic()
    for event in context.readiness.takeClosed(peer: context.peer) {
      try context.send(id: event) { $0.fail(.code(EBADF), function: "select") }
    }
  }
}
