import Testing

@testable import ErlangTerm

@Suite struct FrameBufferTests {
  /// Gives bytes to a buffer in pieces of a size, and collects the frames that come out, with where they start.
  private func frames(
    of bytes: [UInt8], inPiecesOf size: Int, as format: FrameBuffer.Format = .packet2
  ) throws -> [(frame: [UInt8], position: Int)] {
    var buffer = FrameBuffer(format)
    var rest = bytes[...]
    var frames: [(frame: [UInt8], position: Int)] = []
    while !rest.isEmpty {
      buffer.fill { room in
        let piece = rest.prefix(min(size, room.count))
        room.copyBytes(from: piece)
        rest = rest.dropFirst(piece.count)
        return piece.count
      }
      while let (frame, position) = try buffer.next() { frames.append((Array(frame), position)) }
    }
    return frames
  }

  private func framed(_ length: Int, _ fill: UInt8) -> [UInt8] {
    [UInt8(length >> 8), UInt8(length & 0xff)] + Array(repeating: fill, count: length)
  }

  @Test func splitAtEachByte() throws {
    let lengths = [0, 1, 2, 255, 256, 300]
    let stream = lengths.enumerated().flatMap { framed($1, UInt8($0)) }
    for size in 1...stream.count {
      let found = try frames(of: stream, inPiecesOf: size)
      #expect(found.map(\.frame.count) == lengths, "\(size)")
      #expect(found.enumerated().allSatisfy { index, found in found.frame.allSatisfy { $0 == UInt8(index) } })
    }
  }

  @Test func longestFrames() throws {
    let stream = framed(65_535, 1) + framed(65_534, 2) + framed(65_535, 3)
    for size in [1000, 65_535, 65_537, 1 << 20] {
      let found = try frames(of: stream, inPiecesOf: size)
      #expect(found.map(\.frame.count) == [65_535, 65_534, 65_535])
      #expect(found.map(\.position) == [0, 65_537, 131_073])
    }
  }

  /// Which frame descriptors belong to that came with some bytes: the last that has begun.
  @Test func lastBegun() throws {
    var buffer = FrameBuffer()
    #expect(buffer.lastBegun == nil)
    let stream = framed(3, 1) + framed(4, 2)
    var filled = 0
    for (length, expected) in [(1, 0), (2, 0), (5, 0), (6, 5), (7, 5), (11, 5)] {
      buffer.fill { room in
        room.copyBytes(from: stream[filled..<length])
        return length - filled
      }
      filled = length
      #expect(buffer.lastBegun == expected, "\(length)")
    }
    #expect(try buffer.next()?.position == 0)
    #expect(buffer.lastBegun == 5)
    #expect(try buffer.next()?.position == 5)
    #expect(buffer.lastBegun == nil)
  }

  @Test func halfAFrame() throws {
    #expect(try frames(of: Array(framed(100, 1).dropLast()), inPiecesOf: 7).isEmpty)
  }

  /// With a header of four bytes a frame can be longer than the room that there is at first.
  @Test func longHeader() throws {
    let lengths = [0, 1, 255, 256, 65_536, 3_000_000, 2, 200_000]
    let stream = lengths.enumerated().flatMap { index, length in
      withUnsafeBytes(of: UInt32(length).bigEndian) { Array($0) } + Array(repeating: UInt8(index), count: length)
    }
    for size in [3, 1000, 131_072, 1 << 23] {
      let found = try frames(of: stream, inPiecesOf: size, as: .packet4(longest: 3_000_000))
      #expect(found.map(\.frame.count) == lengths)
      #expect(found.enumerated().allSatisfy { index, found in found.frame.allSatisfy { $0 == UInt8(index) } })
    }
  }

  @Test func tooLong() {
    #expect(throws: FrameBuffer.TooLong.self) {
      try frames(of: [0, 0, 1, 1, 9], inPiecesOf: 5, as: .packet4(longest: 256))
    }
    #expect(throws: FrameBuffer.TooLong.self) {
      try frames(of: [255, 255, 255, 255, 9], inPiecesOf: 1, as: .packet4(longest: 1 << 24))
    }
  }
}
