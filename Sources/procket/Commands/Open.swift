import Privilege
import SystemCalls

// What an opener does: it opens, gives the descriptor away, and keeps none.

extension Commands {
  /// `[{Family, Type, Protocol, Address, Port, Interface, Namespace, Backlog}]`
  @Sendable static func open(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let request = try call.socketRequest()
    try give(&call, &context) { (privileges) throws(Errno) in try request.open(with: privileges) }
  }

  /// `[{Type, Interface, Namespace, Filter}]`
  @Sendable static func openCapture(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let request = try call.captureRequest()
    try give(&call, &context) { (privileges) throws(Errno) in try request.open(with: privileges) }
  }

  /// `[{Name, Namespace}]`
  @Sendable static func openDevice(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let (name, namespace) = try call.device()
    try give(&call, &context) { (privileges) throws(Errno) in
      try Device.open(name, in: namespace, with: privileges)
    }
  }

  /// `[]`: from now on a refusal is answered with its reason.
  @Sendable static func reasons(_ call: inout Call, _ context: inout Context) throws(Failure) {
    context.tellsReasons = true
    context.answer.ok()
  }

  private static func give(
    _ call: inout Call, _ context: inout Context,
    _ open: (borrowing Privileges) throws(Errno) -> Descriptor
  ) throws(Failure) {
    do throws(Refusal) {
      call.outgoing.append(try context.privileges.recording(open))
    } catch {
      guard context.tellsReasons, let reason = error.reason else { throw .errno(error.error) }
      throw .refused(error.error, reason: reason)
    }
    context.answer.ok()
  }
}

// What is asked for, checked.

extension Call {
  mutating func socketRequest() throws(Failure) -> SocketRequest {
    let request = try tuple(8) { (call) throws(Failure) in
      SocketRequest(
        family: try call.integer(in: 0...0xffff),
        type: try call.integer(in: 0...0x7ff),
        protocol: try call.integer(in: 0...CInt.max),
        address: [UInt8](try call.binary()),
        port: try call.integer(in: 0...UInt16.max),
        interface: try call.string(),
        namespace: try call.string(),
        backlog: call.isInteger ? try call.integer(in: 0...CInt.max) : try call.undefined())
    }
    guard SocketRequest.isInterface(request.interface), request.address.count <= 16 else { throw .argument(1) }
    return request
  }

  mutating func captureRequest() throws(Failure) -> SocketRequest {
    let request = try tuple(4) { (call) throws(Failure) in
      SocketRequest.capture(
        type: try call.integer(in: Sockets.datagram...SocketRequest.rawType), interface: try call.string(),
        namespace: try call.string(), filter: [UInt8](try call.binary()))
    }
    guard SocketRequest.isAnyInterface(request.interface) else { throw .argument(1) }
    return request
  }

  mutating func device() throws(Failure) -> (name: String, namespace: String) {
    let device = try tuple(2) { (call) throws(Failure) in (name: try call.string(), namespace: try call.string()) }
    guard Device.isValid(device.name) else { throw .argument(1) }
    return device
  }

  /// The atom `undefined`, in the place of an integer.
  fileprivate mutating func undefined() throws(Failure) -> CInt? {
    guard try atom() == "undefined" else { throw .argument(0) }
    return nil
  }
}
