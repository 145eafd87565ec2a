/// What a function of the wire is: its name, its arguments, whether descriptors come along and go back, and what it does.
struct Command: Sendable {
  let name: String
  let arity: Int
  /// Nil: it may.
  let takesDescriptor: Bool?
  let bringsDescriptors: Bool
  let run: @Sendable (inout Call, inout Context) throws(Failure) -> Void

  init(
    _ name: String, _ arity: Int, fd takesDescriptor: Bool? = false, brings bringsDescriptors: Bool = false,
    _ run: @escaping @Sendable (inout Call, inout Context) throws(Failure) -> Void
  ) {
    self.name = name
    self.arity = arity
    self.takesDescriptor = takesDescriptor
    self.bringsDescriptors = bringsDescriptors
    self.run = run
  }

  /// Whether it can be asked for where descriptors do not cross.
  var needsConnection: Bool { takesDescriptor == true || bringsDescriptors }
}

/// All functions, by role. A new call is a line here and a function in one of the files beside this one.
enum Commands {
  static let opener: [Command] = [
    Command("attach", 3, attach),
    Command("direct", 0, brings: true, direct),
    Command("counters", 0, counters),
    Command("reasons", 0, reasons),
    Command("open", 1, brings: true, open),
    Command("dev", 1, brings: true, openDevice),
    Command("capture", 1, brings: true, openCapture),
  ]

  #if os(Linux)
    static let capture: [Command] = [
      Command("attach", 3, attachCapture),
      Command("counters", 0, captureCounters),
      Command("interface", 1, fd: true, interface),
      Command("packet", 0, fd: true, packet),
      Command("descriptor", 0, fd: true, descriptor),
      Command("start", 1, start),
      Command("credit", 1, credit),
      Command("send", 1, send),
      Command("stats", 0, stats),
      Command("info", 0, info),
    ]
  #else
    static let capture: [Command] = []
  #endif

  static let worker: [Command] = [
    Command("attach", 3, attach),
    Command("direct", 0, brings: true, direct),
    Command("counters", 0, counters),
    Command("batch", 1, fd: nil, batch),
    Command("within", 3, fd: nil, within),
    Command("socket", 3, brings: true, socket),
    Command("bind", 1, fd: true, bind),
    Command("connect", 1, fd: true, connect),
    Command("listen", 1, fd: true, listen),
    Command("accept", 1, fd: true, brings: true, accept),
    Command("getsockname", 1, fd: true, getsockname),
    Command("recvfrom", 3, fd: true, recvfrom),
    Command("recvmsg", 4, fd: true, brings: true, recvmsg),
    Command("recvmmsg", 4, fd: true, recvmmsg),
    Command("sendto", 3, fd: true, sendto),
    Command("sendmsg", 4, fd: true, sendmsg),
    Command("sendmmsg", 2, fd: true, sendmmsg),
    Command("read", 1, fd: true, read),
    Command("write", 1, fd: true, write),
    Command("setsockopt", 3, fd: true, setsockopt),
    Command("getsockopt", 3, fd: true, getsockopt),
    Command("ioctl", 2, fd: true, ioctl),
    Command("duplicate", 0, fd: true, brings: true, duplicate),
    Command("set_sock_nonblock", 0, fd: true, setSockNonblock),
    Command("setns", 1, fd: true, setns),
    Command("alloc", 2, alloc),
    Command("buf", 1, buf),
    Command("memcpy", 2, memcpy),
    Command("free", 1, free),
    Command("select", 3, fd: true, select),
    Command("select_stop", 1, selectStop),
    Command("constants", 1, constants),
    Command("family", 1, family),
    Command("errno_id", 1, errnoName),
  ]

  static func table(_ commands: [Command]) -> [String: Command] {
    Dictionary(commands.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
  }
}
