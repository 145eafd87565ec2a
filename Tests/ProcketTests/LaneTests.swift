import ErlangTerm
import SystemCalls
import Testing

/// The lane and batches, spoken to the executable.
@Suite(.serialized) struct LaneTests {
  private let eacces = request("errno_id") { writer in
    writer.listHeader(1)
    writer.integer(13)
    writer.emptyList()
  }
  private let named = answer { writer in
    writer.tupleHeader(2)
    writer.atom("ok")
    writer.atom("eacces")
  }

  @Test func callsOneAfterTheOther() throws {
    let attached = try AttachedProcess("worker", spin: 100)
    let lane = try attached.lane()
    for _ in 0..<1000 {
      try lane.send(frame: eacces)
      #expect(try lane.receive() == named)
    }
    // In pieces, too.
    for byte in [0, 0, 0, UInt8(eacces.count)] + eacces { try lane.send([byte]) }
    #expect(try lane.receive() == named)
    #expect(try attached.process.end() == 0)
  }

  /// What is no request is answered, or closes the lane; the process goes on.
  @Test(arguments: ["worker", "opener"]) func malformed(_ role: String) throws {
    let attached = try AttachedProcess(role)
    var lane = try attached.lane()
    for frame in [[], [131], [131, 104, 3], [131, 97, 1], request("part"), request("nothing")] as [[UInt8]] {
      try lane.send(frame: frame)
      #expect(try lane.receive() != nil, "\(frame)")
    }
    try lane.send([255, 255, 255, 255])
    #expect(try lane.receive() == nil)
    lane = try attached.lane()
    try lane.send(frame: request("nothing"))
    #expect(try lane.receive() != nil)
    #expect(try attached.process.end() == 0)
  }

  /// A new lane takes the place of the last; one whose other end is closed is no harm.
  @Test func replaced() throws {
    let attached = try AttachedProcess("worker")
    let first = try attached.lane()
    try first.send([0, 0, 0, 9, 131])
    let second = try attached.lane()
    #expect(try first.receive() == nil)
    try second.send(frame: eacces)
    #expect(try second.receive() == named)
    do {
      let third = try attached.lane()
      try third.send(frame: eacces)
    }
    let fourth = try attached.lane()
    try fourth.send(frame: eacces)
    #expect(try fourth.receive() == named)
    #expect(try attached.process.end() == 0)
  }

  /// A result that does not fit into the answer to a batch is an error of its own: the answer never takes more memory than one that is too long.
  @Test func resultsThatDoNotFit() throws {
    let attached = try AttachedProcess("worker")
    let lane = try attached.lane()
    let size = 9_000_000
    try lane.send(
      frame: request("alloc") { writer in
        writer.listHeader(2)
        writer.listHeader(1)
        writer.tupleHeader(2)
        writer.atom("ptr")
        writer.integer(Int64(size))
        writer.emptyList()
        writer.listHeader(1)
        writer.integer(7)
        writer.emptyList()
        writer.emptyList()
      })
    #expect(try lane.receive() != nil)
    try lane.send(
      frame: request("batch") { writer in
        writer.listHeader(1)
        writer.listHeader(3)
        for (function, argument) in [("buf", Int64(7)), ("buf", 7), ("errno_id", 13)] {
          writer.tupleHeader(3)
          writer.atom(function)
          writer.listHeader(1)
          writer.integer(argument)
          writer.emptyList()
          writer.emptyList()
        }
        writer.emptyList()
        writer.emptyList()
      })
    let expected = answer { writer in
      writer.tupleHeader(2)
      writer.atom("ok")
      writer.listHeader(3)
      let results: [(inout TermWriter) -> Void] = [
        { writer in
          writer.atom("ok")
          [UInt8](repeating: 0, count: size).withUnsafeBytes { writer.binary($0) }
        },
        { writer in
          writer.atom("error")
          writer.atom("emsgsize")
        },
        { writer in
          writer.atom("ok")
          writer.atom("eacces")
        },
      ]
      for result in results {
        writer.tupleHeader(2)
        writer.integer(0)
        writer.tupleHeader(2)
        result(&writer)
      }
      writer.emptyList()
    }
    let received = try lane.receive()
    #expect(received?.count == expected.count && received == expected)
    #expect(try attached.process.end() == 0)
  }

