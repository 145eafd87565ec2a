import CSystem
import Privilege
import SystemCalls

extension Commands {
  /// The version of docs/protocol.md.
  static let protocolVersion = 3
  /// No more than that is written to a socket which others chose.
  private static let secretLength = 32

  /// Makes the attached connection: `[Path, Secret, Spin]`, the last in microseconds.
  @Sendable static func attach(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let path = try call.binary()
    let secret = try call.binary()
    let spin = try call.integer(in: 0...Int64(1_000_000))
    guard !path.isEmpty, !path.contains(0), path.count < 104 else { throw .argument(1) }
    guard secret.count == secretLength else { throw .argument(2) }
    guard context.attached.number < 0 else { throw .code(EISCONN) }
    let caller = context.privileges.caller.user
    do throws(Errno) {
      let socket = try Sockets.connect(toPath: path)
      var user = uid_t.max
      var process = pid_t(-1)
      let number = socket.number
      try valueOrErrno { procket_peer_user(number, &user, &process) }
      guard user == caller else { throw Errno(rawValue: EACCES) }
      try Files.writeAll(number, secret)
      if context.role == .opener {
        // What cannot give up its rights is not there.
        do throws(Errno) { try context.privileges.refuseConnections() } catch { _exit(71) }
      }
      context.peer = process
      context.attached.open(socket)
      context.spin.set(limit: spin)
    } catch {
      throw .errno(error)
    }
    context.answer.startOk(2)
    context.answer.withTerm { term in
      term.integer(Int64(protocolVersion))
      term.integer(Int64(getpid()))
    }
  }
}

extension Commands {
  /// Makes a direct connection, which takes the place of the last one: `[]`. Its other end goes to the node.
  @Sendable static func direct(_ call: inout Call, _ context: inout Context) throws(Failure) {
    do throws(Errno) {
      call.outgoing.append(try Sockets.pair(&context.nextDirect))
    } catch {
      throw .errno(error)
    }
    context.answer.ok()
  }
}
