import ErlangTerm
import SystemCalls
import Testing

/// The wire of docs/protocol.md, spoken to the executable over pipes.
@Suite(.serialized) struct ProtocolTests {
  @Test(arguments: ["worker", "opener"]) func endOfInput(_ role: String) throws {
    let process = try PortProcess([role])
    #expect(try process.end() == 0)
  }

  @Test(arguments: [[0], [0, 10], [0, 10, 131, 104], [255, 255, 131]] as [[UInt8]]) func endInAFrame(_ bytes: [UInt8])
    throws
  {
    let process = try PortProcess(["worker"])
    try process.send(bytes)
    #expect(try process.end() == 0)
  }

  /// What is not understood is answered, and the next request is served.
  @Test(arguments: ["worker", "opener", "capture"]) func malformedFrames(_ role: String) throws {
    let process = try PortProcess([role])
    let bad: [([UInt8], Term)] = [
      ([], .tuple(["badterm", 0])),
      ([1, 2, 3], .tuple(["badterm", 0])),
      ([131, 104], .tuple(["badterm", 2])),
      ([131, 109, 255, 255, 255, 255, 1], .tuple(["badterm", 6])),
      ([131, 97, 1, 0], .tuple(["badterm", 3])),
      ([131, 97, 1], "badrequest"),
      ([131, 104, 2, 97, 1, 97, 1], "badrequest"),
      ([131, 104, 3, 97, 1, 97, 1, 106], "badrequest"),
      ([131, 104, 3, 109, 0, 0, 0, 0, 119, 1, 120, 106], "badrequest"),
    ]
    for (frame, reason) in bad {
      try process.send(frame: frame)
      #expect(try process.receive() == answer(.error(reason), id: "undefined"), "\(frame)")
      try process.send(frame: request("nothing"))
      #expect(try process.receive() == answer(.undefined("nothing")))
    }
    #expect(try process.end() == 0)
  }

  @Test func unknownFunction() throws {
    let process = try PortProcess(["opener"])
    for function in ["socket", "ioctl", "recvfrom", "nothing", "part", "lane", ""] {
      try process.send(frame: request(function))
      #expect(try process.receive() == answer(.undefined(function)))
    }
    #expect(try process.end() == 0)
  }

  @Test func wrongArguments() throws {
    let process = try PortProcess(["worker"])
    try process.send(frame: request("attach"))
    #expect(try process.receive() == answer(.error(.tuple(["badarity", "attach", 3]))))
    try process.send(frame: request("attach", [1000, 1000, 1000]))
    #expect(try process.receive() == answer(.badarg(1)))
    try process.send(frame: Term.tuple([1, "attach", 5]).bytes)
    #expect(try process.receive() == answer(.error("badrequest")))
    #expect(try process.end() == 0)
  }

  /// What is not about descriptors is served before there is a connection, and on stdin afterwards.
  @Test(arguments: [false, true]) func withoutDescriptors(isAttached: Bool) throws {
    let attached = isAttached ? try AttachedProcess("worker") : nil
    let process = try attached?.process ?? PortProcess(["worker"])
    let calls: [(String, [Term], Term)] = [
      ("errno_id", [2], .ok("enoent")),
      ("family", ["inet"], .ok(2)),
      ("family", ["nothing"], .error("einval")),
      ("alloc", [.list([.binary("ab")]), .list([])], .ok(.binary("ab"))),
      ("memcpy", [1, .binary("ab")], .error("enomem")),
      ("buf", [1], .error("enomem")),
      ("free", [.list([1])], "ok"),
      ("select_stop", ["event"], "ok"),
      ("batch", [.list([])], .ok(.list([]))),
      ("constants", ["nothing"], .badarg(1)),
    ]
    for (function, arguments, result) in calls {
      try process.send(frame: request(function, arguments))
      #expect(try process.receive() == answer(result), "\(function)")
    }
    #expect(try process.end() == 0)
  }

  private static let aboutDescriptors = [
    "worker": [
      "direct", "socket", "bind", "connect", "listen", "accept", "getsockname", "recvfrom", "recvmsg", "recvmmsg",
      "sendto",
      "sendmsg", "sendmmsg", "read", "write", "setsockopt", "getsockopt", "ioctl", "set_sock_nonblock", "duplicate",
      "setns",
      "select",
    ],
    "opener": ["direct", "open", "dev", "capture"],
    "capture": ["interface", "packet", "descriptor"],
  ]

