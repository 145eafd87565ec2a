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

  /// Whether it does not even cross in parts.
  var isTooLong: Bool { length > Parts.longestTerm }

  /// Writes the answer in frames of `{packet,2}`, in parts where one does not suffice. `id` is that of the request.
  mutating func write(to fd: CInt, id: UnsafeRawBufferPointer?, with scratch: inout TermWriter) throws(Errno) {
    let length = length
    if length <= FrameBuffer.longestFrame {
      let header = Self.room - 2
      term.patch(header, with: UInt8(length >> 8))
      term.patch(header + 1, with: UInt8(length & 0xff))
      return try term.withBytes { (bytes) throws(Errno) in
        try Files.writeAll(fd, UnsafeRawBufferPointer(rebasing: bytes[header...]))
      }
    }
    guard let id else { return }
    try term.withBytes { (bytes) throws(Errno) in
      let encoded = UnsafeRawBufferPointer(rebasing: bytes[Self.room...])
      try Parts.split(encoded, id: id, with: &scratch) { (frame) throws(Errno) in
        let header: [UInt8] = [UInt8(frame.count >> 8), UInt8(frame.count & 0xff)]
        try header.withBytes { (bytes) throws(Errno) in try Files.writeAll(fd, bytes) }
        try Files.writeAll(fd, frame)
      }
    }
  }

  /// Gives the answer to `body` as a frame with a header of four bytes.
  mutating func withFrame(_ body: (UnsafeRawBufferPointer) -> Void) {
    let length = length
    for index in 0..<Self.room {
      term.patch(index, with: UInt8(truncatingIfNeeded: length >> (8 * (Self.room - 1 - index))))
    }
    term.withBytes { body($0) }
  }
}
