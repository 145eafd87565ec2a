import ErlangTerm
import Testing

/// Calls in other calls, asked of the executable.
@Suite(.serialized) struct BatchTests {
  private static let eacces = Term.tuple(["errno_id", .list([13]), .list([])])

  @Test func batchOfCalls() throws {
    let attached = try AttachedProcess("worker")
    let calls: [Term] = ["errno_id", "nothing", "getsockname"].map { .tuple([$0, .list([13]), .list([])]) }
    let results: [Term] = [.ok("eacces"), .undefined("nothing"), .error(.tuple(["nofd", "getsockname"]))]
    #expect(try attached.attached.ask("batch", [.list(calls)]) == answer(.ok(.list(results.map { .tuple([0, $0]) }))))
    // On stdin no call is about descriptors.
    try attached.process.send(frame: request("batch", [.list(calls)]))
    let refused = [results[0], results[1], .error("enotconn")]
    #expect(try attached.process.receive() == answer(.ok(.list(refused.map { .tuple([0, $0]) }))))
    #expect(try attached.process.end() == 0)
  }

  /// A result that does not fit into the answer is an error of its own: the answer never takes more memory than one that is too long.
  @Test func resultsThatDoNotFit() throws {
    let attached = try AttachedProcess("worker")
    for (size, isOnStdin) in [(9_000_000, false), (40_000, true)] {
      let pointer = Term.tuple(["ptr", .integer(Int64(size))])
      #expect(try attached.attached.ask("alloc", [.list([pointer]), .list([.integer(Int64(size))])]) != nil)
      let buffer = Term.tuple(["buf", .list([.integer(Int64(size))]), .list([])])
      let batch = request("batch", [.list([buffer, buffer, Self.eacces])])
      let results: [Term] = [.ok(.zeroes(size)), .error("emsgsize"), .ok("eacces")]
      let expected = answer(.ok(.list(results.map { .tuple([0, $0]) })))
      if isOnStdin { try attached.process.send(frame: batch) } else { try attached.attached.send(frame: batch) }
      let received = isOnStdin ? try attached.process.receive() : try attached.attached.receive()
      #expect(received?.count == expected.count && received == expected)
    }
    #expect(try attached.process.end() == 0)
  }

  /// The descriptors of all calls come along together, and each call names its own.
  @Test func descriptors() throws {
    let attached = try AttachedProcess("worker")
    let pipes = try (0..<3).map { try FilledPipe([UInt8($0)]) }
    let calls: [Term] = [2, 0, 1].map { .tuple(["read", .list([9]), .list([$0])]) }
    let results: [Term] = [2, 0, 1].map { .tuple([0, .ok(.binary([$0]))]) }
    let all = try copies(pipes.map { $0.reader.number })
    #expect(try attached.attached.ask("batch", [.list(calls)], with: all) == answer(.ok(.list(results))))
    let duplicates: [Term] = [0, 1].map { .tuple(["duplicate", .list([]), .list([$0])]) }
    let brought = answer(.ok(.list([.tuple([1, "ok"]), .tuple([1, "ok"])])), descriptors: 2)
    #expect(try attached.attached.ask("batch", [.list(duplicates)], with: all) == brought)
    #expect(attached.attached.came.count == 2)
    #expect(try attached.process.end() == 0)
  }

  /// An index of a descriptor that did not come along.
  @Test(arguments: [0, 1, -1, Int64.max]) func badIndex(_ index: Int64) throws {
    let attached = try AttachedProcess("worker")
    let call = Term.tuple(["getsockname", .list([]), .list([.integer(index)])])
    #expect(try attached.attached.ask("batch", [.list([call])]) == answer(.badarg(1)))
    #expect(try attached.process.end() == 0)
  }

  /// However deep batches stand in each other: two are served, more are refused, and nothing overflows.
  @Test func batchesInBatches() throws {
    let attached = try AttachedProcess("worker")
    let depth = 100_000
    let begin: [UInt8] = [119, 5] + Array("batch".utf8) + [108, 0, 0, 0, 1, 108, 0, 0, 0, 1, 104, 3]
    let frame =
      [131, 104, 3, 97, 1] + [[UInt8]](repeating: begin, count: depth).joined() + [119, 1, 120, 106]
      + [UInt8](repeating: 106, count: 3 * depth)
    try attached.attached.send(frame: frame)
    let refused = try #require(try attached.attached.receive())
    #expect(refused.count < 100)
    #expect(try attached.attached.ask("errno_id", [13]) == answer(.ok("eacces")))
    #expect(try attached.process.end() == 0)
  }

  /// A call in a directory, which has to be there; not one of several, nor one in another directory.
  @Test(arguments: [
    ("/tmp", "errno_id", Term.ok("eacces")), ("/not/there", "errno_id", .error("enoent")),
    ("/tmp", "within", .badarg(2)), ("/tmp", "batch", .badarg(2)), ("/tmp", "duplicate", .error("enotconn")),
  ]) func within(_ directory: String, _ function: String, _ result: Term) throws {
    // It needs no connection.
    let process = try PortProcess(["worker"])
    try process.send(frame: request("within", [.binary(directory), .atom(function), .list([13])]))
    #expect(try process.receive() == answer(result))
    try process.send(frame: request("errno_id", [13]))
    #expect(try process.receive() == answer(.ok("eacces")))
    #expect(try process.end() == 0)
  }

  @Test func noBatchesForAnOpener() throws {
    let attached = try AttachedProcess("opener")
    #expect(try attached.attached.ask("batch", [.list([])]) == answer(.undefined("batch")))
    #expect(try attached.process.end() == 0)
  }
}