  /// Descriptors do not cross on stdin and stdout.
  @Test(arguments: ["worker", "opener", "capture"], [false, true]) func aboutDescriptors(
    _ role: String, isAttached: Bool
  ) throws {
    let attached = isAttached ? try AttachedProcess(role) : nil
    let process = try attached?.process ?? PortProcess([role])
    for function in Self.aboutDescriptors[role] ?? [] {
      try process.send(frame: request(function))
      #expect(try process.receive() == answer(.error("enotconn")), "\(function)")
      guard role == "worker" else { continue }
      try process.send(frame: request("batch", [.list([.tuple([.atom(function), .list([]), .list([])])])]))
      #expect(try process.receive() == answer(.ok(.list([.tuple([0, .error("enotconn")])]))))
      try process.send(frame: request("within", [.binary("/"), .atom(function), .list([])]))
      #expect(try process.receive() == answer(.error("enotconn")))
    }
    if let attached {
      try process.send(frame: request("attach", [.binary("/tmp/x"), .zeroes(32), 0]))
      #expect(try process.receive() == answer(.error("eisconn")))
      #expect(try attached.attached.ask("nothing") == answer(.undefined("nothing")))
    }
    #expect(try process.end() == 0)
  }

  /// An answer that is longer than a frame is an error; so is one that an identifier makes too long, which cannot be told then.
  @Test func longAnswers() throws {
    let process = try PortProcess(["worker"])
    let overhead = answer(.ok(.binary([]))).count
    for (handle, size) in [(1, 65_535 - overhead), (2, 65_536 - overhead), (3, 1 << 20)] as [(Int64, Int)] {
      try process.send(
        frame: request("alloc", [.list([.tuple(["ptr", .integer(Int64(size))])]), .list([.integer(handle)])]))
      #expect(try process.receive() != nil)
      try process.send(frame: request("buf", [.integer(handle)]))
      let whole = answer(.ok(.zeroes(size)))
      #expect(try process.receive() == (whole.count <= 65_535 ? whole : answer(.error("emsgsize"))))
    }
    let number = Term.encoded([111, 0, 0, 255, 230, 0] + [UInt8](repeating: 1, count: 65_510))
    let long = Term.tuple([number, "free", .list([.list([])])]).bytes
    #expect(long.count <= 65_535)
    try process.send(frame: long)
    #expect(try process.receive() == answer("ok", id: number))
    try process.send(frame: Term.tuple([number, "nothing", .list([])]).bytes)
    #expect(try process.receive() == answer(.error("emsgsize"), id: "undefined"))
    #expect(try process.end() == 0)
  }

  /// Many frames in one write, and frames a byte at a time.
  @Test func framesInPieces() throws {
    let process = try PortProcess(["worker"])
    let frame = request("nothing")
    let stream = Array(repeatElement([0, UInt8(frame.count)] + frame, count: 100).joined())
    try process.send(stream)
    for byte in stream { try process.send([byte]) }
    for _ in 0..<200 { #expect(try process.receive() == answer(.undefined("nothing"))) }
    #expect(try process.end() == 0)
  }

  @Test func randomFrames() throws {
    let process = try PortProcess(["worker"])
    for seed in 0..<2000 {
      let bytes = (0..<(seed % 60)).map { UInt8(truncatingIfNeeded: (seed &* 2_654_435_761 &+ $0 &* 40_503) >> 7) }
      try process.send(frame: bytes.isEmpty ? [] : [131] + bytes.dropFirst())
      #expect(try process.receive() != nil)
    }
    #expect(try process.end() == 0)
  }

  @Test func version() throws {
    let process = try PortProcess(["--version"])
    let text = try process.text()
    #expect(text.hasPrefix("procket ") && text.contains("protocol 3"))
    #expect(try process.end() == 0)
  }

  @Test(arguments: [[], ["nothing"], ["worker", "more"]]) func usage(_ arguments: [String]) throws {
    let process = try PortProcess(arguments)
    #expect(try process.text() == "")
    #expect(try process.end() == 64)
  }
}
