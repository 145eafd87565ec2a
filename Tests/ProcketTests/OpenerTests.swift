import ErlangTerm
import SystemCalls
import Testing

/// What an opener is asked for, in maps.
@Suite(.serialized) struct OpenerTests {
  private static let socket: [(Term, Term)] = [
    ("family", .integer(Int64(AF_INET))), ("type", 2), ("protocol", 17), ("address", .binary([127, 0, 0, 1])),
    ("port", 0),
    ("interface", .binary("")), ("namespace", .binary("")), ("backlog", 5),
  ]
  private static let capture: [(Term, Term)] = [
    ("type", 3), ("interface", .binary("lo")), ("namespace", .binary("")), ("filter", .binary("")),
  ]
  private static let device: [(Term, Term)] = [("name", .binary("null")), ("namespace", .binary(""))]
  private static let requests = ["open": socket, "capture": capture, "dev": device]

  /// Keys may come in any order, and what is not required may be left out.
  @Test func opened() throws {
    let attached = try AttachedProcess("opener")
    for pairs in [Self.socket, Self.socket.reversed(), Array(Self.socket[..<3])] {
      #expect(try attached.attached.ask("open", [.map(pairs)]) == answer("ok", descriptors: 1))
    }
    #expect(attached.attached.came.count == 3)
    #expect(try attached.process.end() == 0)
  }

  private static let wrong: [(String, String, [Term])] = [
    ("open", "family", [-1, 0x10000, "inet", .binary("x"), .list([])]),
    ("open", "type", [-1, 0x800, "stream"]),
    ("open", "protocol", [-1, 2_147_483_648, .encoded([110, 9, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1])]),
    ("open", "address", [.zeroes(17), 0, "any"]),
    ("open", "port", [-1, 65_536, .binary("80")]),
    ("open", "interface", [.binary("eth 0"), .binary([0]), .binary([255]), "eth0", .list([])]),
    ("open", "namespace", [.binary([97, 0]), .zeroes(1), .binary([UInt8](repeating: 97, count: 4096)), 1]),
    ("open", "backlog", [-1, 2_147_483_648, "undefined"]),
    ("capture", "type", [1, 4, "raw", .binary([])]),
    ("capture", "interface", [.binary("a/b"), .binary(" "), 1]),
    ("capture", "namespace", [.binary([0]), "none"]),
    ("capture", "filter", [.list([]), 1]),
    ("dev", "name", [.binary("../etc"), .binary(""), .binary([UInt8](repeating: 97, count: 201)), "null"]),
    ("dev", "namespace", [.binary([0]), "none"]),
  ]

  /// Each value of a wrong type, or out of range, is named by its key.
  @Test(arguments: wrong) func wrongValues(_ function: String, _ key: String, _ values: [Term]) throws {
    let attached = try AttachedProcess("opener")
    let pairs = Self.requests[function] ?? []
    for value in values {
      let changed = pairs.map { pair in Self.isKey(pair.0, key) ? (pair.0, value) : pair }
      #expect(try attached.attached.ask(function, [.map(changed)]) == answer(.badarg(.atom(key))), "\(value)")
    }
    #expect(try attached.process.end() == 0)
  }

  private static func isKey(_ term: Term, _ key: String) -> Bool { term.bytes == Term.atom(key).bytes }

  @Test(arguments: [("open", ["family", "type", "protocol"]), ("capture", ["type"]), ("dev", ["name"])])
  func missingKeys(_ function: String, _ required: [String]) throws {
    let attached = try AttachedProcess("opener")
    let pairs = Self.requests[function] ?? []
    for key in required {
      let rest = pairs.filter { !Self.isKey($0.0, key) }
      #expect(try attached.attached.ask(function, [.map(rest)]) == answer(.badarg(.atom(key))))
    }
    #expect(try attached.attached.ask(function, [.map([])]) == answer(.badarg(.atom(required[0]))))
    #expect(try attached.process.end() == 0)
  }

  @Test(arguments: ["open", "capture", "dev"]) func otherKeys(_ function: String) throws {
    let attached = try AttachedProcess("opener")
    let pairs = Self.requests[function] ?? []
    let end = attached.attached
    #expect(try end.ask(function, [.map(pairs + [("more", 1)])]) == answer(.badarg("more")))
    #expect(try end.ask(function, [.map([("", 1)] + pairs)]) == answer(.badarg("")))
    for pair in pairs {
      let name = Term.encoded(Array(pair.0.bytes.dropFirst()))
      #expect(try end.ask(function, [.map(pairs + [pair])]) == answer(.badarg(name)))
    }
    // A key that is no atom, and what is no map.
    for key in [1, .binary("name"), .tuple([]), .list([])] as [Term] {
      #expect(try end.ask(function, [.map(pairs + [(key, 1)])]) == answer(.badarg(1)))
    }
    for other in ["name", 1, .list([]), .tuple(pairs.map(\.1)), .binary("x")] as [Term] {
      #expect(try end.ask(function, [other]) == answer(.badarg(1)))
    }
    #expect(try attached.process.end() == 0)
  }

  /// A map that says to have more than there is, or to have very much.
  @Test func malformedMaps() throws {
    let attached = try AttachedProcess("opener")
    for count in [[0, 0, 0, 2], [255, 255, 255, 255], [127, 255, 255, 255], [128, 0, 0, 1]] as [[UInt8]] {
      let answered = try attached.attached.ask("open", [.encoded([116] + count + [119, 1, 97, 97, 1])])
      let undefined = Term.tuple(["undefined"]).bytes.dropFirst(3)
      #expect(answered?.dropFirst(3).starts(with: undefined) == true)
    }
    #expect(try attached.attached.ask("reasons") == answer("ok"))
    #expect(try attached.process.end() == 0)
  }
}
