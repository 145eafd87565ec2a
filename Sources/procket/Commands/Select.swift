import CSystem
import ErlangTerm
import SystemCalls

extension Commands {
  /// `[FD, read | write, Event]`: an answer `{Event, ready}` or `{Event, {error, Posix}}` comes later, once.
  @Sendable static func select(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let number: CInt = try call.integer(in: 0...CInt.max)
    let direction = try call.atom()
    guard direction == "read" || direction == "write" else { throw .argument(2) }
    let event = [UInt8](try call.raw())
    do {
      try context.readiness.add(fd, of: number, writing: direction == "write", event: event, peer: context.peer)
    } catch {
      throw .errno(error)
    }
    context.answer.ok()
  }

  /// `[Event]`
  @Sendable static func selectStop(_ call: inout Call, _ context: inout Context) throws(Failure) {
    context.readiness.remove(event: [UInt8](try call.raw()))
    context.answer.ok()
  }
}
