import ErlangTerm

/// Writes a term and gives out its bytes, version byte included.
func encoded(_ write: (inout TermWriter) -> Void) -> [UInt8] {
  var writer = TermWriter()
  writer.version()
  write(&writer)
  return writer.withBytes { [UInt8]($0) }
}

/// Reads a term that has been checked.
func reading<R>(_ bytes: [UInt8], _ body: (inout TermReader) throws -> R) throws -> R {
  try bytes.withUnsafeBytes { buffer in
    var reader = try TermReader(checking: buffer)
    return try body(&reader)
  }
}

/// Where a term is malformed; nil where it is not.
func malformed(_ bytes: [UInt8]) -> Int? {
  do {
    try reading(bytes) { _ in }
    return nil
  } catch TermReader.Failure.malformed(let offset) {
    return offset
  } catch {
    return -1
  }
}

/// Numbers that are the same in each run.
struct Generator: RandomNumberGenerator {
  var state: UInt64 = 0x9e37_79b9_7f4a_7c15

  mutating func next() -> UInt64 {
    state ^= state << 13
    state ^= state >> 7
    state ^= state << 17
    return state
  }
}
