import CSystem
import ErlangTerm
import Privilege
import SystemCalls

/// The BEAM of a port process that runs in this process: does what a script says each time the program waits.
final class Node {
  static let path = "/tmp/node"
  /// Bytes in all that the program may have allocated when it waits.
  private static let mostMemory = 160 << 20
  /// So often it may wait in a row for what is there already, or for nothing but time.
  private static let mostWaits = 100_000

  private enum Option {
    static let attached: UInt8 = 1
    static let direct: UInt8 = 2
    static let spin: UInt8 = 4
    static let pipe: UInt8 = 8
  }

  /// Where the program reads.
  private enum Source { case input, attached, direct }

  private struct Waiting {
    let source: Source
    var bytes: ArraySlice<UInt8>
    var descriptors: [CInt]
  }

  private let role: Role
  private var script: Script
  private var offer = Offer()
  private var input: CInt = -1
  private var output: CInt = -1
  private var attached: CInt = -1
  private var direct: CInt = -1
  /// What has come from the program and is no whole frame yet.
  private var answers = Answers(.packet2)
  private var attachedAnswers = Answers(.packet4(longest: FrameBuffer.longestTerm))
  private var directAnswers = Answers(.packet4(longest: FrameBuffer.longestTerm))
  private var secret = 32
  /// Whether the node asked for the direct connection itself, and it is what it seems.
  private var isOwnDirect = false
  private var waiting: [Waiting] = []
  /// For so many turns nothing is read.
  private var pause = 0
  /// Milliseconds that are to pass.
  private var passing = 0
  private(set) var now = 1_000_000_000
  private var sleeps = 0
  private var idle = 0
  private let allocated = allocatedBytes()

  init(_ role: Role, options: UInt8, _ script: Script) {
    self.role = role
    self.script = script
    var ends: [CInt] = [-1, -1]
    demand(socketpair(AF_UNIX, Sockets.stream, 0, &ends) == 0, "no socketpair")
    input = ends[0]
    Self.install(ends[1], as: 0)
    if options & Option.pipe != 0 {
      demand(pipe(&ends) == 0, "no pipe")
    } else {
      demand(socketpair(AF_UNIX, Sockets.stream, 0, &ends) == 0, "no socketpair")
    }
    output = ends[0]
    // Where both would wait, there would be no third to end it.
    for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    Self.install(ends[1], as: 1)
    if options & Option.attached != 0 {
      frame(.input, Self.attach(spin: options & Option.spin != 0 ? 100 : 0))
      if options & Option.direct != 0 {
        isOwnDirect = true
        frame(.attached, Self.request("direct") { $0.emptyList() })
      }
    }
  }

  /// The end of a run: the program has gone.
  func end() {
    drain()
    demand(answers.isWhole, "half a frame at the end")
    Self.install(open("/dev/null", O_RDWR), as: 0)
    Self.install(open("/dev/null", O_RDWR), as: 1)
    for fd in [input, output, attached, direct] where fd >= 0 { _ = close(fd) }
    while let more = Self.accept() { _ = close(more) }
    offer.closeAll()
    Self.removeFiles()
  }

  private static func install(_ fd: CInt, as number: CInt) {
    demand(dup2(fd, number) == number, "no descriptor \(number)")
    _ = close(fd)
  }

  // What is sent to begin with

  private static func request(_ function: String, _ arguments: (inout TermWriter) -> Void) -> [UInt8] {
    var writer = TermWriter()
    writer.version()
    writer.tupleHeader(3)
    writer.integer(0)
    writer.atom(function)
    arguments(&writer)
    return writer.withBytes { [UInt8]($0) }
  }

  private static func attach(spin: Int64) -> [UInt8] {
    request("attach") { writer in
      writer.listHeader(3)
      [UInt8](path.utf8).withUnsafeBytes { writer.binary($0) }
      [UInt8](repeating: 7, count: 32).withUnsafeBytes { writer.binary($0) }
      writer.integer(spin)
      writer.emptyList()
    }
  }

