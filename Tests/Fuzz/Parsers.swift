import ErlangTerm
import SystemCalls

@testable import Privilege

/// The decoder, the policy and what is checked of a request.
enum Parsers {
  /// The first byte of an input says what the rest is.
  static func input(_ input: UnsafeRawBufferPointer) {
    guard let first = input.first else { return }
    let rest = UnsafeRawBufferPointer(rebasing: input[1...])
    switch first {
    case UInt8(ascii: "o"): arguments(rest, socket)
    case UInt8(ascii: "c"): arguments(rest, capture)
    case UInt8(ascii: "d"): arguments(rest, device)
    case UInt8(ascii: "p"): policy(rest)
    case UInt8(ascii: "r"): request(rest)
    case UInt8(ascii: "l"): stream(rest, FrameBuffer(.packet4(longest: FrameBuffer.longestFrame)))
    default: stream(rest, FrameBuffer())
    }
  }

  static let accounts = Accounts(
    users: Array("root:x:0:0::/:/bin/sh\nalice:x:1000:1000::/:\n".utf8),
    groups: Array("root:x:0:\nweb:x:33:alice,bob\n".utf8))
  static let policy = try? Policy(
    Array("allow alice udp 1-1023 on eth* in /run/netns/*\nallow @web device net/*\nallow * packet * on *\n".utf8),
    accounts: accounts)

  /// The bytes of stdin or of a connection, a few at a time.
  static func stream(_ bytes: UnsafeRawBufferPointer, _ frames: consuming FrameBuffer) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(1 + Int(rest[rest.startIndex]) * 7)
      rest = rest.dropFirst(chunk.count)
      frames.fill { room in
        room.copyMemory(from: UnsafeRawBufferPointer(rebasing: chunk.prefix(room.count)))
        return min(chunk.count, room.count)
      }
      _ = frames.lastBegun
      do {
        while let (frame, _) = try frames.next() { term(frame) }
      } catch {
        frames.removeAll()
      }
    }
    // The same bytes as one frame: mutations need not guess its length.
    term(bytes)
  }

  /// Reads a term in every way that fits.
  private static func term(_ bytes: UnsafeRawBufferPointer) {
    guard var reader = try? TermReader(checking: bytes) else { return }
    var writer = TermWriter()
    for _ in 0..<bytes.count {
      var copy = reader
      if copy.isTuple, (try? copy.tupleHeader()) != nil {
        reader = copy
      } else if copy.isList, (try? copy.listHeader()) != nil {
        reader = copy
      } else if (try? copy.mapHeader()) != nil {
        reader = copy
      } else if let atom = try? copy.atom() {
        writer.atom(atom)
        reader = copy
      } else if (try? copy.bits()) != nil {
        var signed = reader
        if let value = try? signed.integer() { writer.integer(value) }
        reader = copy
      } else if let chunk = try? copy.binary() {
        writer.binary(chunk)
        reader = copy
      } else if let raw = try? copy.raw() {
        _ = TermReader.isIdentifier(raw)
        reader = copy
      } else {
        break
      }
    }
  }

  /// A list of arguments for an opener, as it stands behind the function's name.
  static func arguments(_ bytes: UnsafeRawBufferPointer, _ check: (inout Call) -> Void) {
    guard let reader = try? TermReader(checking: bytes), reader.isList else { return }
    var call = Call(
      id: UnsafeRawBufferPointer(start: nil, count: 0), arguments: reader, descriptors: DescriptorNumbers())
    guard (try? call.check(arity: 1, takesDescriptor: false)) != nil else { return }
    check(&call)
  }

  static func socket(_ call: inout Call) {
    guard let request = try? call.socketRequest() else { return }
    precondition(!request.interface.utf8.contains(0) && !request.namespace.utf8.contains(0))
    precondition(request.family >= 0 && request.type >= 0 && request.number >= 0)
    // A packet socket's address asks the kernel.
    if request.family != AF_PACKET, (try? request.check()) != nil, let address = try? request.socketAddress(-1) {
      precondition(address.count <= 28)
    }
    decide(Wanted(request))
  }

  static func capture(_ call: inout Call) {
    guard let request = try? call.captureRequest() else { return }
    precondition(request.interface.utf8.allSatisfy { $0 > 32 && $0 != UInt8(ascii: "/") })
    precondition(request.type == 2 || request.type == 3)
    decide(Wanted(request))
  }

  static func device(_ call: inout Call) {
    guard let (name, namespace) = try? call.device() else { return }
    precondition(!name.hasPrefix("/") && !name.split(separator: "/").contains("..") && !name.utf8.contains(0))
    precondition(!namespace.utf8.contains(0))
    decide(.device(name, namespace: namespace))
  }

  private static func decide(_ wanted: Wanted) {
    _ = policy?.rule(about: wanted, user: 1000, groups: [33])
    let line = Log.line("allowed: line 1", "uid=1000", quoting: "\(wanted)")
    precondition(line.utf8.allSatisfy { (32...126).contains($0) })
  }

  /// A policy, and the requests that its own lines speak of.
  static func policy(_ bytes: UnsafeRawBufferPointer) {
    guard let policy = try? Policy([UInt8](bytes), accounts: accounts) else { return }
    // Each user alone needs no more than all may.
    let needs = policy.rules.reduce(into: Capabilities()) { $0.formUnion($1.needs) }
    precondition(needs.isSuperset(of: policy.needs(of: 1000, groups: [33])))
    precondition(policy.rules.count > 50 || policy.interfaceWarnings.allSatisfy { $0.line > 0 })
    for rule in policy.rules.prefix(50) {
      precondition(rule.line > 0)
      let request = rule.text.split(separator: " ").dropFirst(2).joined(separator: " ")
      if let wanted = try? Wanted(request) {
        _ = policy.rule(about: wanted, user: 1000, groups: [33])
        // A request is about what its own words say.
        let own = try? Policy(Array("allow * \(request)\n".utf8), accounts: accounts)
        precondition(own?.rule(about: wanted, user: 1, groups: [1]) != nil)
      }
    }
  }

  /// The words of a request, and files of users and groups.
  static func request(_ bytes: UnsafeRawBufferPointer) {
    let text = String(decoding: bytes, as: UTF8.self)
    if let wanted = try? Wanted(text) { decide(wanted) }
    let half = bytes.count / 2
    let strange = Accounts(users: Array(bytes[..<half]), groups: Array(bytes[half...]))
    _ = strange.identity(of: "alice")
    _ = strange.identity(of: "#0")
  }
}
