import CPcap
import Privilege
import SystemCalls

let usage = """
  usage: procket-filter LINKTYPE SNAPLEN EXPRESSION

  Compiles a filter expression, pcap-filter(7), and writes the instructions as they stand in memory; with status 1 what is wrong with it.
  Started by the Erlang application procket: it is not for use by hand.

  """

func put(_ text: String, on fd: CInt) {
  let bytes = [UInt8](text.utf8)
  bytes.withUnsafeBytes { _ = try? Files.writeAll(fd, $0) }
}

/// The compiler reads what anybody wrote: it gets no rights, and not for long.
func confine() throws(Errno) {
  guard getuid() == geteuid(), getgid() == getegid() else { throw Errno(rawValue: EPERM) }
  try Surroundings.settle()
  try Surroundings.hide()
  try Surroundings.becomeNobody()
  try Surroundings.forgetCapabilities()
  alarm(8)
  for (resource, most) in [(RLIMIT_CPU, 5), (RLIMIT_AS, 512 << 20)] {
    var limit = rlimit(rlim_cur: rlim_t(most), rlim_max: rlim_t(most))
    try valueOrErrno { setrlimit(__rlimit_resource_t(resource.rawValue), &limit) }
  }
}

/// Writes the program; the exit status.
func compile(_ expression: String, linkType: CInt, length: CInt) -> CInt {
  guard let handle = pcap_open_dead(linkType, length) else {
    put("no memory", on: 1)
    return 1
  }
  defer { pcap_close(handle) }
  var program = bpf_program()
  guard pcap_compile(handle, &program, expression, 1, bpf_u_int32.max) == 0 else {
    put(pcap_geterr(handle).map { String(cString: $0) } ?? "syntax error", on: 1)
    return 1
  }
  defer { pcap_freecode(&program) }
  let bytes = UnsafeRawBufferPointer(
    start: program.bf_insns, count: Int(program.bf_len) * MemoryLayout<bpf_insn>.stride)
  do { try Files.writeAll(1, bytes) } catch { return 71 }
  return 0
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count == 3, let linkType = CInt(arguments[0]), let length = CInt(arguments[1]), length > 0 else {
  put(usage, on: 2)
  exit(64)
}
do { try confine() } catch { exit(77) }
exit(compile(arguments[2], linkType: linkType, length: length))
