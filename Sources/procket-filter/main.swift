import CPcap
import Privilege
import SystemCalls

let usage = """
  usage: procket-filter LINKTYPE SNAPLEN

  Reads a filter expression, pcap-filter(7), as a frame of {packet,4}, and answers with one: the instructions as they stand in memory, or with
  status 1 what is wrong with it. Started by the Erlang application procket: it is not for use by hand.

  """

/// What an expression may take. libpcap's time grows with the third power of the number of conditions, its memory with the square:
/// 350 times `port N or …` need 54 MiB, and with libpcap 1.10.3 7 seconds of processor time. libpcap 1.10.5 takes seven times as long.
enum Bounds {
  /// Of the expression, in bytes: far longer than any with so few instructions.
  static let length = 1 << 20
  /// In seconds: of processor time, and in all, as the name of a host may be looked up.
  static let processor = rlim_t(240)
  static let all = CUnsignedInt(300)
  /// In bytes, without the pages of files: these are about 7 MiB, and all together stay below 64.
  static let memory = rlim_t(56 << 20)
}

/// A frame of `{packet,4}`.
func frame(_ bytes: [UInt8]) -> [UInt8] {
  withUnsafeBytes(of: UInt32(bytes.count).bigEndian) { [UInt8]($0) } + bytes
}

func put(_ bytes: [UInt8], on fd: CInt) throws(Errno) {
  try bytes.withBytes { (bytes) throws(Errno) in try Files.writeAll(fd, bytes) }
}

/// Says what is wrong; the exit status.
func refuse(_ reason: String) -> CInt {
  do { try put(frame([UInt8](reason.utf8)), on: 1) } catch { return 71 }
  return 1
}

/// What is said when a signal comes. It stays, so that a handler may use it.
func late(_ time: String) -> UnsafeRawBufferPointer {
  let frame = frame([UInt8]("the expression takes more than \(time) to compile".utf8))
  let place = UnsafeMutableRawBufferPointer.allocate(byteCount: frame.count, alignment: 1)
  place.copyBytes(from: frame)
  return UnsafeRawBufferPointer(place)
}
nonisolated(unsafe) var lateOnProcessor = late("\(Bounds.processor) s of processor time")
nonisolated(unsafe) let lateInAll = late("\(Bounds.all) s")

/// Lowers a limit; the limit. One that is lower already stays.
func limit(_ resource: __rlimit_resource, to most: rlim_t, grace: rlim_t = 0) throws(Errno) -> rlim_t {
  var limit = rlimit()
  let resource = __rlimit_resource_t(resource.rawValue)
  try valueOrErrno { getrlimit(resource, &limit) }
  limit.rlim_cur = min(limit.rlim_cur, most)
  limit.rlim_max = min(limit.rlim_max, limit.rlim_cur + grace)
  try valueOrErrno { setrlimit(resource, &limit) }
  return limit.rlim_cur
}

/// The compiler reads what anybody wrote: it gets no rights, and not for long. The memory that it may have, in bytes.
func confine() throws(Errno) -> rlim_t {
  guard getuid() == geteuid(), getgid() == getegid() else { throw Errno(rawValue: EPERM) }
  try Surroundings.settle()
  try Surroundings.hide()
  try Surroundings.becomeNobody()
  try Surroundings.forgetCapabilities()
  // At the lower limit comes the signal, one second later the end.
  let processor = try limit(RLIMIT_CPU, to: Bounds.processor, grace: 1)
  lateOnProcessor = late("\(processor) s of processor time")
  signal(SIGXCPU) { _ in
    _ = write(1, lateOnProcessor.baseAddress, lateOnProcessor.count)
    _exit(1)
  }
  signal(SIGALRM) { _ in
    _ = write(1, lateInAll.baseAddress, lateInAll.count)
    _exit(1)
  }
  alarm(Bounds.all)
  return min(try limit(RLIMIT_DATA, to: Bounds.memory), try limit(RLIMIT_AS, to: rlim_t.max))
}

/// Takes so many bytes from stdin; nil where it ends before.
func read(_ count: Int) throws(Errno) -> [UInt8]? {
  var bytes = [UInt8](repeating: 0, count: count)
  var done = 0
  while done < count {
    let got = try bytes.withUnsafeMutableBytes { (room) -> Result<Int, Errno> in
      Result { () throws(Errno) in try Files.read(0, into: UnsafeMutableRawBufferPointer(rebasing: room[done...])) }
    }.get()
    guard got > 0 else { return nil }
    done += got
  }
  return bytes
}

/// The expression with a NUL behind it; nil where there is none of a length that is allowed.
func readExpression() throws(Errno) -> [UInt8]? {
  guard let header = try read(4) else { return nil }
  let length = header.reduce(0) { $0 << 8 | Int($1) }
  guard length <= Bounds.length else { return nil }
  return try read(length).map { $0 + [0] }
}

/// Writes the program; the exit status. `memory` is how much there is, in bytes.
func compile(_ expression: [UInt8], linkType: CInt, length: CInt, memory: rlim_t) -> CInt {
  let noMemory = "the expression takes more than \(memory >> 20) MiB of memory to compile"
  guard !expression.dropLast().contains(0) else { return refuse("the expression has a character NUL") }
  guard let handle = pcap_open_dead(linkType, length) else { return refuse(noMemory) }
  defer { pcap_close(handle) }
  var program = bpf_program()
  errno = 0
  let compiled = expression.withUnsafeBytes { bytes in
    pcap_compile(handle, &program, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), 1, bpf_u_int32.max)
  }
  guard compiled == 0 else {
    // libpcap says the name of the function that failed.
    if errno == ENOMEM { return refuse(noMemory) }
    return refuse(pcap_geterr(handle).map { String(cString: $0) } ?? "syntax error")
  }
  // In time: what is written now is written whole.
  signal(SIGXCPU, SIG_IGN)
  alarm(0)
  defer { pcap_freecode(&program) }
  let bytes = UnsafeRawBufferPointer(
    start: program.bf_insns, count: Int(program.bf_len) * MemoryLayout<bpf_insn>.stride)
  do { try put(frame([UInt8](bytes)), on: 1) } catch { return 71 }
  return 0
}

let arguments = Arguments.all()
guard arguments.count == 2, let linkType = CInt(arguments[0]), let length = CInt(arguments[1]), length > 0 else {
  try? put([UInt8](usage.utf8), on: 2)
  exit(64)
}
do {
  let memory = try confine()
  guard let expression = try readExpression() else { exit(64) }
  exit(compile(expression, linkType: linkType, length: length, memory: memory))
} catch {
  exit(77)
}
