import ErlangTerm
import SystemCalls
import Testing

/// Connections, spoken to the executable.
@Suite(.serialized) struct ConnectionTests {
  private static let longest = 1 << 24

  /// The attached connection or a direct one.
  private func end(_ attached: AttachedProcess, isDirect: Bool) throws -> NodeEnd {
    isDirect ? try attached.direct() : attached.attached
  }

  @Test(arguments: [false, true]) func callsOneAfterTheOther(isDirect: Bool) throws {
    let attached = try AttachedProcess("worker", spin: 100)
    let end = try end(attached, isDirect: isDirect)
    for _ in 0..<1000 { #expect(try end.ask("errno_id", [13]) == answer(.ok("eacces"))) }
    let frame = request("errno_id", [13])
    for byte in [0, 0, 0, UInt8(frame.count)] + frame { try end.send([byte]) }
    #expect(try end.receive() == answer(.ok("eacces")))
    #expect(try attached.process.end() == 0)
  }

  /// Requests whose answers nobody has read yet are answered all, in their order.
  @Test(arguments: ["worker", "opener", "capture"], [false, true]) func pipelined(_ role: String, isDirect: Bool) throws
  {
    if role == "capture", isDirect { return }
    let attached = try AttachedProcess(role)
    let end = try end(attached, isDirect: isDirect)
    let count: Int64 = 5_000
    var stream: [UInt8] = []
    for id in 0..<count {
      let frame = request("nothing", id: .integer(id))
      stream += [0, 0, 0, UInt8(frame.count)] + frame
    }
    // Not more than the sockets hold: none of both would go on.
    for chunk in stride(from: 0, to: stream.count, by: 50_000).map({ stream[$0..<min($0 + 50_000, stream.count)] }) {
      try end.send(Array(chunk))
    }
    for id in 0..<count { #expect(try end.receive() == answer(.undefined("nothing"), id: .integer(id))) }
    #expect(try attached.process.end() == 0)
  }

  /// What is no request is answered.
  @Test(arguments: ["worker", "opener", "capture"], [false, true]) func malformed(_ role: String, isDirect: Bool) throws
  {
    if role == "capture", isDirect { return }
    let attached = try AttachedProcess(role)
    let end = try end(attached, isDirect: isDirect)
    let bad: [([UInt8], [UInt8])] = [
      ([], answer(.error(.tuple(["badterm", 0])), id: "undefined")),
      ([131], answer(.error(.tuple(["badterm", 1])), id: "undefined")),
      ([131, 104, 3], answer(.error(.tuple(["badterm", 3])), id: "undefined")),
      ([131, 97, 1], answer(.error("badrequest"), id: "undefined")),
      (Term.tuple([1, "counters", "none"]).bytes, answer(.error("badrequest"))),
      (request("nothing"), answer(.undefined("nothing"))),
      (request("part", [0, 10, .binary("x")]), answer(.undefined("part"))),
      (request("attach"), answer(.error(.tuple(["badarity", "attach", 3])))),
    ]
    for (frame, expected) in bad {
      try end.send(frame: frame)
      #expect(try end.receive() == expected, "\(frame)")
    }
    #expect(try attached.process.end() == 0)
  }

  /// A frame that is too long closes a direct connection, and ends the process on the attached one.
  @Test(arguments: ["worker", "opener", "capture"], [[255, 255, 255, 255], []] as [[UInt8]])
  func tooLong(_ role: String, _ header: [UInt8]) throws {
    let longest = role == "opener" ? 65_535 : Self.longest
    let header = header.isEmpty ? withUnsafeBytes(of: UInt32(longest + 1).bigEndian) { [UInt8]($0) } : header
    let attached = try AttachedProcess(role)
    if role != "capture" {
      let direct = try attached.direct()
      try direct.send(header)
      #expect(try direct.receive() == nil)
    }
    #expect(try attached.attached.ask("nothing") == answer(.undefined("nothing")))
    try attached.attached.send(header)
    #expect(try attached.attached.receive() == nil)
    #expect(try attached.process.wait() == 0)
  }

  /// The end of the attached connection ends the process, whatever has been begun there.
  @Test(arguments: ["worker", "opener", "capture"], [[], [0, 0, 0, 9, 131]] as [[UInt8]])
  func endOfAttached(_ role: String, _ begun: [UInt8]) throws {
    let attached = try AttachedProcess(role)
    try attached.attached.send(begun)
    #expect(shutdown(attached.attached.socket.number, CInt(SHUT_RDWR)) == 0)
    #expect(try attached.process.wait() == 0)
  }

  /// A new direct connection takes the place of the last; one whose other end is closed is no harm.
  @Test(arguments: ["worker", "opener"]) func replaced(_ role: String) throws {
    let attached = try AttachedProcess(role)
    let first = try attached.direct()
    try first.send([0, 0, 0, 9, 131])
    let second = try attached.direct()
    #expect(try first.receive() == nil)
    #expect(try second.ask("nothing") == answer(.undefined("nothing")))
    // It may be asked for the next one itself.
    let third = try attached.direct(by: second)
    #expect(try second.receive() == nil)
    #expect(try third.ask("nothing") == answer(.undefined("nothing")))
    do { try attached.direct().send(frame: request("nothing")) }
    let last = try attached.direct()
    #expect(try last.ask("nothing") == answer(.undefined("nothing")))
    #expect(try attached.process.end() == 0)
  }

  /// The longest request there is, and the longest answer; what is longer is `emsgsize`.
  @Test(arguments: [false, true]) func longest(isDirect: Bool) throws {
    let attached = try AttachedProcess("worker")
    let end = try end(attached, isDirect: isDirect)
    let overhead = answer(.ok(.binary([]))).count
    for (handle, size) in [(1, Self.longest - overhead), (2, Self.longest - overhead + 1)] as [(Int64, Int)] {
      let pointers: [Term] = [.tuple(["ptr", .integer(Int64(size))])]
      #expect(try end.ask("alloc", [.list(pointers), .list([.integer(handle)])]) != nil)
    }
    let data = (0..<(Self.longest - request("memcpy", [1, .binary([])]).count)).map {
      UInt8(truncatingIfNeeded: $0 &* 31)
    }
    let frame = request("memcpy", [1, .binary(data)])
    #expect(frame.count == Self.longest)
    try end.send(frame: frame)
    #expect(try end.receive() == answer("ok"))
    let whole = try #require(try end.ask("buf", [1]))
    #expect(whole.count == Self.longest && whole.dropFirst(overhead).starts(with: data))
    #expect(try end.ask("buf", [2]) == answer(.error("emsgsize")))
    #expect(try end.ask("errno_id", [13]) == answer(.ok("eacces")))
    #expect(try attached.process.end() == 0)
  }

  /// An answer that nobody reads keeps nobody else waiting, and no request of its connection is served before it is taken.
  @Test(arguments: [false, true]) func unreadAnswer(isDirect: Bool) throws {
    let attached = try AttachedProcess("worker")
    let end = try end(attached, isDirect: isDirect)
    let other = isDirect ? attached.attached : try attached.direct()
    #expect(try end.ask("alloc", [.list([.tuple(["ptr", 8_000_000])]), .list([1])]) != nil)
    try end.send(frame: request("buf", [1]))
    try end.send(frame: request("free", [.list([1])]))
    for id in 0..<100 as Range<Int64> {
      try attached.process.send(frame: request("errno_id", [13], id: .integer(id)))
      #expect(try attached.process.receive() == answer(.ok("eacces"), id: .integer(id)))
    }
    #expect(try other.ask("memcpy", [1, .binary("x")]) == answer("ok"))
    let expected = answer(.ok(.zeroes(8_000_000)))
    #expect(try end.receive()?.count == expected.count)
    #expect(try end.receive() == answer("ok"))
    #expect(try attached.process.end() == 0)
  }

  /// An answer that nobody can have is given up with its connection.
  @Test func closedWithAnAnswer() throws {
    let attached = try AttachedProcess("worker")
    for _ in 0..<3 {
      let direct = try attached.direct()
      #expect(try direct.ask("alloc", [.list([.tuple(["ptr", 8_000_000])]), .list([1])]) != nil)
      try direct.send(frame: request("buf", [1]))
      try direct.send(frame: request("buf", [1]))
      #expect(try attached.attached.ask("errno_id", [13]) == answer(.ok("eacces")))
    }
    #expect(try attached.process.end() == 0)
  }
}