  /// An answer that nobody reads keeps nobody else waiting.
  @Test func unreadAnswer() throws {
    let attached = try AttachedProcess("worker")
    let lane = try attached.lane()
    let constants = request("constants") { writer in
      writer.listHeader(1)
      writer.atom("socket_optname")
      writer.emptyList()
    }
    for _ in 0..<8 { try lane.send(frame: constants) }
    try attached.process.send(frame: eacces)
    #expect(try attached.process.receive() == named)
    let whole = try #require(try lane.receive())
    for _ in 1..<8 { #expect(try lane.receive() == whole) }
    #expect(try attached.process.end() == 0)
  }

  private func batch(_ calls: Int, _ write: @escaping (inout TermWriter, Int) -> Void) -> [UInt8] {
    request("batch") { writer in
      writer.listHeader(1)
      writer.listHeader(calls)
      for index in 0..<calls {
        writer.tupleHeader(3)
        write(&writer, index)
        writer.emptyList()
      }
      writer.emptyList()
      writer.emptyList()
    }
  }

  @Test func batchOfCalls() throws {
    let attached = try AttachedProcess("worker")
    let lane = try attached.lane()
    let calls = batch(3) { writer, index in
      writer.atom(["errno_id", "nothing", "getsockname"][index])
      writer.listHeader(1)
      writer.integer(13)
      writer.emptyList()
    }
    let results = answer { writer in
      writer.tupleHeader(2)
      writer.atom("ok")
      writer.listHeader(3)
      for (tag, value) in [(nil, "eacces"), ("undef", "nothing"), ("nofd", "getsockname")] as [(String?, String)] {
        writer.tupleHeader(2)
        writer.integer(0)
        writer.tupleHeader(2)
        writer.atom(tag == nil ? "ok" : "error")
        if let tag {
          writer.tupleHeader(2)
          writer.atom(tag)
        }
        writer.atom(value)
      }
      writer.emptyList()
    }
    try lane.send(frame: calls)
    #expect(try lane.receive() == results)
    try attached.process.send(frame: calls)
    #expect(try attached.process.receive() == results)
    #expect(try attached.process.end() == 0)
  }

  /// An index of a descriptor that did not come along.
  @Test(arguments: [0, 1, -1, Int64.max]) func badIndex(_ index: Int64) throws {
    let attached = try AttachedProcess("worker")
    let lane = try attached.lane()
    try lane.send(
      frame: request("batch") { writer in
        writer.listHeader(1)
        writer.listHeader(1)
        writer.tupleHeader(3)
        writer.atom("getsockname")
        writer.emptyList()
        writer.listHeader(1)
        writer.integer(index)
        for _ in 0..<3 { writer.emptyList() }
      })
    let refused = answer { writer in
      writer.tupleHeader(2)
      writer.atom("error")
      writer.tupleHeader(2)
      writer.atom("badarg")
      writer.integer(1)
    }
    #expect(try lane.receive() == refused)
    #expect(try attached.process.end() == 0)
  }

  /// However deep batches stand in each other: two are served, more are refused, and nothing overflows.
  @Test func batchesInBatches() throws {
    let attached = try AttachedProcess("worker")
    let lane = try attached.lane()
    var writer = TermWriter()
    writer.version()
    writer.tupleHeader(3)
    writer.integer(1)
    let depth = 100_000
    for _ in 0..<depth {
      writer.atom("batch")
      writer.listHeader(1)
      writer.listHeader(1)
      writer.tupleHeader(3)
    }
    writer.atom("errno_id")
    writer.emptyList()
    for _ in 0..<depth {
      for _ in 0..<3 { writer.emptyList() }
    }
    try lane.send(frame: writer.withBytes { [UInt8]($0) })
    let refused = try #require(try lane.receive())
    #expect(refused.count < 100)
    try lane.send(frame: eacces)
    #expect(try lane.receive() == named)
    #expect(try attached.process.end() == 0)
  }

  /// A call in a directory, which has to be there; not one of several, nor one in another directory.
  @Test(arguments: [
    ("/tmp", "errno_id", nil), ("/not/there", "errno_id", "enoent"), ("/tmp", "within", ""), ("/tmp", "batch", ""),
  ]) func within(_ directory: String, _ function: String, _ error: String?) throws {
    let attached = try AttachedProcess("worker")
    let lane = try attached.lane()
    try lane.send(
      frame: request("within") { writer in
        writer.listHeader(3)
        Array(directory.utf8).withUnsafeBytes { writer.binary($0) }
        writer.atom(function)
        writer.listHeader(1)
        writer.integer(13)
        writer.emptyList()
        writer.emptyList()
      })
    let expected = answer { writer in
      writer.tupleHeader(2)
      writer.atom(error == nil ? "ok" : "error")
      if error == "" {
        writer.tupleHeader(2)
        writer.atom("badarg")
        writer.integer(2)
      } else {
        writer.atom(error ?? "eacces")
      }
    }
    #expect(try lane.receive() == expected)
    try lane.send(frame: eacces)
    #expect(try lane.receive() == named)
    #expect(try attached.process.end() == 0)
  }

  @Test func noBatchesForAnOpener() throws {
    let attached = try AttachedProcess("opener")
    let lane = try attached.lane()
    try lane.send(
      frame: batch(1) { writer, _ in
        writer.atom("open")
        writer.emptyList()
      })
    let refused = answer { writer in
      writer.tupleHeader(2)
      writer.atom("error")
      writer.tupleHeader(2)
      writer.atom("undef")
      writer.atom("batch")
    }
    #expect(try lane.receive() == refused)
    #expect(try attached.process.end() == 0)
  }
}
