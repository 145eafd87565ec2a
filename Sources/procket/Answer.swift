import ErlangTerm
import SystemCalls

/// The answer to one request, `{Id, Result}` or `{Id, Result, Count}`, encoded behind room for a frame's header.
struct Answer: ~Copyable {
  /// The longer one of the two headers.
  private static let room = 4
  private static let arityOffset = room + 2

  private(set) var term = TermWriter()
  /// Where the result that is being written starts.
  private var mark = 0

  /// Starts the answer to a request: what is written next is its result.
  mutating func begin(id: UnsafeRawBufferPointer?) {
    term.rewind()
    withUnsafeBytes(of: UInt32(0)) { term.raw($0) }
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

  /// `{ok, [{Name, Number}]}`
  mutating func ok(_ numbers: [(name: String, Int)]) {
    startOk(1)
    term.listHeader(numbers.count)
    for (name, number) in numbers {
      term.tupleHeader(2)
      term.atom(name)
      term.integer(Int64(number))
    }
    term.emptyList()
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
    case .refused(let error, let reason):
      term.tupleHeader(2)
      term.atom(error.name)
      [UInt8](reason.utf8).withUnsafeBytes { term.binary($0) }
    case .name(let name): term.atom(name)
    case .argument(let number): pair("badarg", Int64(number))
    case .key(let name): pair("badarg", name)
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

  /// Replaces an answer that is longer than `most` bytes by an error. It has no identifier where that alone is too long.
  mutating func failTooLong(most: Int) {
    term.patch(Self.arityOffset, with: 2)
    fail(.code(EMSGSIZE), function: "")
    guard length > most else { return }
    begin(id: nil)
    fail(.code(EMSGSIZE), function: "")
  }

  /// Adds the number of descriptors that come with it.
  mutating func add(descriptors count: Int) {
    term.patch(Self.arityOffset, with: 3)
    term.integer(Int64(count))
  }

  /// One of the results of a batch: where its count stands, and where what it is part of starts.
  struct Part {
    fileprivate let count: Int
    fileprivate let outer: Int
  }

  /// Starts one of the results of a batch, `{Count, Result}`.
  mutating func beginResult() -> Part {
    term.tupleHeader(2)
    term.integer(0)
    defer { mark = term.count }
    return Part(count: term.count - 1, outer: mark)
  }

  /// Ends it and says how many descriptors it brings: 255 at most, so it stays one byte.
  mutating func endResult(_ part: Part, descriptors: Int) {
    term.patch(part.count, with: UInt8(clamping: descriptors))
    mark = part.outer
  }

  /// The bytes of the term.
  var length: Int { term.count - Self.room }

  /// Gives the answer to `body` as a frame of `{packet,2}`, for which it has to be short enough.
  mutating func withShortFrame(_ body: (UnsafeRawBufferPointer) throws(Errno) -> Void) throws(Errno) {
    let header = Self.room - FrameBuffer.Format.packet2.header
    writeHeader(from: header)
    try term.withBytes { (bytes) throws(Errno) in try body(UnsafeRawBufferPointer(rebasing: bytes[header...])) }
  }

  /// Gives the answer to `body` as a frame with a header of four bytes.
  mutating func withFrame(_ body: (UnsafeRawBufferPointer) -> Void) {
    writeHeader(from: 0)
    term.withBytes { body($0) }
  }

  /// Gives the answer away, after ``withFrame(_:)`` as such a frame.
  mutating func takeFrame() -> TermWriter {
    var taken = TermWriter()
    swap(&taken, &term)
    return taken
  }

  private mutating func writeHeader(from start: Int) {
    let length = length
    for index in start..<Self.room {
      term.patch(index, with: UInt8(truncatingIfNeeded: length >> (8 * (Self.room - 1 - index))))
    }
  }
}
