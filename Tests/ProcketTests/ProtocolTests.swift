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
  @Test(arguments: ["worker", "opener"]) func malformedFrames(_ role: String) throws {
    let process = try PortProcess([role])
    let notConnected = failure(id: 1) { $0.atom("enotconn") }
    let bad: [([UInt8], [UInt8])] = [
      ([], failure(id: nil) { $0.badterm(0) }),
      ([1, 2, 3], failure(id: nil) { $0.badterm(0) }),
      ([131, 104], failure(id: nil) { $0.badterm(2) }),
      ([131, 109, 255, 255, 255, 255, 1], failure(id: nil) { $0.badterm(6) }),
      ([131, 97, 1, 0], failure(id: nil) { $0.badterm(3) }),
      ([131, 97, 1], failure(id: nil) { $0.atom("badrequest") }),
      ([131, 104, 2, 97, 1, 97, 1], failure(id: nil) { $0.atom("badrequest") }),
      ([131, 104, 3, 97, 1, 97, 1, 106], failure(id: nil) { $0.atom("badrequest") }),
      ([131, 104, 3, 109, 0, 0, 0, 0, 119, 1, 120, 106], failure(id: nil) { $0.atom("badrequest") }),
    ]
    for (frame, answer) in bad {
      try process.send(frame: frame)
      #expect(try process.receive() == answer, "\(frame)")
      try process.send(frame: request(role == "worker" ? "errno_id" : "open"))
      #expect(try process.receive() == notConnected)
    }
    #expect(try process.end() == 0)
  }

  @Test func unknownFunction() throws {
    let process = try PortProcess(["opener"])
    for function in ["socket", "ioctl", "recvfrom", "nothing", ""] {
      try process.send(frame: request(function))
      let answer = failure(id: 1) {
        $0.tupleHeader(2)
        $0.atom("undef")
        $0.atom(function)
      }
      #expect(try process.receive() == answer)
    }
    #expect(try process.end() == 0)
  }

  @Test func wrongArguments() throws {
    let process = try PortProcess(["worker"])
    try process.send(frame: request("attach"))
    let arity = failure(id: 1) {
      $0.tupleHeader(3)
      $0.atom("badarity")
      $0.atom("attach")
      $0.integer(3)
    }
    #expect(try process.receive() == arity)
    try process.send(
      frame: request("attach") {
        $0.listHeader(3)
        for _ in 0..<3 { $0.integer(1000) }
        $0.emptyList()
      })
    let badarg = failure(id: 1) {
      $0.tupleHeader(2)
      $0.atom("badarg")
      $0.integer(1)
    }
    #expect(try process.receive() == badarg)
    try process.send(frame: request("attach") { $0.integer(5) })
    #expect(try process.receive() == failure(id: 1) { $0.atom("badrequest") })
    #expect(try process.end() == 0)
  }

  /// A request in parts is served as a whole; wrong parts are answered.
  @Test func parts() throws {
    let attached = try AttachedProcess("worker")
    let process = attached.process
    let whole = request("nothing")
    try process.send(frame: part(0, whole.count, Array(whole[..<5])))
    try process.send(frame: part(5, whole.count, Array(whole[5...])))
    #expect(try process.receive() == undefined("nothing"))
    try process.send(frame: part(3, 10, [1]))
    let badpart = failure(id: 1) {
      $0.tupleHeader(2)
      $0.atom("badpart")
      $0.integer(0)
    }
    #expect(try process.receive() == badpart)
    try process.send(frame: part(0, 1 << 24 + 1, [1]))
    #expect(try process.receive() == badpart)
    #expect(try process.end() == 0)
  }

  /// What was put together of parts is no part; an opener takes none, nor does anyone before it is attached.
  @Test(arguments: ["worker", "capture", "opener"]) func noPartsInParts(_ role: String) throws {
    let early = try PortProcess([role])
    try early.send(frame: part(0, 10, [1]))
    let expected = role == "opener" ? undefined("part") : failure(id: 1) { $0.atom("enotconn") }
    #expect(try early.receive() == expected)
    #expect(try early.end() == 0)
    let attached = try AttachedProcess(role)
    let process = attached.process
    let inner = part(0, 2, [1])
    try process.send(frame: part(0, inner.count, inner))
    #expect(
      try process.receive() == (role == "opener" ? undefined("part") : failure(id: 1) { $0.atom("badrequest") }))
    #expect(try process.end() == 0)
  }

  private func undefined(_ function: String) -> [UInt8] {
    failure(id: 1) {
      $0.tupleHeader(2)
      $0.atom("undef")
      $0.atom(function)
    }
  }

  private func part(_ offset: Int, _ total: Int, _ chunk: [UInt8]) -> [UInt8] {
    request("part") { writer in
      writer.listHeader(3)
      writer.integer(Int64(offset))
      writer.integer(Int64(total))
      chunk.withUnsafeBytes { writer.binary($0) }
      writer.emptyList()
    }
  }

  /// Many frames in one write, and frames a byte at a time.
  @Test func framesInPieces() throws {
    let process = try PortProcess(["worker"])
    let frame = request("errno_id")
    let stream = Array(repeatElement([0, UInt8(frame.count)] + frame, count: 100).joined())
    try process.send(stream)
    for byte in stream { try process.send([byte]) }
    for _ in 0..<200 { #expect(try process.receive() == failure(id: 1) { $0.atom("enotconn") }) }
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
    #expect(text.hasPrefix("procket ") && text.contains("protocol 2"))
    #expect(try process.end() == 0)
  }

  @Test(arguments: [[], ["nothing"], ["worker", "more"]]) func usage(_ arguments: [String]) throws {
    let process = try PortProcess(arguments)
    #expect(try process.text() == "")
    #expect(try process.end() == 64)
  }
}

extension TermWriter {
  fileprivate mutating func badterm(_ offset: Int64) {
    tupleHeader(2)
    atom("badterm")
    integer(offset)
  }
}
