import Privilege
import SystemCalls

// What an opener does: it opens, gives the descriptor away, and keeps none.

extension Commands {
  /// `[Map]`: ``Call/socketRequest()``
  @Sendable static func open(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let request = try call.socketRequest()
    try give(&call, &context) { (privileges) throws(Errno) in try request.open(with: privileges) }
  }

  /// `[Map]`: ``Call/captureRequest()``
  @Sendable static func openCapture(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let request = try call.captureRequest()
    try give(&call, &context) { (privileges) throws(Errno) in try request.open(with: privileges) }
  }

  /// `[Map]`: ``Call/device()``
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
    var request = SocketRequest()
    try map(required: ["family", "type", "protocol"]) { (key, call) throws(Failure) in
      switch key {
      case "family": request.family = try call.integer(in: 0...0xffff)
      case "type": request.type = try call.integer(in: 0...0x7ff)
      case "protocol": request.number = try call.integer(in: 0...CInt.max)
      case "address": request.address = try call.bytes { $0.count <= 16 }
      case "port": request.port = try call.integer(in: 0...UInt16.max)
      case "interface": request.interface = try call.string(where: SocketRequest.isInterface)
      case "namespace": request.namespace = try call.string()
      case "backlog": request.backlog = try call.integer(in: 0...CInt.max)
      default: throw .argument(1)
      }
    }
    return request
  }

  mutating func captureRequest() throws(Failure) -> SocketRequest {
    var request = SocketRequest.capture()
    try map(required: ["type"]) { (key, call) throws(Failure) in
      switch key {
      case "type": request.type = try call.integer(in: Sockets.datagram...SocketRequest.rawType)
      case "interface": request.interface = try call.string(where: SocketRequest.isAnyInterface)
      case "namespace": request.namespace = try call.string()
      case "filter": request.filter = try call.bytes()
      default: throw .argument(1)
      }
    }
    return request
  }

  mutating func device() throws(Failure) -> (name: String, namespace: String) {
    var device = (name: "", namespace: "")
    try map(required: ["name"]) { (key, call) throws(Failure) in
      switch key {
      case "name": device.name = try call.string(where: Device.isValid)
      case "namespace": device.namespace = try call.string()
      default: throw .argument(1)
      }
    }
    return device
  }

  private mutating func bytes(
    where isValid: (UnsafeRawBufferPointer) -> Bool = { _ in true }
  ) throws(Failure) -> [UInt8] {
    let bytes = try binary()
    guard isValid(bytes) else { throw .argument(1) }
    return [UInt8](bytes)
  }

  private mutating func string(where isValid: (String) -> Bool) throws(Failure) -> String {
    let text = try string()
    guard isValid(text) else { throw .argument(1) }
    return text
  }
}
