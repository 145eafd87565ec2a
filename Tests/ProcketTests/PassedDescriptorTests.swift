import CSystem
import ErlangTerm
import SystemCalls
import Testing

/// Descriptors that cross with requests and answers.
@Suite(.serialized) struct PassedDescriptorTests {
  /// Each request has its own, however many are on the way, and however long the one before is.
  @Test(arguments: [false, true], [0, 10, 120_000, 150_000]) func pipelined(isDirect: Bool, _ size: Int) throws {
    let attached = try AttachedProcess("worker")
    let end = isDirect ? try attached.direct() : attached.attached
    let null = try Files.open("/dev/null", flags: O_WRONLY)
    let pipes = try (0..<20 as Range<UInt8>).map { try FilledPipe([$0]) }
    for (index, pipe) in pipes.enumerated() {
      // So that both are read at once.
      kill(attached.process.pid, SIGSTOP)
      defer { kill(attached.process.pid, SIGCONT) }
      try end.send(frame: request("write", [.zeroes(size)], id: "write"), with: copies([null.number]))
      let id = Term.integer(Int64(index))
      try end.send(frame: request("read", [100], id: id), with: copies([pipe.reader.number]))
      if index % 3 == 0 { try end.send(frame: request("read", [100], id: "none")) }
      kill(attached.process.pid, SIGCONT)
      #expect(try end.receive() == answer(.ok(.integer(Int64(size))), id: "write"))
      #expect(try end.receive() == answer(.ok(.binary([UInt8(index)])), id: id))
      if index % 3 == 0 { #expect(try end.receive() == answer(.error(.tuple(["nofd", "read"])), id: "none")) }
    }
    #expect(try attached.process.end() == 0)
  }

  /// An answer's descriptors come with its first byte, and are the node's alone.
  @Test(arguments: [false, true]) func brought(isDirect: Bool) throws {
    let attached = try AttachedProcess("worker")
    let end = isDirect ? try attached.direct() : attached.attached
    let pipe = try FilledPipe([1, 2, 3])
    for id in 0..<50 as Range<Int64> {
      try end.send(frame: request("duplicate", id: .integer(id)), with: copies([pipe.reader.number]))
    }
    for id in 0..<50 as Range<Int64> {
      #expect(try end.receive() == answer("ok", descriptors: 1, id: .integer(id)))
      #expect(end.came.count == Int(id) + 1)
    }
    end.came.removeAll()
    pipe.closeReader()
    // Nobody is left who could read.
    #expect(pipe.isBroken)
    #expect(try attached.process.end() == 0)
  }

  /// Before the second byte of an answer comes, its descriptors are closed in the port process: a port is free once the node closes it.
  @Test func freeAtOnce() throws {
    let attached = try AttachedProcess("worker")
    let direct = try attached.direct()
    for _ in 0..<100 {
      let pipe = try FilledPipe([1])
      try direct.send(frame: request("duplicate"), with: copies([pipe.reader.number]))
      pipe.closeReader()
      #expect(try direct.receive() == answer("ok", descriptors: 1))
      #expect(!pipe.isBroken)
      direct.came.removeAll()
      #expect(pipe.isBroken)
    }
    #expect(try attached.process.end() == 0)
  }

  /// What a function does not take is closed, and so is what comes with something that is no request.
  @Test func unused() throws {
    let attached = try AttachedProcess("worker")
    let pipe = try FilledPipe([1])
    for frame in [request("errno_id", [13]), request("nothing"), [1, 2], [], request("errno_id")] {
      try attached.attached.send(frame: frame, with: copies([pipe.reader.number, pipe.reader.number]))
      #expect(try attached.attached.receive() != nil)
    }
    pipe.closeReader()
    #expect(pipe.isBroken)
    #expect(try attached.attached.ask("read", [1]) == answer(.error(.tuple(["nofd", "read"]))))
    #expect(try attached.process.end() == 0)
  }

  /// An opener does not take any.
  @Test func notForAnOpener() throws {
    let attached = try AttachedProcess("opener")
    let pipe = try FilledPipe([1])
    #expect(try attached.attached.ask("reasons", with: copies([pipe.reader.number])) == answer("ok"))
    pipe.closeReader()
    #expect(pipe.isBroken)
    #expect(try attached.process.end() == 0)
  }

  #if os(Linux)
    /// What is waited for is told on stdout, whatever it was called: if a frame holds that.
    @Test func selected() throws {
      let attached = try AttachedProcess("worker")
      let pipe = try FilledPipe([1])
      let reader = pipe.reader.number
      for event in ["event", .integer(7), .zeroes(65_471 - 5)] as [Term] {
        let arguments: [Term] = [.integer(Int64(reader)), "read", event]
        #expect(try attached.attached.ask("select", arguments, with: copies([reader])) == answer("ok"))
        #expect(try attached.process.receive() == Term.tuple([event, "ready"]).bytes)
      }
      let arguments: [Term] = [.integer(Int64(reader)), "read", .zeroes(65_471 - 4)]
      #expect(try attached.attached.ask("select", arguments, with: copies([reader])) == answer(.badarg(3)))
      #expect(try attached.process.end() == 0)
    }

    /// Where the process has no room for them, the request is refused, and the next one has its own.
    @Test func lost() throws {
      let attached = try AttachedProcess("worker")
      let pipe = try FilledPipe([7])
      let before = attached.process.limit(openFiles: attached.process.openFiles + 1)
      let many = try copies([CInt](repeating: pipe.reader.number, count: 3))
      #expect(try attached.attached.ask("read", [1], with: many) == answer(.error("emfile")))
      #expect(
        try attached.attached.ask("read", [1], with: copies([pipe.reader.number])) == answer(.ok(.binary([7]))))
      attached.process.limit(openFiles: before)
      #expect(try attached.process.end() == 0)
    }

