import ErlangTerm
import SystemCalls

/// Why a call failed, as it is answered.
enum Failure: Error {
  case errno(Errno)
  /// `{error, {Posix, Reason}}`
  case refused(Errno, reason: String)
  /// `{error, {badarg, N}}`
  case argument(Int)
  /// `{error, {badarg, Key}}`
  case key(String)
  /// `{error, {badarity, Function, Expected}}`, `{error, {undef, Function}}`, `{error, {nofd, Function}}`
  case arity(expected: Int)
  case undefined
  case noDescriptor
  /// `{error, Name}`, where the name is no errno's.
  case name(String)

  static func code(_ number: CInt) -> Failure { .errno(Errno(rawValue: number)) }
}

/// One call: its arguments, and the descriptors that come along and go back.
struct Call: ~Copyable {
  private var reader: TermReader
  private let count: Int
  private var position = 0
  /// The bytes of the request's identifier, for calls whose answers come later.
  let id: UnsafeRawBufferPointer
  /// What came along; it is closed after the call.
  let descriptors: DescriptorNumbers
  /// What goes back with the answer.
  var outgoing = Descriptors()
  /// Whether there is an answer now.
  var isAnswered = true

  /// `arguments` is at a list.
  init(id: UnsafeRawBufferPointer, arguments: TermReader, descriptors: DescriptorNumbers) {
    reader = arguments
    count = (try? reader.listHeader()) ?? 0
    self.id = id
    self.descriptors = descriptors
  }

  /// The descriptor that the call is about.
  var fd: CInt {
    get throws(Failure) {
      guard let number = descriptors.first else { throw .noDescriptor }
      return number
    }
  }

  func check(arity: Int, takesDescriptor: Bool?) throws(Failure) {
    guard count == arity else { throw .arity(expected: arity) }
    if let takesDescriptor, takesDescriptor == descriptors.isEmpty { throw .noDescriptor }
  }

  // Arguments, one after the other. Each that does not fit throws its number.

  private mutating func argument<R>(_ read: (inout TermReader) throws(TermReader.Failure) -> R) throws(Failure) -> R {
    position += 1
    do { return try read(&reader) } catch { throw .argument(position) }
  }

  mutating func integer<I: FixedWidthInteger>(in range: ClosedRange<I>) throws(Failure) -> I {
    let value = try argument { (reader) throws(TermReader.Failure) in try reader.integer() }
    guard let value = I(exactly: value), range.contains(value) else { throw .argument(position) }
    return value
  }

  mutating func flags() throws(Failure) -> CInt { try integer(in: CInt.min...CInt.max) }

  /// A number of bytes.
  mutating func size() throws(Failure) -> Int { Int(clamping: try integer(in: 0...Int64.max)) }

  mutating func bits() throws(Failure) -> UInt64 {
    try argument { (reader) throws(TermReader.Failure) in try reader.bits() }
  }

  mutating func atom() throws(Failure) -> String {
    try argument { (reader) throws(TermReader.Failure) in try reader.atom() }
  }

  mutating func binary() throws(Failure) -> UnsafeRawBufferPointer {
    try argument { (reader) throws(TermReader.Failure) in try reader.binary() }
  }

  /// A binary as a string for the system: UTF-8, so that it is the same bytes there, no NUL in it, and not longer than a path.
  mutating func string() throws(Failure) -> String {
    let bytes = try binary()
    let text = String(decoding: bytes, as: UTF8.self)
    guard bytes.count < 4096, !bytes.contains(0), text.utf8.elementsEqual(bytes) else { throw .argument(position) }
    return text
  }

  /// A term as it stands.
  mutating func raw() throws(Failure) -> UnsafeRawBufferPointer {
    try argument { (reader) throws(TermReader.Failure) in try reader.raw() }
  }

  /// A list, to be read as the arguments of another call.
  mutating func arguments() throws(Failure) -> TermReader {
    let there = reader
    _ = try raw()
    guard there.isList else { throw .argument(position) }
    return there
  }

  var isInteger: Bool { reader.isInteger }

  var isAtom: Bool { reader.isAtom }

  /// The most elements of a list: an element takes more memory here than in a request.
  static let mostElements = 1 << 16

  /// The elements of a list, read by `element`; that one throws its argument's number itself. `E2BIG` where there are more than `most`.
  mutating func list<R>(
    most: Int = mostElements, _ element: (inout Call) throws(Failure) -> R
  ) throws(Failure) -> [R] {
    let asString = reader.isString
    let length = try argument { (reader) throws(TermReader.Failure) in try reader.listHeader() }
    let outer = position
    guard length <= most else { throw .code(E2BIG) }
    var elements: [R] = []
    elements.reserveCapacity(length)
    for _ in 0..<length {
      position = outer - 1
      elements.append(try element(&self))
    }
    position = outer - 1
    try argument { (reader) throws(TermReader.Failure) in try reader.listEnd(written: asString, count: length) }
    return elements
  }

  /// The fields of a tuple with `arity` elements.
  mutating func tuple<R>(_ arity: Int, _ fields: (inout Call) throws(Failure) -> R) throws(Failure) -> R {
    let found = try argument { (reader) throws(TermReader.Failure) in try reader.tupleHeader() }
    let outer = position
    guard found == arity else { throw .argument(outer) }
    // Whatever is wrong inside, it is this argument that is.
    do {
      let result = try fields(&self)
      position = outer
      return result
    } catch {
      if case .argument = error { throw .argument(outer) }
      throw error
    }
  }

  var isTuple: Bool { reader.isTuple }

  mutating func boolean() throws(Failure) -> Bool {
    switch try atom() {
    case "true": return true
    case "false": return false
    default: throw .argument(position)
    }
  }

  /// The pairs of a map, in any order: `value` reads the value of a key, and throws an argument's number where it is wrong, or where there is
  /// no such key. Each key may come once, and those that are `required` have to.
  mutating func map(
    required: [String], _ value: (_ key: String, inout Call) throws(Failure) -> Void
  ) throws(Failure) {
    let count = try argument { (reader) throws(TermReader.Failure) in try reader.mapHeader() }
    let outer = position
    var keys: [String] = []
    for _ in 0..<count {
      position = outer - 1
      let key = try atom()
      guard !keys.contains(key) else { throw .key(key) }
      keys.append(key)
      do {
        try value(key, &self)
      } catch {
        if case .argument = error { throw .key(key) }
        throw error
      }
    }
    position = outer
    for key in required where !keys.contains(key) { throw .key(key) }
  }
}

extension Call {
  /// Runs a system call; what it throws becomes the answer.
  func system<R: ~Copyable>(_ call: () throws(Errno) -> R) throws(Failure) -> R {
    do { return try call() } catch { throw .errno(error) }
  }
}
