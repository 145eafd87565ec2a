import CSystem
import ErlangTerm
import SystemCalls

extension Commands {
  /// So that what is told of it fits into a frame of stdout, in bytes.
  private static let longestEvent = FrameBuffer.longestFrame - 64

  /// `[FD, read | write, Event]`: `{Event, ready}` or `{Event, {error, Posix}}` is told later on stdout, once.
  @Sendable static func select(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let number: CInt = try call.integer(in: 0...CInt.max)
    let direction = try call.atom()
    guard direction == "read" || direction == "write" else { throw .argument(2) }
    let event = [UInt8](try call.raw())
    guard event.count <= longestEvent else { throw .argument(3) }
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
