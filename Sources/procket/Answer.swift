import ErlangTerm
import SystemCalls

/// The answer to one request, `{Id, Result}` or `{Id, Result, Count}`, encoded behind room for a frame's header.
struct Answer: ~Copyable {
  private static let room = FrameBuffer.header
  private static let arityOffset = room + 2

  private(set) var term = TermWriter()
  private var mark = 0

  /// Starts the answer to a request: what is written next is its result.
  mutating func begin(id: UnsafeRawBufferPointer?) {
    term.rewind()
    withUnsafeBytes(of: UInt16(0)) { term.raw($0) }
    term.version()
    term.tupleHeader(2)
    if let id { term.raw(id) } else { term.atom("undefined") }
    mark = term.count
  }

  mutating func ok() { term.atom("ok") }

  mutating func ok(_ value: Int) {
    startOk(1)
    term.integer(Int64(value))
  }

  mutating func ok(_ bytes: UnsafeRawBufferPointer) {
    startOk(1)
    term.binary(bytes)
  }

  /// `{ok, …}` with so many terms behind it.
  mutating func startOk(_ count: Int) {
    term.tupleHeader(1 + count)
    term.atom("ok")
  }

  mutating func withTerm(_ body: (inout TermWriter) -> Void) { body(&term) }

  /// Replaces what was written by an error.
  mutating func fail(_ failure: Failure, function: String) {
    term.rewind(to: mark)
    term.tupleHeader(2)
    term.atom("error")
    switch failure {
    case .errno(let error): term.atom(error.name)
    case .name(let name): term.atom(name)
    case .argument(let number): pair("badarg", Int64(number))
    case .part(let offset): pair("badpart", Int64(offset))
    case .undefined: pair("undef", function)
    case .noDescriptor: pair("nofd", function)
    case .arity(let expected):
      term.tupleHeader(3)
      term.atom("badarity")
      term.atom(function)
      term.integer(Int64(expected))
    }
  }

  mutating func failTerm(at offset: Int) {
    term.rewind(to: mark)
    term.tupleHeader(2)
    term.atom("error")
    pair("badterm", Int64(offset))
  }

  private mutating func pair(_ name: String, _ number: Int64) {
    term.tupleHeader(2)
    term.atom(name)
    term.integer(number)
  }

  private mutating func pair(_ name: String, _ function: String) {
    term.tupleHeader(2)
    term.atom(name)
    term.atom(function)
  }

  /// Adds the number of descriptors that went ahead.
  mutating func add(descriptors count: Int) {
    term.patch(Self.arityOffset, with: 3)
    term.integer(Int64(count))
  }

  /// Writes the answer, in one frame or in parts. `id` is that of the request.
  mutating func send(to fd: CInt, id: UnsafeRawBufferPointer?, with scratch: inout TermWriter) throws(Errno) {
    let length = term.count - Self.room
    if length <= FrameBuffer.longestFrame {
      term.patch(0, with: UInt8(length >> 8))
      term.patch(1, with: UInt8(length & 0xff))
      try term.withBytes { (bytes) throws(Errno) in try Files.writeAll(fd, bytes) }
      return
    }
    guard let id else { return }
    guard length <= Parts.longestTerm else {
      fail(.code(EMSGSIZE), function: "")
      return try send(to: fd, id: id, with: &scratch)
    }
    try term.withBytes { (bytes) throws(Errno) in
      let encoded = UnsafeRawBufferPointer(rebasing: bytes[Self.room...])
      try Parts.split(encoded, id: id, with: &scratch) { (frame) throws(Errno) in
        let header: [UInt8] = [UInt8(frame.count >> 8), UInt8(frame.count & 0xff)]
        try header.withBytes { (bytes) throws(Errno) in try Files.writeAll(fd, bytes) }
        try Files.writeAll(fd, frame)
      }
    }
  }
}
