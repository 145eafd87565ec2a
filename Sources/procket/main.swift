import Privilege
import SystemCalls

/// The version of the program; that of the wire is ``Commands/protocolVersion``.
let version = "1.0.0"

let usage = """
  usage: procket worker | opener | capture
         procket --version | --help

  The port program of the Erlang application procket, which starts it: it is not for use by hand.
    worker  makes system calls on descriptors of the Erlang node, with the rights of its user
    opener  opens sockets and devices for it, with the rights that this file was given
    capture receives and sends packets on one descriptor, without any rights

  """

/// Sets the process up for a role and serves; the exit status.
func serve(_ role: Role) -> CInt {
  do {
    try Surroundings.closeInherited()
    try Surroundings.settle()
    var privileges = try Privileges()
    switch role {
    case .opener:
      try Surroundings.hide()
    case .worker, .capture:
      try privileges.drop()
      privileges = try Privileges()
    }
    #if os(Linux)
      if role == .capture {
        var server = CaptureServer(privileges: privileges)
        try server.run()
        return 0
      }
    #endif
    var server = Server(role, privileges: privileges)
    try server.run()
    return 0
  } catch {
    // The BEAM has gone, or what the process stands on: there is nobody to tell.
    return error.rawValue == EPIPE || error.rawValue == ECONNRESET ? 0 : 71
  }
}

func put(_ text: String, on fd: CInt) {
  let bytes = [UInt8](text.utf8)
  bytes.withUnsafeBytes { _ = try? Files.writeAll(fd, $0) }
}

switch CommandLine.arguments.dropFirst() {
case ["worker"]: exit(serve(.worker))
case ["opener"]: exit(serve(.opener))
case ["capture"]: exit(serve(.capture))
case ["--version"]: put("procket \(version), protocol \(Commands.protocolVersion)\n", on: 1)
case ["--help"]: put(usage, on: 1)
default:
  put(usage, on: 2)
  exit(64)
}
