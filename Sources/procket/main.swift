import Privilege
import SystemCalls

/// The version of the program; that of the wire is ``Commands/protocolVersion``.
let version = "1.0.0"

let usage = """
  usage: procket worker | opener | capture
         procket --check-policy [FILE]
         procket --explain [--policy FILE] USER REQUEST
         procket --explain
         procket --version | --help

  The port program of the Erlang application procket, which starts it as

    worker  makes system calls on descriptors of the Erlang node, with the rights of its user
    opener  opens sockets and devices for it, with the rights that this file was given
    capture  receives and sends packets on one descriptor, without any rights

  By hand:

    --check-policy           says whether \(Policy.path) is a policy, all that is wrong with it, and
                             warns of lines that can never match. Exits with 1 where it is none; a warning is no error
    --check-policy FILE      the same of FILE, before it is put in its place
    --explain USER REQUEST   says what the policy has to say about a request: udp 53, packet 0x0800 on eth0,
                             device net/tun, … as in a line of it. Exits with 0 where it is allowed, 1 where it is
                             refused, 2 where that cannot be said, as of a user that is unknown
    --policy FILE            with the policy that is in FILE, before it is put in its place
    --explain                prints the policy that counts where there is no directory /etc/procket
    --version                the versions of this program and of its protocol

  """

/// Sets the process up for a role and serves; the exit status.
func serve(_ role: Role) -> CInt {
  do {
    let caller = try Caller()
    // A worker binds sockets to paths.
    try Surroundings.settle(keepingMask: role == .worker)
    try caller.checkOrigin(of: 0)
    let privileges =
      try role == .opener ? Privileges.reduced(to: caller).narrowed() : Privileges.dropped(to: caller)
    if role == .opener || caller.isOutranked { try Surroundings.hide() }
    if role == .opener {
      privileges.prepareLog()
      try privileges.boundFiles()
    }
    #if os(Linux)
      if role == .capture {
        // It takes on its filter when it has given up its user.
        var server = CaptureServer(privileges: privileges)
        try server.run()
        return 0
      }
    #endif
    var server = Server(role, privileges: privileges)
    try SystemCallFilter.install(role)
    try server.run()
    return 0
  } catch {
    // The BEAM has gone, or what the process stands on: there is nobody to tell.
    return error.rawValue == EPIPE || error.rawValue == ECONNRESET ? 0 : 71
  }
}

/// Runs what is for use by hand, with the rights of who started it and no others. To print may wait as long as the reader likes.
func run(_ tool: (borrowing Privileges) -> CInt) -> CInt {
  do {
    return tool(try Privileges.dropped(to: try Caller()))
  } catch {
    return 71
  }
}

func run(printing text: String, on fd: CInt, status: CInt) -> CInt {
  run { _ in
    put(text, on: fd)
    return status
  }
}

func put(_ text: String, on fd: CInt) {
  let bytes = [UInt8](text.utf8)
  bytes.withUnsafeBytes { _ = try? Files.writeAll(fd, $0) }
}

let arguments = Arguments.all()

/// A request may be one argument, or a word in each.
func words(from index: Int) -> String { arguments[index...].joined(separator: " ") }

switch arguments.first {
case "worker" where arguments.count == 1: exit(serve(.worker))
case "opener" where arguments.count == 1: exit(serve(.opener))
case "capture" where arguments.count == 1: exit(serve(.capture))
case "--version" where arguments.count == 1:
  exit(run(printing: "procket \(version), protocol \(Commands.protocolVersion)\n", on: 1, status: 0))
case "--help" where arguments.count == 1: exit(run(printing: usage, on: 1, status: 0))
case "--check-policy" where arguments.count <= 2:
  exit(run { PolicyTool.check(arguments.count == 2 ? arguments[1] : nil, with: $0) })
case "--explain" where arguments.count == 1:
  exit(run(printing: Policy.builtInText, on: 1, status: 0))
case "--explain" where arguments[1] == "--policy" && arguments.count >= 5:
  exit(run { PolicyTool.explain(arguments[3], words(from: 4), policy: arguments[2], with: $0) })
case "--explain" where arguments[1] != "--policy" && arguments.count >= 3:
  exit(run { PolicyTool.explain(arguments[1], words(from: 2), policy: nil, with: $0) })
default: exit(run(printing: usage, on: 2, status: 64))
}
