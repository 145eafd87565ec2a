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

  /// The chunk of a frame `{fragment, Chunk}` or `{last_fragment, Chunk}`; nil of another one.
  private static func fragment(_ frame: UnsafeRawBufferPointer) throws -> (chunk: [UInt8], isLast: Bool)? {
    var reader = try TermReader(checking: frame)
    #expect(try reader.tupleHeader() == 2)
    switch try reader.atom() {
    case "fragment": return (Array(try reader.binary()), false)
    case "last_fragment": return (Array(try reader.binary()), true)
    default: return nil
    }
  }

  /// One that is longer than a frame crosses in fragments, between others.
  @Test func aLongPacket() throws {
    var writer = BatchWriter()
    let long = [UInt8](repeating: 7, count: 150_000)
    #expect([UInt8(1)].withUnsafeBytes { writer.add($0, nil) })
    #expect(long.withUnsafeBytes { writer.add($0, nil) })
    #expect([UInt8(2)].withUnsafeBytes { writer.add($0, nil) })
    writer.close()
    let frames = try frames(writer.take(1 << 20))
    #expect(frames.count == 5)
    #expect(try packets(frames[0]) == [[1]])
    #expect(try packets(frames[4]) == [[2]])
    let fragments = try frames[1...3].map { frame in
      try #require(try frame.withUnsafeBytes { try Self.fragment($0) })
    }
    #expect(fragments.map(\.isLast) == [false, false, true])
    #expect(frames.allSatisfy { $0.count <= 65_534 })
    #expect(try packets(fragments.flatMap(\.chunk)) == [long])
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
      // Fragments are of the long ones.
      for packet in try frame.withUnsafeBytes({ try Self.fragment($0) }) == nil ? try packets(frame) : [] {
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

  /// Reads frames as late as a pipe may: when `room` more bytes have been taken. What a reader finds are the sizes of packets, in order.
  private struct LateReader {
    /// The contents of every packet are the first bytes of this.
    let contents: UnsafeRawBufferPointer
    let room: Int
    private var taken: [UnsafeRawBufferPointer] = []
    private var unread = 0
    private var fragments: [UInt8] = []
    private(set) var sizes: [Int] = []

    init(contents: UnsafeRawBufferPointer, room: Int) {
      self.contents = contents
      self.room = room
    }

    mutating func take(_ frames: UnsafeRawBufferPointer) throws {
      taken.append(frames)
      unread += frames.count
      var count = 0
      while unread > room, count < taken.count {
        try read(taken[count])
        unread -= taken[count].count
        count += 1
      }
      taken.removeFirst(count)
    }

    mutating func readAll() throws {
      for frames in taken { try read(frames) }
      taken = []
      unread = 0
    }

    private mutating func read(_ frames: UnsafeRawBufferPointer) throws {
      var offset = 0
      while offset < frames.count {
        let length = Int(frames[offset]) << 8 | Int(frames[offset + 1])
        try read(frame: UnsafeRawBufferPointer(rebasing: frames[(offset + 2)..<(offset + 2 + length)]))
        offset += 2 + length
      }
    }

    private mutating func read(frame: UnsafeRawBufferPointer) throws {
      if let (chunk, isLast) = try BatchWriterTests.fragment(frame) {
        fragments.append(contentsOf: chunk)
        guard isLast else { return }
        let whole = fragments
        fragments.removeAll(keepingCapacity: true)
        return try whole.withUnsafeBytes { try read(frame: $0) }
      }
      #expect(fragments.isEmpty)
      var reader = try TermReader(checking: frame)
      #expect(try reader.tupleHeader() == 2)
      #expect(try reader.atom() == "packets")
      try read(packets: &reader)
    }

    private func both<A>(_ a: A?, _ b: A?) -> (A, A)? {
      guard let a, let b else { return nil }
      return (a, b)
    }

    private mutating func read(packets reader: inout TermReader) throws {
      for _ in 0..<(try reader.listHeader()) {
        let packet = try reader.binary()
        guard let (found, expected) = both(packet.baseAddress, contents.baseAddress),
          memcmp(found, expected, packet.count) == 0
        else {
          Issue.record("a packet of \(packet.count) bytes has others")
          return
        }
        sizes.append(packet.count)
      }
    }
  }

  /// Gives packets of these sizes to a writer, of which a reader takes some now and then, and all where a packet finds no room.
  private func write(_ sizes: [Int], keeping kept: Int) throws -> [Int] {
    var generator = SystemRandomNumberGenerator()
    let contents = (0..<(1 << 18)).map { _ in UInt8.random(in: 0...255, using: &generator) }
    return try contents.withUnsafeBytes { contents in
      var writer = BatchWriter(keeping: kept)
      var reader = LateReader(contents: contents, room: min(kept, 1 << 19))
      for size in sizes {
        let packet = UnsafeRawBufferPointer(rebasing: contents[0..<size])
        while !writer.add(packet, nil) {
          if writer.waiting == 0 {
            Issue.record("a packet of \(size) bytes is refused though nothing waits")
            return reader.sizes
          }
          try reader.take(writer.take(.random(in: 1...300_000, using: &generator)))
        }
        switch Int.random(in: 0..<100, using: &generator) {
        case 0..<5: writer.close()
        case 5..<20: try reader.take(writer.take(.random(in: 1...300_000, using: &generator)))
        case 20:
          try reader.readAll()
          writer.forget()
        default: break
        }
      }
      writer.close()
      while writer.waiting > 0 { try reader.take(writer.take(1 << 17)) }
      try reader.readAll()
      return reader.sizes
    }
  }

  @Test func everySizeArrives() throws {
    let sizes = Array(1...BatchWriter.longestPacket).shuffled()
    #expect(try write(sizes, keeping: 1 << 18) == sizes)
  }

  /// All lengths about those at which a packet needs one fragment more, and many others.
  @Test(arguments: [0, 1, 1 << 12, 1 << 16, 1 << 18, 1 << 30]) func arrives(keeping kept: Int) throws {
    var sizes = Array(1...3000) + Array(65_300...65_700) + Array(130_700...131_300) + Array(196_100...196_700)
    sizes += Array(261_800...262_144) + (0..<3000).map { _ in Int.random(in: 1...262_144) }
    sizes.shuffle()
    #expect(try write(sizes, keeping: kept) == sizes)
  }

  /// Packets of one length, as bulk transfers have them. The shortest that crosses in fragments has 65,485 bytes.
  @Test(arguments: [65_400, 65_484, 65_485, 65_490, 65_549, 100_000, 131_072, 262_144])
  func manyOfOneSize(_ size: Int) throws {
    let sizes = [Int](repeating: size, count: 500)
    #expect(try write(sizes, keeping: 1 << 18) == sizes)
  }
}