  // The program waits

  /// What poll(2) answers. `look` says how many descriptors are ready now.
  func wait(_ timeout: CInt, _ look: () -> CInt) -> CInt {
    while true {
      idle += 1
      demand(idle < Self.mostWaits, "it goes round and round")
      let used = allocatedBytes() - allocated
      demand(used < Self.mostMemory, "\(used) bytes are allocated")
      let ready = look()
      if ready != 0 { return ready }
      if passing > 0 {
        let step = timeout < 0 ? passing : min(Int(timeout), passing)
        pass(step)
        if timeout >= 0 { return 0 }
      } else if act() {
        idle = 0
      } else if timeout > 0 {
        now += Int(timeout) * 1_000_000
        return 0
      } else if timeout == 0 {
        now += 10_000
        return 0
      } else {
        fail("it waits for what never comes")
      }
    }
  }

  private func pass(_ milliseconds: Int) {
    passing -= max(1, milliseconds)
    now += milliseconds * 1_000_000
    // The kernel gives a block of a ring away by its own clock.
    if role == .capture, sleeps < 2 {
      sleeps += 1
      usleep(4000)
    }
  }

  /// Does one thing; false where there is nothing left to do.
  private func act() -> Bool {
    if send() { return true }
    if pause > 0 {
      pause -= 1
      return true
    }
    if drain() { return true }
    // Nobody takes it.
    waiting.removeAll()
    if !script.isEmpty {
      perform()
      return true
    }
    guard input >= 0 else { return false }
    Self.shut(&input)
    return true
  }

  private func perform() {
    switch script.byte() {
    case UInt8(ascii: "i"): frame(.input, payload())
    case UInt8(ascii: "I"): raw(.input, payload(), [])
    case UInt8(ascii: "a"):
      let descriptors = descriptors()
      frame(.attached, payload(), descriptors)
    case UInt8(ascii: "A"): raw(.attached, payload(), [])
    case UInt8(ascii: "d"):
      let descriptors = descriptors()
      frame(.direct, payload(), descriptors)
    case UInt8(ascii: "D"): raw(.direct, payload(), [])
    case UInt8(ascii: "z"):
      let sources: [Source] = [.direct, .input, .attached]
      let source = sources[Int(script.byte()) % sources.count]
      raw(source, [UInt8](repeating: script.byte(), count: Int(script.number()) << 5), [])
    case UInt8(ascii: "p"): pause = Int(script.byte())
    case UInt8(ascii: "t"): passing = Int(script.number()) % 2000
    case UInt8(ascii: "w"):
      let end = offer.end(Int(script.byte()))
      payload().withUnsafeBytes { _ = send(end, $0, []) }
    case UInt8(ascii: "W"):
      let end = offer.end(Int(script.byte()))
      let descriptors = descriptors()
      payload().withUnsafeBytes { _ = send(end, $0, descriptors) }
    case UInt8(ascii: "r"):
      let end = offer.end(Int(script.byte()))
      for _ in 0..<script.byte() where !Answers.skip(end) { break }
    case UInt8(ascii: "x"): closeSomething(script.byte())
    default: break
    }
  }

  private func payload() -> [UInt8] { [UInt8](script.take(Int(script.number()))) }

  private func descriptors() -> [CInt] {
    (0..<script.byte() % 8).map { _ in offer.number(Int(script.byte())) }
  }

  private func closeSomething(_ what: UInt8) {
    switch what {
    case 0: Self.shut(&attached)
    case 1: Self.shut(&direct)
    case 2: Self.shut(&output)
    case 3: Self.shut(&input)
    case 4..<128: offer.closeEnd(Int(what))
    default: offer.withdraw(Int(what))
    }
  }

  private static func shut(_ fd: inout CInt) {
    if fd >= 0 { _ = close(fd) }
    fd = -1
  }

  // To the program

