import Privilege
import SystemCalls

/// A whole port process, from its first request to the end of its stdin, with a ``Node`` at the other ends of its streams.
///
/// An input is a byte for the role, one for options, and what the node does. Each has a process of its own as far as the program can tell:
/// nothing that it opens or allocates is left.
enum Roles {
  static func input(_ input: UnsafeRawBufferPointer) {
    let role: Role =
      switch input.first {
      case UInt8(ascii: "o"): .opener
      case UInt8(ascii: "c"): .capture
      default: .worker
      }
    let open = Processes.openDescriptors()
    let script = Script(UnsafeRawBufferPointer(rebasing: input.dropFirst(2)))
    let node = Node(role, options: input.dropFirst().first ?? 0, script)
    Wrapped.node = node
    do throws(Errno) {
      try serve(role)
    } catch {
      // As main does: there is nobody to tell.
    }
    Wrapped.node = nil
    node.end()
    let left = Processes.openDescriptors()
    demand(left == open, "open before: \(open.sorted()), and after: \(left.sorted())")
    demand(Processes.isInRoot, "the directory is another one")
  }

  private static func serve(_ role: Role) throws(Errno) {
    let privileges = try Privileges.dropped(to: try Caller())
    if role == .capture {
      var server = CaptureServer(privileges: privileges)
      return try server.run()
    }
    var server = Server(role, privileges: privileges)
    try server.run()
  }
}

/// What the kernel knows of this process.
enum Processes {
  static func openDescriptors() -> Set<Int> {
    guard let directory = opendir("/proc/self/fd") else { fail("there is no /proc") }
    let own = Int(dirfd(directory))
    var numbers: Set<Int> = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if let number = Int(name), number != own { numbers.insert(number) }
    }
    closedir(directory)
    return numbers
  }

  static var isInRoot: Bool {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
      guard let base = buffer.baseAddress, getcwd(base, buffer.count) != nil else { return false }
      return base[0] == CChar(UInt8(ascii: "/")) && base[1] == 0
    }
  }
}