    /// Where too many descriptors of the user are on the way, an answer waits for some to arrive, and nobody else waits for it.
    @Test func tooManyOnTheWay() throws {
      // The limit does not bind who has these capabilities.
      let wrapper = getuid() == 0 ? ["setpriv", "--bounding-set=-sys_admin,-sys_resource"] : []
      let attached = try AttachedProcess("worker", through: wrapper)
      let direct = try attached.direct()
      let pipe = try FilledPipe([1])
      let way = try OnTheWay(200)
      attached.process.limit(openFiles: 100)
      try attached.attached.send(frame: request("duplicate", id: 1), with: copies([pipe.reader.number]))
      try direct.send(frame: request("duplicate", id: 2), with: copies([pipe.reader.number]))
      for _ in 0..<20 {
        try attached.process.send(frame: request("errno_id", [13]))
        #expect(try attached.process.receive() == answer(.ok("eacces")))
      }
      var entries = [attached.attached, direct].map { pollfd(fd: $0.socket.number, events: Int16(POLLIN), revents: 0) }
      #expect(poll(&entries, 2, 0) == 0)
      way.arrive()
      #expect(try attached.attached.receive() == answer("ok", descriptors: 1, id: 1))
      #expect(try direct.receive() == answer("ok", descriptors: 1, id: 2))
      #expect(attached.attached.came.count == 1 && direct.came.count == 1)
      #expect(try attached.process.end() == 0)
    }
  #endif
}

/// Descriptors that were sent and not received.
private final class OnTheWay {
  private var ends: Descriptors

  init(_ count: Int) throws {
    ends = try socketPair()
    try Files.setNonblocking(ends.numbers[0], true)
    let null = try Files.open("/dev/null", flags: O_RDONLY)
    for _ in 0..<(count / 50) {
      let some = try copies([CInt](repeating: null.number, count: 50))
      _ = try [UInt8(0)].withBytes { (bytes) throws(Errno) in
        try Messages.send(bytes, with: some, over: ends.numbers[0])
      }
    }
  }

  func arrive() { ends.removeAll() }
}

/// A pipe with something in it.
final class FilledPipe {
  private(set) var reader = LateDescriptor()
  private let writer: Descriptor

  init(_ bytes: [UInt8]) throws {
    var ends: [CInt] = [-1, -1]
    try valueOrErrno { pipe(&ends) }
    reader.open(Descriptor(owning: ends[0]))
    writer = Descriptor(owning: ends[1])
    let number = writer.number
    try bytes.withBytes { (bytes) throws(Errno) in try Files.writeAll(number, bytes) }
  }

  func closeReader() { reader.close() }

  /// Whether nobody can read it any more.
  var isBroken: Bool {
    var entry = pollfd(fd: writer.number, events: Int16(POLLOUT), revents: 0)
    return poll(&entry, 1, 0) == 1 && entry.revents & Int16(POLLERR) != 0
  }
}

/// Two connected Unix sockets.
func socketPair(_ type: CInt = Sockets.stream) throws(Errno) -> Descriptors {
  var ends: [CInt] = [-1, -1]
  try valueOrErrno { socketpair(AF_UNIX, type, 0, &ends) }
  var both = Descriptors()
  for end in ends { both.append(Descriptor(owning: end)) }
  return both
}

/// Other descriptors of the same open files.
func copies(_ numbers: [CInt]) throws(Errno) -> Descriptors {
  var copies = Descriptors()
  for number in numbers { copies.append(try Files.duplicate(number)) }
  return copies
}
