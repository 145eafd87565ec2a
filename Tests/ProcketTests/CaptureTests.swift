#if os(Linux)
  import ErlangTerm
  import SystemCalls
  import Testing

  /// A capture, spoken to the executable.
  @Suite(.serialized) struct CaptureTests {
    private static let options: [(Term, Term)] = [
      ("ether_type", 3), ("snapshot_length", 65_536), ("promiscuous", "false"), ("buffer", 262_144),
      ("timestamps", "false"), ("cooked", "false"), ("filter", .binary("")), ("credit", 1_048_576),
    ]

    /// A capture of the datagrams of one of these sockets.
    private func capture(
      of sockets: borrowing Descriptors, _ options: [(Term, Term)] = options
    ) throws -> AttachedProcess {
      let attached = try AttachedProcess("capture")
      #expect(try attached.attached.ask("descriptor", with: copies([sockets.numbers[0]])) == answer("ok"))
      #expect(try attached.attached.ask("start", [.map(options)]) == answer("ok"))
      return attached
    }

    private func send(_ bytes: [UInt8], over fd: CInt) throws {
      _ = try bytes.withBytes { (bytes) throws(Errno) in try Messages.send(bytes, with: Descriptors(), over: fd) }
    }

    /// A packet that fits into no frame crosses in fragments, between others.
    @Test(arguments: [65_400, 65_484, 65_485, 65_600, 130_000, 131_072]) func fragments(_ size: Int) throws {
      let sockets = try socketPair(Sockets.datagram)
      var options = Self.options
      options[1].1 = .integer(1 << 24)
      let attached = try capture(of: sockets, options)
      let packet = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try send([1], over: sockets.numbers[1])
      let one = try attached.process.receive()
      #expect(one == Term.tuple(["packets", .list([.binary([1])])]).bytes)
      try send(packet, over: sockets.numbers[1])
      var whole: [UInt8] = []
      var fragments = 0
      while let frame = try attached.process.receive() {
        let (name, chunk) = try Self.parse(frame)
        if name == "packets" {
          #expect(fragments == 0)
          whole = frame
          break
        }
        whole += chunk
        fragments += 1
        if name == "last_fragment" { break }
        #expect(name == "fragment")
      }
      #expect(fragments == 0 ? size <= 65_484 : fragments > 1)
      #expect(whole == Term.tuple(["packets", .list([.binary(packet)])]).bytes)
      #expect(try attached.process.end() == 0)
    }

    private static func parse(_ frame: [UInt8]) throws -> (String, [UInt8]) {
      try frame.withUnsafeBytes { bytes in
        var reader = try TermReader(checking: bytes)
        #expect(try reader.tupleHeader() == 2)
        let name = try reader.atom()
        return (name, name == "packets" ? [] : [UInt8](try reader.binary()))
      }
    }

    /// Requests may come on both streams; each is answered on its own.
    @Test func bothStreams() throws {
      let sockets = try socketPair(Sockets.datagram)
      let attached = try capture(of: sockets)
      let stats = answer(.tuple(["ok", 0, 0, 0, 0]))
      #expect(try attached.attached.ask("stats") == stats)
      try attached.process.send(frame: request("stats"))
      #expect(try attached.process.receive() == stats)
      #expect(try attached.attached.ask("send", [.list([.binary("a")])]) == answer(.ok(1)))
      try attached.process.send(frame: request("send", [.list([.binary("b"), .binary("c")])]))
      #expect(try attached.process.receive() == answer(.ok(2)))
      #expect(try attached.attached.ask("info") == answer("ok"))
      #expect(try attached.attached.ask("descriptor", with: copies([sockets.numbers[0]])) == answer(.error("ealready")))
      #expect(try attached.attached.ask("start", [.map(Self.options)]) == answer(.error("ealready")))
      #expect(try attached.process.end() == 0)
    }

    /// What has to wait until it can be sent is answered later, where it was asked for.
    @Test func sentLater() throws {
      let sockets = try socketPair(Sockets.datagram)
      let attached = try capture(of: sockets)
      let messages = Term.list([Term](repeating: .binary("x"), count: 1000))
      try attached.attached.send(frame: request("send", [messages], id: "first"))
      try attached.process.send(frame: request("send", [messages], id: "second"))
      try attached.process.send(frame: request("counters"))
      #expect(try attached.process.receive() != nil)
      let end = sockets.numbers[1]
      var bytes: [UInt8] = [0, 0]
      for _ in 0..<2000 { #expect(recv(end, &bytes, bytes.count, 0) == 1) }
      #expect(try attached.attached.receive() == answer(.ok(1000), id: "first"))
      #expect(try attached.process.receive() == answer(.ok(1000), id: "second"))
      #expect(try attached.process.end() == 0)
    }

    /// Without credit nothing is written; with more, what waits.
    @Test func credit() throws {
      let sockets = try socketPair(Sockets.datagram)
      let attached = try capture(of: sockets, Array(Self.options.dropLast()) + [("credit", 0)])
      try send([1], over: sockets.numbers[1])
      while try attached.attached.ask("stats") != answer(.tuple(["ok", 1, 0, 0, 0])) {}
      try attached.process.send(frame: request("errno_id", [1]))
      #expect(try attached.process.receive() == answer(.undefined("errno_id")))
      try attached.attached.send(frame: request("credit", [1]))
      #expect(try attached.process.receive() == Term.tuple(["packets", .list([.binary([1])])]).bytes)
      #expect(try attached.attached.ask("credit", [-1]) == answer(.badarg(1)))
      #expect(try attached.process.end() == 0)
    }

    private static let wrong: [(String, [Term])] = [
      ("ether_type", [-1, 65_536, "all"]),
      ("snapshot_length", [0, 16_777_217, .binary("")]),
      ("promiscuous", [0, 1, "maybe", .binary("true")]),
      ("buffer", [0, 2_147_483_649, "default"]),
      ("timestamps", [1, "yes"]),
      ("cooked", [0, "no"]),
      ("filter", [1, .list([])]),
      ("credit", [-1, 4_294_967_297, "much"]),
    ]

    /// Each value of a wrong type, or out of range, is named by its key.
    @Test(arguments: wrong) func wrongOptions(_ key: String, _ values: [Term]) throws {
      let process = try PortProcess(["capture"])
      for value in values {
        let options = Self.options.map { pair in pair.0.bytes == Term.atom(key).bytes ? (pair.0, value) : pair }
        try process.send(frame: request("start", [.map(options)]))
        #expect(try process.receive() == answer(.badarg(.atom(key))), "\(value)")
      }
      for options in [Self.options, Self.options.reversed()] {
        try process.send(frame: request("start", [.map(options)]))
        #expect(try process.receive() == answer(.error("enotconn")))
        try process.send(frame: request("start", [.map(options + [(Term.atom(key), 1)])]))
        #expect(try process.receive() == answer(.badarg(.atom(key))))
      }
      let rest = Self.options.filter { $0.0.bytes != Term.atom(key).bytes }
      let isRequired = ["ether_type", "snapshot_length", "buffer", "credit"].contains(key)
      try process.send(frame: request("start", [.map(rest)]))
      #expect(try process.receive() == answer(isRequired ? .badarg(.atom(key)) : .error("enotconn")))
      #expect(try process.end() == 0)
    }

    /// Descriptors that do not fit the function.
    @Test func wrongDescriptors() throws {
      let attached = try AttachedProcess("capture")
      let end = attached.attached
      let sockets = try socketPair(Sockets.datagram)
      let stream = try socketPair()
      #expect(try end.ask("descriptor") == answer(.error(.tuple(["nofd", "descriptor"]))))
      let both = try copies([sockets.numbers[0], sockets.numbers[1]])
      #expect(try end.ask("descriptor", with: both) == answer(.error(.tuple(["nofd", "descriptor"]))))
      #expect(try end.ask("descriptor", with: copies([stream.numbers[0]])) == answer(.error("enotsup")))
      #expect(try end.ask("packet", with: copies([stream.numbers[0]])) == answer(.error("enotconn")))
      #expect(try end.ask("interface", [.binary("lo")], with: copies([stream.numbers[0]])) == answer(.error("einval")))
      #expect(try end.ask("interface", [.binary("lo")]) == answer(.error(.tuple(["nofd", "interface"]))))
      #expect(try end.ask("direct") == answer(.undefined("direct")))
      let netlink = try Sockets.socket(family: AF_NETLINK, type: 3, protocol: 0)
      #expect(
        try end.ask("interface", [.binary("nothing")], with: copies([netlink.number])) == answer(.error("enodev")))
      // Those that were refused are closed.
      #expect(attached.process.openFiles == 3 + 1)
      #expect(try end.ask("descriptor", with: copies([sockets.numbers[0]])) == answer("ok"))
      #expect(attached.process.openFiles == 3 + 2)
      #expect(try attached.process.end() == 0)
    }
  }
#endif
