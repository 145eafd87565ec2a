import Testing

@testable import ErlangTerm

@Suite struct PartsTests {
  private let id: [UInt8] = [97, 7]

  private func add(
    _ assembler: inout PartAssembler<Int>, id: [UInt8]? = nil, _ offset: Int64, _ total: Int64, _ chunk: [UInt8],
    keeping kept: Int = 0
  ) throws -> (bytes: [UInt8], kept: Int)? {
    try (id ?? self.id).withUnsafeBytes { id in
      try chunk.withUnsafeBytes { chunk in
        try assembler.add(id: id, offset: offset, total: total, chunk: chunk, keeping: kept)
      }
    }
  }

  /// What is split can be put together again, in frames that are frames.
  @Test(arguments: [1, 65_400, 65_535, 65_536, 131_072, 1 << 20, 1 << 24])
  func roundTrip(_ size: Int) throws {
    let whole = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    var frames: [[UInt8]] = []
    var writer = TermWriter()
    whole.withUnsafeBytes { bytes in
      id.withUnsafeBytes { id in
        Parts.split(bytes, id: id, with: &writer) { frames.append(Array($0)) }
      }
    }
    #expect(frames.allSatisfy { $0.count <= FrameBuffer.longestFrame })
    var assembler = PartAssembler<Int>()
    var result: (bytes: [UInt8], kept: Int)?
    for (number, frame) in frames.enumerated() {
      try reading(frame) { reader in
        #expect(try reader.tupleHeader() == 3)
        #expect(try Array(reader.raw()) == id)
        #expect(try reader.atom() == "part")
        #expect(try reader.listHeader() == 3)
        #expect(result == nil)
        let (offset, total) = (try reader.integer(), try reader.integer())
        result = try add(&assembler, offset, total, Array(reader.binary()), keeping: number + 100)
      }
    }
    #expect(result?.bytes == whole)
    #expect(result?.kept == 100)
  }

  @Test func interleaved() throws {
    var assembler = PartAssembler<Int>()
    #expect(try add(&assembler, id: [97, 1], 0, 4, [1, 2], keeping: 1) == nil)
    #expect(try add(&assembler, id: [97, 2], 0, 4, [5, 6], keeping: 2) == nil)
    let first = try add(&assembler, id: [97, 1], 2, 4, [3, 4])
    #expect(first?.bytes == [1, 2, 3, 4] && first?.kept == 1)
    let second = try add(&assembler, id: [97, 2], 2, 4, [7, 8])
    #expect(second?.bytes == [5, 6, 7, 8] && second?.kept == 2)
  }

  /// Each is an offset, a total and the size of a chunk.
  static let wrong: [(Int64, Int64, Int)] = [
    (1, 4, 1), (0, 5, 1), (2, 5, 1), (2, 4, 0), (2, 4, 3), (-1, 4, 1), (2, -4, 1), (0, 1 << 24 + 1, 1), (3, 4, 1),
  ]

  @Test(arguments: wrong)
  func wrongParts(_ offset: Int64, _ total: Int64, _ size: Int) throws {
    var assembler = PartAssembler<Int>()
    _ = try add(&assembler, 0, 4, [1, 2])
    #expect(throws: Parts.Failure.unexpected(offset: 2)) {
      try add(&assembler, offset, total, Array(repeating: 0, count: size))
    }
    // The assembly has ended: what comes later does not fit either.
    #expect(throws: Parts.Failure.unexpected(offset: 0)) { try add(&assembler, 2, 4, [3, 4]) }
  }

  @Test func tooLong() {
    var assembler = PartAssembler<Int>()
    #expect(throws: Parts.Failure.unexpected(offset: 0)) { try add(&assembler, 0, 1 << 24 + 1, [1]) }
    #expect(throws: Parts.Failure.unexpected(offset: 0)) { try add(&assembler, 0, 0, [1]) }
  }

  @Test func tooMany() throws {
    var assembler = PartAssembler<Int>()
    for number in 0..<Parts.mostAssemblies {
      #expect(try add(&assembler, id: [97, UInt8(number)], 0, 2, [1]) == nil)
    }
    #expect(throws: Parts.Failure.noRoom) { try add(&assembler, id: [97, 200], 0, 2, [1]) }
    _ = try add(&assembler, id: [97, 0], 1, 2, [2])
    #expect(try add(&assembler, id: [97, 200], 0, 2, [1]) == nil)
  }

  @Test func tooMuch() throws {
    var assembler = PartAssembler<Int>()
    for number in 0..<3 { #expect(try add(&assembler, id: [97, UInt8(number)], 0, 1 << 23, [1]) == nil) }
    #expect(throws: Parts.Failure.noRoom) { try add(&assembler, id: [97, 5], 0, 2, [1]) }
  }
}
