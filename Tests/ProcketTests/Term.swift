import ErlangTerm
import SystemCalls

/// A term, to be encoded.
indirect enum Term: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral {
  case integer(Int64)
  case atom(String)
  case binary([UInt8])
  case tuple([Term])
  case list([Term])
  case map([(Term, Term)])
  /// Bytes that are a term.
  case encoded([UInt8])

  init(integerLiteral value: Int64) { self = .integer(value) }

  /// An atom.
  init(stringLiteral name: String) { self = .atom(name) }

  static func binary(_ text: String) -> Term { .binary([UInt8](text.utf8)) }

  static func zeroes(_ count: Int) -> Term { .binary([UInt8](repeating: 0, count: count)) }

  static func ok(_ value: Term) -> Term { .tuple(["ok", value]) }

  static func error(_ reason: Term) -> Term { .tuple(["error", reason]) }

  static func badarg(_ which: Term) -> Term { .error(.tuple(["badarg", which])) }

  static func undefined(_ function: String) -> Term { .error(.tuple(["undef", .atom(function)])) }

  /// With the version byte.
  var bytes: [UInt8] {
    var writer = TermWriter()
    writer.version()
    write(to: &writer)
    return writer.withBytes { [UInt8]($0) }
  }

  private func write(to writer: inout TermWriter) {
    switch self {
    case .integer(let value): writer.integer(value)
    case .atom(let name): writer.atom(name)
    case .binary(let bytes): bytes.withUnsafeBytes { writer.binary($0) }
    case .tuple(let elements):
      writer.tupleHeader(elements.count)
      for element in elements { element.write(to: &writer) }
    case .list(let elements):
      if !elements.isEmpty { writer.listHeader(elements.count) }
      for element in elements { element.write(to: &writer) }
      writer.emptyList()
    case .map(let pairs):
      ([116] + withUnsafeBytes(of: UInt32(pairs.count).bigEndian) { [UInt8]($0) }).withUnsafeBytes { writer.raw($0) }
      for (key, value) in pairs {
        key.write(to: &writer)
        value.write(to: &writer)
      }
    case .encoded(let bytes): bytes.withUnsafeBytes { writer.raw($0) }
    }
  }
}

/// A request `{Id, Function, Args}`, encoded.
func request(_ function: String, _ arguments: [Term] = [], id: Term = 1) -> [UInt8] {
  Term.tuple([id, .atom(function), .list(arguments)]).bytes
}

/// An answer `{Id, Result}` or `{Id, Result, Count}`, encoded.
func answer(_ result: Term, descriptors: Int = 0, id: Term = 1) -> [UInt8] {
  Term.tuple([id, result] + (descriptors == 0 ? [] : [.integer(Int64(descriptors))])).bytes
}
