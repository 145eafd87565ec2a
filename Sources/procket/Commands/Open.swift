import Privilege
import SystemCalls

// What an opener does: it opens, gives the descriptor away, and keeps none.

extension Commands {
  /// `[{Family, Type, Protocol, Address, Port, Interface, Namespace, Backlog}]`
  @Sendable static func open(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let request = try call.tuple(8) { (call) throws(Failure) in
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
    guard SocketRequest.isInterface(request.interface) else { throw .argument(1) }
    let socket: Descriptor
    do { socket = try request.open(with: context.privileges) } catch { throw .errno(error) }
    call.outgoing.append(socket)
    context.answer.ok()
  }

  /// `[Name]`
  @Sendable static func openDevice(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let name = try call.string()
    guard Device.isValid(name) else { throw .argument(1) }
    let device: Descriptor
    do { device = try Device.open(name, with: context.privileges) } catch { throw .errno(error) }
    call.outgoing.append(device)
    context.answer.ok()
  }
}

extension Call {
  /// The atom `undefined`, in the place of an integer.
  mutating func undefined() throws(Failure) -> CInt? {
    guard try atom() == "undefined" else { throw .argument(0) }
    return nil
  }
}
