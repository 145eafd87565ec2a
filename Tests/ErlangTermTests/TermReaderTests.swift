import Testing

@testable import ErlangTerm

@Suite struct TermReaderTests {
  /// A term of each kind, as Erlang writes it.
  static let terms: [String: [UInt8]] = {
    let atom: [UInt8] = [119, 1, 120]
    return [
      "small integer": [97, 5],
      "integer": [98, 255, 255, 255, 0],
      "small big": [110, 8, 0, 1, 2, 3, 4, 5, 6, 7, 8],
      "large big": [111, 0, 0, 0, 2, 1, 1, 2],
      "new float": [70] + Array(repeating: 0, count: 8),
      "float": [99] + Array(repeating: 48, count: 31),
      "atom": [100, 0, 2, 111, 107],
      "small atom": [115, 2, 111, 107],
      "atom utf8": [118, 0, 2, 195, 182],
      "small atom utf8": atom,
      "pid": [103] + atom + Array(repeating: 0, count: 9),
      "new pid": [88] + atom + Array(repeating: 0, count: 12),
      "port": [102] + atom + Array(repeating: 0, count: 5),
      "new port": [89] + atom + Array(repeating: 0, count: 8),
      "v4 port": [120] + atom + Array(repeating: 0, count: 12),
      "reference": [101] + atom + Array(repeating: 0, count: 5),
      "new reference": [114, 0, 3] + atom + Array(repeating: 0, count: 13),
      "newer reference": [90, 0, 3] + atom + Array(repeating: 0, count: 16),
      "small tuple": [104, 2, 97, 1, 97, 2],
      "large tuple": [105, 0, 0, 0, 1, 97, 1],
      "nil": [106],
      "string": [107, 0, 3, 1, 2, 3],
      "list": [108, 0, 0, 0, 2, 97, 1, 119, 1, 120, 106],
      "map": [116, 0, 0, 0, 1, 97, 1, 97, 2],
      "binary": [109, 0, 0, 0, 3, 1, 2, 3],
      "bit binary": [77, 0, 0, 0, 1, 4, 240],
      "export": [113] + atom + atom + [97, 1],
    ]
  }()

