import Testing

@testable import ErlangTerm

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

@Suite struct BatchWriterTests {
  /// The terms of frames, and whether each frame is one.
  private func frames(_ bytes: UnsafeRawBufferPointer) throws -> [[UInt8]] {
    var frames: [[UInt8]] = []
    var offset = 0
    while offset < bytes.count {
      let length = Int(bytes[offset]) << 8 | Int(bytes[offset + 1])
      let frame = Array(bytes[(offset + 2)..<(offset + 2 + length)])
      frames.append(frame)
      offset += 2 + length
    }
    return frames
  }

  /// The packets of a frame `{packets, [Packet]}`.
  private func packets(_ frame: [UInt8]) throws -> [[UInt8]] {
    try frame.withUnsafeBytes { bytes in
      var reader = try TermReader(checking: bytes)
      #expect(try reader.tupleHeader() == 2)
      #expect(try reader.atom() == "packets")
      let count = try reader.listHeader()
      var packets: [[UInt8]] = []
      for _ in 0..<count { packets.append(Array(try reader.binary())) }
      try reader.listEnd(written: false, count: count)
      return packets
    }
  }

  @Test func manyPacketsInAFrame() throws {
    var writer = BatchWriter()
    let all = (0..<5000).map { [UInt8](repeating: UInt8($0 & 0xff), count: $0 % 200) }
    for packet in all { #expect(packet.withUnsafeBytes { writer.add($0, nil) }) }
    writer.close()
    var read: [[UInt8]] = []
    while writer.waiting > 0 {
      for frame in try frames(writer.take(1)) {
        #expect(frame.count <= 65_534)
        read += try packets(frame)
      }
    }
    #expect(read == all)
  }

  @Test func timesAndLengths() throws {
    var writer = BatchWriter()
    let stamp = BatchWriter.Stamp(nanoseconds: 1_700_000_000_123_456_789, originalLength: 1500)
    #expect([UInt8(1), 2, 3].withUnsafeBytes { writer.add($0, stamp) })
    writer.close()
    let frame = try #require(try frames(writer.take(1)).first)
    try frame.withUnsafeBytes { bytes in
      var reader = try TermReader(checking: bytes)
      _ = try reader.tupleHeader()
      _ = try reader.atom()
      #expect(try reader.listHeader() == 1)
      #expect(try reader.tupleHeader() == 3)
      #expect(try reader.integer() == 1_700_000_000_123_456_789)
      #expect(try reader.integer() == 1500)
    }
  }

  /// One that is longer than a frame crosses in parts, between others.
  @Test func aLongPacket() throws {
    var writer = BatchWriter()
    let long = [UInt8](repeating: 7, count: 100_000)
    #expect([UInt8(1)].withUnsafeBytes { writer.add($0, nil) })
    #expect(long.withUnsafeBytes { writer.add($0, nil) })
    #expect([UInt8(2)].withUnsafeBytes { writer.add($0, nil) })
    writer.close()
    let frames = try frames(writer.take(1 << 20))
    #expect(frames.count == 4)
    #expect(try packets(frames[0]) == [[1]])
    #expect(try packets(frames[3]) == [[2]])
    var assembler = PartAssembler<Int>()
    var whole: [UInt8]?
    for frame in frames[1...2] {
      try frame.withUnsafeBytes { bytes in
        var reader = try TermReader(checking: bytes)
        #expect(try reader.tupleHeader() == 3)
        let id = try reader.raw()
        #expect(try reader.atom() == "part")
        _ = try reader.listHeader()
        whole = try assembler.add(
          id: id, offset: try reader.integer(), total: try reader.integer(), chunk: try reader.binary(), keeping: 0)?
          .bytes
      }
    }
    #expect(try packets(try #require(whole)) == [long])
  }

  /// The last bytes that were taken stay as they are, and nothing is lost or comes twice.
  @Test(arguments: [0, 1 << 16, 1 << 18, 1 << 30]) func whatWasTakenStays(keeping kept: Int) throws {
    var writer = BatchWriter(keeping: kept)
    let kept = min(kept, 1 << 19)
    var generator = SystemRandomNumberGenerator()
    var taken: [(place: UnsafeRawBufferPointer, bytes: [UInt8])] = []
    var (written, read) = (UInt32(0), UInt32(0))
    for round in 0..<1000 {
      for _ in 0..<Int.random(in: 0...60, using: &generator) {
        let length = Int.random(in: 4...3000, using: &generator)
        var packet = [UInt8](repeating: UInt8(truncatingIfNeeded: written), count: length)
        if .random(in: 0..<200, using: &generator) == 0 { packet += [UInt8](repeating: 0, count: 100_000) }
        withUnsafeBytes(of: written) { packet.replaceSubrange(0..<4, with: $0) }
        guard packet.withUnsafeBytes({ writer.add($0, nil) }) else { break }
        written += 1
      }
      writer.close()
      // For some time nobody takes any.
      let takes = round % 100 < 40 ? 0 : Int.random(in: 0...3, using: &generator)
      for _ in 0..<takes where writer.waiting > 0 {
        let frames = writer.take(.random(in: 1...200_000, using: &generator))
        taken.append((frames, Array(frames)))
      }
      if Int.random(in: 0..<50, using: &generator) == 0 {
        writer.forget()
        taken = taken.map { (UnsafeRawBufferPointer(start: nil, count: 0), $0.bytes) }
      }
      var last = 0
      for piece in taken.reversed() {
        // Of the first of these, only the end.
        let count = min(piece.bytes.count, kept - last)
        guard count > 0, piece.place.count > 0 else { break }
        let same = piece.bytes.withUnsafeBytes { bytes in
          let (place, offset) = (piece.place.baseAddress, bytes.count - count)
          return place.map { memcmp($0 + offset, bytes.baseAddress.map { $0 + offset } ?? $0, count) } == 0
        }
        #expect(same)
        last += count
      }
    }
    while writer.waiting > 0 { taken.append((UnsafeRawBufferPointer(start: nil, count: 0), Array(writer.take(1)))) }
    for frame in try taken.flatMap({ try $0.bytes.withUnsafeBytes { try frames($0) } }) {
      // Parts are of the long ones.
      for packet in frame[2] == 2 ? try packets(frame) : [] {
        let number = packet.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
        #expect(number >= read)
        read = number + 1
      }
    }
    #expect(read > 1000)
  }

  /// What is not taken stays, and what finds no room is refused, not lost.
  @Test func noMoreThanItsMemory() throws {
    var writer = BatchWriter()
    let packet = [UInt8](repeating: 1, count: 1000)
    var added = 0
    while packet.withUnsafeBytes({ writer.add($0, nil) }) { added += 1 }
    #expect(writer.waiting <= 1 << 21)
    let refused = !writer.add("failed", "enetdown")
    #expect(refused)
    var taken = 0
    while writer.waiting > 0 {
      for frame in try frames(writer.take(100_000)) { taken += try packets(frame).count }
      // There is room again, as soon as half of it is free.
      if taken > added / 2 { break }
    }
    let more = packet.withUnsafeBytes { writer.add($0, nil) }
    #expect(more)
    writer.close()
    while writer.waiting > 0 { for frame in try frames(writer.take(1)) { taken += try packets(frame).count } }
    #expect(taken == added + 1)
    let told = writer.add("failed", "enetdown")
    #expect(told)
  }
}