  private func frame(_ source: Source, _ bytes: [UInt8], _ descriptors: [CInt] = []) {
    let length = bytes.count
    let header = (0..<(source == .input ? 2 : 4)).reversed().map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
    raw(source, header + bytes, descriptors)
  }

  private func raw(_ source: Source, _ bytes: [UInt8], _ descriptors: [CInt]) {
    waiting.append(Waiting(source: source, bytes: bytes[...], descriptors: descriptors))
  }

  /// Sends some of what waits.
  private func send() -> Bool {
    guard var next = waiting.first else { return false }
    let fd =
      switch next.source {
      case .input: input
      case .attached: attached
      case .direct: direct
      }
    let sent = next.bytes.withUnsafeBytes { send(fd, $0, next.descriptors) }
    // Not connected yet: first what the program has sent is read.
    guard let sent else { return false }
    next.bytes = next.bytes.dropFirst(sent)
    next.descriptors = []
    if next.bytes.isEmpty { waiting.removeFirst() } else { waiting[0] = next }
    return true
  }

  /// How many bytes were taken; nil where nothing was.
  private func send(_ fd: CInt, _ bytes: UnsafeRawBufferPointer, _ descriptors: [CInt]) -> Int? {
    if descriptors.isEmpty {
      let count = systemSend(fd, bytes.baseAddress, bytes.count, CInt(MSG_DONTWAIT) | CInt(MSG_NOSIGNAL))
      if count >= 0 { return count }
      if errno != ENOTSOCK { return nil }
      let written = write(fd, bytes.baseAddress, bytes.count)
      return written >= 0 ? written : nil
    }
    var control = ControlBuffer(size: ControlBuffer.space(4 * descriptors.count))
    descriptors.withUnsafeBytes { _ = control.write(at: 0, level: SOL_SOCKET, type: Messages.rights, $0) }
    let nowhere = UnsafeRawBufferPointer(start: nil, count: 0)
    return try? Messages.send(fd, bytes, flags: 0, control: control, to: nowhere)
  }

  // From the program

  /// Reads what is there; false where nothing was.
  @discardableResult private func drain() -> Bool {
    if attached < 0, let new = Self.accept() {
      attached = new
      secret = 32
      attachedAnswers = Answers(.packet4(longest: FrameBuffer.longestTerm))
      return true
    }
    let fromOutput = output >= 0 && answers.read(output)
    return drainAttached() || drainDirect() || fromOutput
  }

  private func drainAttached() -> Bool {
    guard attached >= 0 else { return false }
    if secret == 0 { return attachedAnswers.read(attached) { adopt($0) } }
    let count = withUnsafeTemporaryAllocation(byteCount: secret, alignment: 1) { Answers.receive(attached, $0) }
    secret -= max(0, count)
    return count > 0
  }

  private func drainDirect() -> Bool {
    guard direct >= 0 else { return false }
    let before = direct
    if isOwnDirect { return directAnswers.read(before) { adopt($0) } }
    return Answers.skip(direct)
  }

  /// What looks like an end of a connection is the direct one from now on.
  private func adopt(_ fd: CInt) {
    let isFirst = isOwnDirect && direct < 0
    guard isFirst || Self.isConnected(fd) else {
      _ = close(fd)
      return
    }
    isOwnDirect = isFirst
    Self.shut(&direct)
    direct = fd
  }