  @Test(arguments: terms.keys.sorted()) func cutAtEachByte(_ kind: String) throws {
    let term = [131] + (Self.terms[kind] ?? [])
    #expect(malformed(term) == nil)
    for length in 0..<term.count { #expect(malformed(Array(term[..<length])) != nil, "\(kind) cut to \(length)") }
    #expect(malformed(term + [0]) == term.count)
  }

  @Test func unknownTags() {
    let known = Set(Self.terms.values.map { $0[0] })
    for tag in UInt8.min...UInt8.max where !known.contains(tag) {
      #expect(malformed([131, tag] + Array(repeating: 0, count: 64)) == 1, "\(tag)")
    }
  }

  @Test func anotherVersion() {
    #expect(malformed([130, 97, 1]) == 0)
    #expect(malformed([]) == 0)
  }

  @Test func hugeCounts() {
    for tag: UInt8 in [105, 108, 111, 109, 77, 116] {
      #expect(malformed([131, tag, 255, 255, 255, 255, 97, 1]) != nil, "\(tag)")
    }
  }

  /// As deep as a frame can hold: nothing here recurses.
  @Test func deepNesting() throws {
    let depth = 1_000_000
    let lists = [131] + Array(repeatElement([108, 0, 0, 0, 1] as [UInt8], count: depth).joined())
    #expect(malformed(lists) != nil)
    let whole = lists + Array(repeating: 106, count: depth + 1)
    #expect(malformed(whole) == nil)
    #expect(try reading(whole) { try $0.raw().count } == whole.count - 1)
  }

  @Test func randomBytes() {
    var generator = Generator()
    for _ in 0..<100_000 {
      var bytes = (0..<Int.random(in: 0..<40, using: &generator)).map { _ in
        UInt8.random(in: 0...255, using: &generator)
      }
      if !bytes.isEmpty { bytes[0] = 131 }
      readAnything(bytes)
    }
  }

  /// Whole terms of which some bytes are others.
  @Test func mutatedTerms() {
    var generator = Generator()
    let terms = Self.terms.values.sorted { $0.lexicographicallyPrecedes($1) }
    for _ in 0..<100_000 {
      var bytes: [UInt8] = [131, 104, 3]
      for _ in 0..<3 { bytes += terms.randomElement(using: &generator) ?? [] }
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        bytes[Int.random(in: 1..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      readAnything(bytes)
    }
  }

  /// Tries each way of reading; none may do more than throw.
  private func readAnything(_ bytes: [UInt8]) {
    let readers: [(inout TermReader) throws -> Void] = [
      { _ = try $0.integer() }, { _ = try $0.bits() }, { _ = try $0.atom() }, { _ = try $0.binary() },
      { _ = try $0.raw() }, { _ = try $0.tupleHeader() }, { _ = try $0.listHeader() },
      { _ = try $0.mapHeader() },
    ]
    for read in readers {
      _ = try? reading(bytes) { reader in
        _ = try? reader.tupleHeader()
        for _ in 0..<4 { try read(&reader) }
      }
    }
  }

  /// What lies behind the bytes may look like a term, and is none.
  @Test func behindTheEnd() throws {
    let bytes: [UInt8] = [
      131, 97, 7, 109, 0, 0, 0, 1, 5, 119, 1, 120, 97, 1, 104, 1, 97, 1, 108, 0, 0, 0, 1, 97, 1, 106, 116, 0, 0, 0, 1,
      97, 1,
      97, 1,
    ]
    for start in [3, 9, 12, 14, 18, 26] {
      let both = [131, 97, 7] + bytes[start...]
      try both.withUnsafeBytes { buffer in
        var reader = try TermReader(checking: UnsafeRawBufferPointer(rebasing: buffer[..<3]))
        #expect(try reader.integer() == 7)
        #expect(throws: TermReader.Failure.mismatch) { try reader.binary() }
        #expect(throws: TermReader.Failure.mismatch) { try reader.atom() }
        #expect(throws: TermReader.Failure.mismatch) { try reader.integer() }
        #expect(throws: TermReader.Failure.mismatch) { try reader.bits() }
        #expect(throws: TermReader.Failure.mismatch) { try reader.tupleHeader() }
        #expect(throws: TermReader.Failure.mismatch) { try reader.listHeader() }
        #expect(throws: TermReader.Failure.mismatch) { try reader.mapHeader() }
        #expect(throws: TermReader.Failure.mismatch) { try reader.listEnd(written: false, count: 1) }
        #expect(throws: TermReader.Failure.mismatch) { try reader.raw() }
      }
    }
  }

  @Test func integers() throws {
    for value: Int64 in [0, 1, 255, 256, -1, 1 << 31, .max, .min] {
      let bytes = encoded { $0.integer(value) }
      #expect(try reading(bytes) { try $0.integer() } == value)
      #expect(try reading(bytes) { try $0.bits() } == UInt64(bitPattern: value))
    }
    let large = encoded { $0.unsigned(.max) }
    #expect(try reading(large) { try $0.bits() } == .max)
    #expect(throws: TermReader.Failure.mismatch) { try reading(large) { try $0.integer() } }
  }

  @Test func atomsAndBinaries() throws {
    for name in ["ok", "", "set_sock_nonblock", "ö", String(repeating: "𐍈", count: 255)] {
      let bytes = encoded { $0.atom(name) }
      #expect(try reading(bytes) { try $0.atom() } == name)
      #expect(throws: TermReader.Failure.mismatch) { try reading(bytes) { _ = try $0.binary() } }
    }
    for size in [0, 1, 65_535, 70_000] {
      let data = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
      let bytes = data.withUnsafeBytes { data in encoded { $0.binary(data) } }
      #expect(try reading(bytes) { try Array($0.binary()) } == data)
    }
  }

  /// Erlang writes a list of bytes as a string.
  @Test func listsAsStrings() throws {
    try reading([131, 107, 0, 3, 7, 8, 9]) { (reader: inout TermReader) throws -> Void in
      #expect(reader.isString && reader.isList)
      #expect(try reader.listHeader() == 3)
      #expect(reader.isInteger)
      #expect(throws: TermReader.Failure.mismatch) { _ = try reader.binary() }
      #expect(try reader.integer() == 7)
      #expect(try reader.bits() == 8)
      #expect(try reader.integer() == 9)
      #expect(throws: TermReader.Failure.mismatch) { _ = try reader.integer() }
    }
  }

  @Test func improperLists() throws {
    try reading([131, 108, 0, 0, 0, 1, 97, 1, 97, 2]) { (reader: inout TermReader) throws -> Void in
      #expect(try reader.listHeader() == 1)
      #expect(try reader.integer() == 1)
      #expect(throws: TermReader.Failure.mismatch) { try reader.listEnd(written: false, count: 1) }
    }
  }

  @Test func maps() throws {
    try reading([131, 116, 0, 0, 0, 2, 119, 1, 97, 97, 1, 97, 2, 116, 0, 0, 0, 0]) { reader throws -> Void in
      #expect(try reader.mapHeader() == 2)
      #expect(try reader.atom() == "a")
      #expect(try reader.integer() == 1)
      #expect(throws: TermReader.Failure.mismatch) { try reader.mapHeader() }
      #expect(try reader.integer() == 2)
      #expect(try reader.mapHeader() == 0)
      #expect(throws: TermReader.Failure.mismatch) { try reader.mapHeader() }
    }
    // More pairs than there are.
    #expect(malformed([131, 116, 0, 0, 0, 2, 97, 1, 97, 2, 97, 3]) != nil)
    #expect(malformed([131, 116, 128, 0, 0, 0, 97, 1, 97, 2]) != nil)
  }
}
