/// Where a term ends, found without trusting a byte of it.
///
/// The functions of ei take no length: they believe what the term says. So each term is walked here first, and only one that
/// lies within its frame from beginning to end is given to them.
enum TermLayout {
  /// A term that is cut off, or has an unknown tag, at this offset.
  struct Malformed: Error, Equatable {
    let offset: Int
  }

  /// The offset behind the term that starts at `start`. There is no recursion: a count of the terms still to come is enough.
  static func end(in bytes: UnsafeRawBufferPointer, from start: Int) throws(Malformed) -> Int {
    var cursor = Cursor(bytes: bytes, offset: start)
    var pending = 1
    while pending > 0 {
      pending -= 1
      pending += try cursor.skipOne()
      // Each of them takes a byte at least.
      if pending > bytes.count - cursor.offset { throw Malformed(offset: cursor.offset) }
    }
    return cursor.offset
  }

  private struct Cursor {
    let bytes: UnsafeRawBufferPointer
    var offset: Int

    /// Passes over a tag and what it holds but other terms, whose number is returned.
    mutating func skipOne() throws(Malformed) -> Int {
      let start = offset
      switch try byte() {
      case Tag.smallInteger: try skip(1)
      case Tag.integer: try skip(4)
      case Tag.smallBig: try skip(Int(try byte()) + 1)
      case Tag.largeBig: try skip(try word() + 1)
      case Tag.newFloat: try skip(8)
      case Tag.float: try skip(31)
      case Tag.atom, Tag.atomUTF8, Tag.smallAtom, Tag.smallAtomUTF8:
        offset = start
        try skipAtom()
      case Tag.pid: try skipAtom(then: 9)
      case Tag.newPid: try skipAtom(then: 12)
      case Tag.port, Tag.reference: try skipAtom(then: 5)
      case Tag.newPort: try skipAtom(then: 8)
      case Tag.v4Port: try skipAtom(then: 12)
      case Tag.newReference:
        let words = try half()
        try skipAtom(then: 1 + 4 * words)
      case Tag.newerReference:
        let words = try half()
        try skipAtom(then: 4 + 4 * words)
      case Tag.smallTuple: return Int(try byte())
      case Tag.largeTuple: return try word()
      case Tag.empty: break
      case Tag.string: try skip(try half())
      case Tag.list: return try word() + 1
      case Tag.map: return try word() * 2
      case Tag.binary: try skip(try word())
      case Tag.bitBinary: try skip(try word() + 1)
      case Tag.export: return 3
      default: throw Malformed(offset: start)
      }
      return 0
    }

    private mutating func skipAtom(then more: Int = 0) throws(Malformed) {
      let start = offset
      let length: Int
      switch try byte() {
      case Tag.atom, Tag.atomUTF8: length = try half()
      case Tag.smallAtom, Tag.smallAtomUTF8: length = Int(try byte())
      default: throw Malformed(offset: start)
      }
      // 255 characters, each of 4 bytes at most.
      if length > TermReader.atomCapacity { throw Malformed(offset: start) }
      try skip(length + more)
    }

    private mutating func skip(_ count: Int) throws(Malformed) {
      guard count <= bytes.count - offset else { throw Malformed(offset: offset) }
      offset += count
    }

    private mutating func byte() throws(Malformed) -> UInt8 {
      guard offset < bytes.count else { throw Malformed(offset: offset) }
      defer { offset += 1 }
      return bytes[offset]
    }

    private mutating func half() throws(Malformed) -> Int {
      let high = Int(try byte())
      return high << 8 | Int(try byte())
    }

    private mutating func word() throws(Malformed) -> Int {
      let high = try half()
      return high << 16 | (try half())
    }
  }
}