  private static func isConnected(_ fd: CInt) -> Bool {
    var address = sockaddr_un()
    var length = socklen_t(MemoryLayout<sockaddr_un>.size)
    let isNamed = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(fd, $0, &length) == 0 }
    }
    return isNamed && address.sun_family == sa_family_t(AF_UNIX)
  }

  // Where the program connects

  nonisolated(unsafe) private static var listener: CInt = -1
  nonisolated(unsafe) private static var changed = timespec()

  /// Before the first run.
  static func prepare() {
    demand(access("/confined", F_OK) == 0, "run it with scripts/fuzz, which confines it")
    for number in [SIGPIPE, SIGIO, SIGURG, SIGXFSZ] { signal(number, SIG_IGN) }
    var limit = rlimit(rlim_cur: 16384, rlim_max: 16384)
    _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    demand(chdir("/") == 0, "no directory")
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    unlink(path)
    listener = socket(AF_UNIX, Sockets.stream | CInt(SOCK_NONBLOCK.rawValue), 0)
    withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
        demand(bind(listener, name, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0, "cannot listen at \(path)")
      }
    }
    demand(listen(listener, 64) == 0, "cannot listen")
    install(open("/dev/null", O_RDWR), as: 0)
    install(open("/dev/null", O_RDWR), as: 1)
    // The runtime opens what it needs.
    _ = Processes.openDescriptors()
  }

  private static func accept() -> CInt? {
    let fd = procket_accept(listener, nil, nil)
    return fd >= 0 ? fd : nil
  }

  /// Sockets that a run has bound to paths.
  private static func removeFiles() {
    var information = stat()
    guard stat("/tmp", &information) == 0, information.st_mtim.tv_nsec != changed.tv_nsec,
      let directory = opendir("/tmp")
    else { return }
    while let entry = readdir(directory) {
      withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        pointer.withMemoryRebound(to: CChar.self, capacity: 256) { name in
          if strcmp(name, "node") != 0 { unlinkat(dirfd(directory), name, 0) }
        }
      }
    }
    closedir(directory)
    if stat("/tmp", &information) == 0 { changed = information.st_mtim }
  }
}

/// A stream of answers. Each is a frame, and in it a term.
private struct Answers: ~Copyable {
  private var frames: FrameBuffer

  init(_ format: FrameBuffer.Format) { frames = FrameBuffer(format) }

  var isWhole: Bool { frames.lastBegun == nil }

  /// Reads what is there; false where nothing was. The last of the descriptors that come is given to `adopt`.
  mutating func read(_ fd: CInt, adopt: (CInt) -> Void = { close($0) }) -> Bool {
    var control = ControlBuffer(size: ControlBuffer.space(4 * Messages.mostDescriptors))
    var came: [CInt] = []
    let count = frames.fill { room in
      var address = AddressBuffer(room: 0)
      do throws(Errno) {
        let (count, _) = try Messages.receive(fd, into: room, flags: 0, control: &control, address: &address)
        control.rights { came.append($0) }
        return count
      } catch {
        return error.rawValue == ENOTSOCK ? max(0, systemRead(fd, room.baseAddress, room.count)) : 0
      }
    }
    for fd in came.dropLast() { _ = close(fd) }
    do {
      while let (frame, _) = try frames.next() {
        guard var reader = try? TermReader(checking: frame), let arity = try? reader.tupleHeader() else {
          fail("an answer that is no term")
        }
        demand(arity == 2 || arity == 3, "an answer of \(arity)")
      }
    } catch {
      fail("a frame that is too long")
    }
    if let last = came.last { adopt(last) }
    return count > 0
  }

  /// Reads what nobody looks at.
  static func skip(_ fd: CInt) -> Bool {
    withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 16) { receive(fd, $0) > 0 }
  }

  static func receive(_ fd: CInt, _ room: UnsafeMutableRawBufferPointer) -> Int {
    let count = recv(fd, room.baseAddress, room.count, CInt(MSG_DONTWAIT))
    return count < 0 && errno == ENOTSOCK ? systemRead(fd, room.baseAddress, room.count) : count
  }
}

@_silgen_name("__sanitizer_get_current_allocated_bytes")
private func allocatedBytes() -> Int

private func systemSend(_ fd: CInt, _ bytes: UnsafeRawPointer?, _ count: Int, _ flags: CInt) -> Int {
  send(fd, bytes, count, flags)
}

private func systemRead(_ fd: CInt, _ bytes: UnsafeMutableRawPointer?, _ count: Int) -> Int { read(fd, bytes, count) }
