import CErlInterface

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
      switch Int32(try byte()) {
      case ERL_SMALL_INTEGER_EXT: try skip(1)
      case ERL_INTEGER_EXT: try skip(4)
      case ERL_SMALL_BIG_EXT: try skip(Int(try byte()) + 1)
      case ERL_LARGE_BIG_EXT: try skip(try word() + 1)
      case NEW_FLOAT_EXT: try skip(8)
      case ERL_FLOAT_EXT: try skip(31)
      case ERL_ATOM_EXT, ERL_ATOM_UTF8_EXT, ERL_SMALL_ATOM_EXT, ERL_SMALL_ATOM_UTF8_EXT:
        offset = start
        try skipAtom()
      case ERL_PID_EXT: try skipAtom(then: 9)
      case ERL_NEW_PID_EXT: try skipAtom(then: 12)
      case ERL_PORT_EXT, ERL_REFERENCE_EXT: try skipAtom(then: 5)
      case ERL_NEW_PORT_EXT: try skipAtom(then: 8)
      case ERL_V4_PORT_EXT: try skipAtom(then: 12)
      case ERL_NEW_REFERENCE_EXT:
        let words = try half()
        try skipAtom(then: 1 + 4 * words)
      case ERL_NEWER_REFERENCE_EXT:
        let words = try half()
        try skipAtom(then: 4 + 4 * words)
      case ERL_SMALL_TUPLE_EXT: return Int(try byte())
      case ERL_LARGE_TUPLE_EXT: return try word()
      case ERL_NIL_EXT: break
      case ERL_STRING_EXT: try skip(try half())
      case ERL_LIST_EXT: return try word() + 1
      case ERL_MAP_EXT: return try word() * 2
      case ERL_BINARY_EXT: try skip(try word())
      case ERL_BIT_BINARY_EXT: try skip(try word() + 1)
      case ERL_EXPORT_EXT: return 3
      default: throw Malformed(offset: start)
      }
      return 0
    }

    private mutating func skipAtom(then more: Int = 0) throws(Malformed) {
      let start = offset
      let length: Int
      switch Int32(try byte()) {
      case ERL_ATOM_EXT, ERL_ATOM_UTF8_EXT: length = try half()
      case ERL_SMALL_ATOM_EXT, ERL_SMALL_ATOM_UTF8_EXT: length = Int(try byte())
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
