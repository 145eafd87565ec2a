import ErlangTerm
import SystemCalls

/// The executable, started and spoken to as the BEAM does.
final class PortProcess {
  let pid: pid_t
  /// Whether `pid` is still its number.
  private var runs: Bool
  private var input: Descriptor?
  private let output: Descriptor
  private var frames = FrameBuffer()

  /// Where there is a `wrapper`, a program and its arguments, that executes it.
  init(_ arguments: [String], program: String = "procket", through wrapper: [String] = []) throws(Errno) {
    var toChild: [CInt] = [0, 0]
    var fromChild: [CInt] = [0, 0]
    try valueOrErrno { pipe(&toChild) }
    try valueOrErrno { pipe(&fromChild) }
    // The child has its ends as stdio; these four are not for it.
    for end in toChild + fromChild { try valueOrErrno { fcntl(end, F_SETFD, FD_CLOEXEC) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_adddup2(&actions, toChild[0], 0)
    posix_spawn_file_actions_adddup2(&actions, fromChild[1], 1)
    defer { posix_spawn_file_actions_destroy(&actions) }
    var child: pid_t = 0
    var strings: [UnsafeMutablePointer<CChar>?] =
      (wrapper + [Self.directory + program] + arguments).map { strdup($0) } + [nil]
    let failure = posix_spawnp(&child, wrapper.first ?? Self.directory + program, &actions, nil, &strings, environ)
    for string in strings { free(string) }
    close(toChild[0])
    close(fromChild[1])
    input = Descriptor(owning: toChild[1])
    output = Descriptor(owning: fromChild[0])
    pid = child
    runs = failure == 0
    guard failure == 0 else { throw Errno(rawValue: failure) }
  }

  /// Beside the tests, where the package manager puts it.
  private static var directory: String {
    var directory = (try? readLink("/proc/self/exe")) ?? ""
    // The tests of Linux are an executable in the directory of products, or loaded by one from the toolchain.
    for argument in CommandLine.arguments where argument.contains(".xctest") { directory = argument }
    return directory.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") + "/"
  }

  private static func readLink(_ path: String) throws(Errno) -> String {
    var bytes = [CChar](repeating: 0, count: 4096)
    let count = try valueOrErrno { readlink(path, &bytes, bytes.count) }
    return String(decoding: bytes[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func send(_ bytes: [UInt8]) throws(Errno) {
    guard let number = input?.number else { throw Errno(rawValue: EBADF) }
    try bytes.withBytes { (bytes) throws(Errno) in try Files.writeAll(number, bytes) }
  }

  func send(frame: [UInt8]) throws(Errno) {
    try send([UInt8(frame.count >> 8), UInt8(frame.count & 0xff)] + frame)
  }

  /// The next frame; nil at the end of output.
  func receive() throws(Errno) -> [UInt8]? {
    while true {
      if let (frame, _) = (try? frames.next()) ?? nil { return Array(frame) }
      let number = output.number
      let count = try frames.fill { (room) throws(Errno) in try Files.read(number, into: room) }
      if count == 0 { return nil }
    }
  }

  /// All that is printed, as text.
  func text() throws(Errno) -> String {
    var all: [UInt8] = []
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
    defer { room.deallocate() }
    while true {
      let count = try Files.read(output.number, into: room)
      if count == 0 { return String(decoding: all, as: UTF8.self) }
      all += room[..<count]
    }
  }

  /// Ends its input; the status that it exits with, or minus the signal.
  func end() throws(Errno) -> CInt {
    input = nil
    return try wait()
  }

  /// Waits until it ends by itself.
  func wait() throws(Errno) -> CInt {
    var status: CInt = 0
    let child = pid
    try valueOrErrno { waitpid(child, &status, 0) }
    runs = false
    return status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f)
  }

  deinit {
    guard runs else { return }
    kill(pid, SIGKILL)
    waitpid(pid, nil, 0)
  }
}

#if os(Linux)
  extension PortProcess {
    /// How many descriptors it has.
    var openFiles: Int {
      guard let directory = opendir("/proc/\(pid)/fd") else { return 0 }
      defer { closedir(directory) }
      var count = 0
      while readdir(directory) != nil { count += 1 }
      // Not the directory and its parent.
      return count - 2
    }

    /// Sets its `RLIMIT_NOFILE`; the one before.
    @discardableResult func limit(openFiles: Int) -> Int {
      var (new, old) = (rlimit(), rlimit())
      _ = processLimit(pid, CInt(RLIMIT_NOFILE.rawValue), nil, &old)
      new = rlimit(rlim_cur: rlim_t(openFiles), rlim_max: old.rlim_max)
      _ = processLimit(pid, CInt(RLIMIT_NOFILE.rawValue), &new, nil)
      return Int(old.rlim_cur)
    }
  }

  /// Not imported: it stands behind _GNU_SOURCE.
  @_silgen_name("prlimit")
  private func processLimit(
    _ process: pid_t, _ resource: CInt, _ new: UnsafePointer<rlimit>?, _ old: UnsafeMutablePointer<rlimit>?
  ) -> CInt
#endif
