import CErlInterface

/// A cursor over one term in the external term format, decoded with ei.
///
/// The bytes have to stay as they are for as long as the reader is used.
public struct TermReader {
  public enum Failure: Error, Equatable {
    /// The bytes are not exactly one well-formed term; from this offset on.
    case malformed(offset: Int)
    /// The next term is of another type, or out of range.
    case mismatch
  }

  /// The most bytes that an atom takes in UTF-8.
  static let atomCapacity = 255 * 4

  private let bytes: UnsafeRawBufferPointer
  private var index: CInt = 0
  /// How many elements of a list are left that stand there as bytes: a list of small integers is written as a string.
  private var bytesOfList = 0

  /// Checks that `bytes` are a version byte and exactly one term.
  public init(checking bytes: UnsafeRawBufferPointer) throws(Failure) {
    guard bytes.count <= CInt.max, bytes.first == Tag.version else { throw .malformed(offset: 0) }
    do {
      let end = try TermLayout.end(in: bytes, from: 1)
      guard end == bytes.count else { throw Failure.malformed(offset: end) }
    } catch let error as TermLayout.Malformed {
      throw .malformed(offset: error.offset)
    } catch let error as Failure {
      throw error
    } catch {
      throw .malformed(offset: 0)
    }
    self.bytes = bytes
    index = 1
  }

  private var base: UnsafePointer<CChar>? {
    bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
  }

  /// The number of elements of the tuple that starts here.
  public mutating func tupleHeader() throws(Failure) -> Int {
    guard isAtTerm else { throw .mismatch }
    var arity: CInt = 0
    guard ei_decode_tuple_header(base, &index, &arity) == 0 else { throw .mismatch }
    return Int(arity)
  }

  /// The number of elements of the proper list that starts here. Its end has to be read with ``listEnd()``, unless it is empty.
  public mutating func listHeader() throws(Failure) -> Int {
    guard isAtTerm else { throw .mismatch }
    if nextTag == Tag.string {
      let count = Int(bytes[Int(index) + 1]) << 8 | Int(bytes[Int(index) + 2])
      index += 3
      bytesOfList = count
      return count
    }
    var arity: CInt = 0
    guard ei_decode_list_header(base, &index, &arity) == 0 else { throw .mismatch }
    return Int(arity)
  }

  /// The end of a list of `count` elements that have been read; it is a mismatch where the list is improper.
  public mutating func listEnd(written asString: Bool, count: Int) throws(Failure) {
    guard !asString, count > 0 else { return }
    guard isAtTerm else { throw .mismatch }
    var arity: CInt = 0
    guard ei_decode_list_header(base, &index, &arity) == 0, arity == 0 else { throw .mismatch }
  }

  /// The number of pairs of the map that starts here; a key and its value follow for each.
  public mutating func mapHeader() throws(Failure) -> Int {
    guard isAtTerm else { throw .mismatch }
    var arity: CInt = 0
    guard ei_decode_map_header(base, &index, &arity) == 0 else { throw .mismatch }
    return Int(arity)
  }

  /// Whether the list that starts here is written as a string.
  public var isString: Bool { nextTag == Tag.string }

  public mutating func integer() throws(Failure) -> Int64 {
    if bytesOfList > 0 { return Int64(byteOfList()) }
    guard isAtTerm else { throw .mismatch }
    var value: CLongLong = 0
    guard ei_decode_longlong(base, &index, &value) == 0 else { throw .mismatch }
    return Int64(value)
  }

  /// An integer of 64 bits, with or without a sign, as bits.
  public mutating func bits() throws(Failure) -> UInt64 {
    if bytesOfList > 0 { return UInt64(byteOfList()) }
    guard isAtTerm else { throw .mismatch }
    var signed: CLongLong = 0
    if ei_decode_longlong(base, &index, &signed) == 0 { return UInt64(bitPattern: Int64(signed)) }
    var unsigned: CUnsignedLongLong = 0
    guard ei_decode_ulonglong(base, &index, &unsigned) == 0 else { throw .mismatch }
    return UInt64(unsigned)
  }

  public mutating func atom() throws(Failure) -> String {
    guard isAtTerm else { throw .mismatch }
    let base = base
    var position = index
    let name = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Self.atomCapacity + 1) { buffer -> String? in
      guard ei_decode_atom_as(base, &position, buffer.baseAddress, CInt(buffer.count), ERLANG_UTF8, nil, nil) == 0
      else {
        return nil
      }
      return buffer.baseAddress.map { String(cString: $0) }
    }
    guard let name else { throw .mismatch }
    index = position
    return name
  }

  /// The bytes of a binary, where they stand.
  public mutating func binary() throws(Failure) -> UnsafeRawBufferPointer {
    guard isAtTerm else { throw .mismatch }
    var length: CLong = 0
    guard ei_decode_binary(base, &index, nil, &length) == 0 else { throw .mismatch }
    return UnsafeRawBufferPointer(rebasing: bytes[(Int(index) - length)..<Int(index)])
  }

  /// The bytes of any term, where they stand.
  public mutating func raw() throws(Failure) -> UnsafeRawBufferPointer {
    guard isAtTerm else { throw .mismatch }
    let start = Int(index)
    guard let end = try? TermLayout.end(in: bytes, from: start) else { throw .malformed(offset: start) }
    index = CInt(end)
    return UnsafeRawBufferPointer(rebasing: bytes[start..<end])
  }

  /// Whether the next term is an integer.
  public var isInteger: Bool {
    guard let tag = nextTag else { return false }
    return bytesOfList > 0
      || Tag.integers.contains(tag)
  }

  /// Whether the next term is a tuple.
  public var isTuple: Bool {
    guard let tag = nextTag else { return false }
    return bytesOfList == 0 && Tag.tuples.contains(tag)
  }

  /// Whether the next term is a list.
  public var isList: Bool {
    guard let tag = nextTag else { return false }
    return bytesOfList == 0 && Tag.lists.contains(tag)
  }

  /// Whether an encoded term can name a request: a reference, a process identifier, an integer or an atom.
  public static func isIdentifier(_ term: UnsafeRawBufferPointer) -> Bool {
    guard let tag = term.first else { return false }
    return Tag.references.contains(tag) || Tag.pids.contains(tag) || Tag.atoms.contains(tag)
      || Tag.integers.contains(tag)
  }

  /// Whether the next term is an atom.
  public var isAtom: Bool {
    guard let tag = nextTag else { return false }
    return bytesOfList == 0
      && Tag.atoms.contains(tag)
  }

  /// Whether there is a term here: ei would read on behind the last one.
  private var isAtTerm: Bool { bytesOfList == 0 && Int(index) < bytes.count }

  private var nextTag: UInt8? {
    Int(index) < bytes.count ? bytes[Int(index)] : nil
  }

  private mutating func byteOfList() -> UInt8 {
    defer {
      index += 1
      bytesOfList -= 1
    }
    return bytes[Int(index)]
  }
}
