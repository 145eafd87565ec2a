import CErlInterface

/// Encodes one term after the other with ei, into a buffer that stays.
public struct TermWriter: ~Copyable {
  /// A buffer that has grown beyond this, in bytes, is given back.
  private static let kept = 1 << 20

  private var buffer = ei_x_buff()

  public init() {
    ei_x_new(&buffer)
  }

  deinit {
    var buffer = buffer
    ei_x_free(&buffer)
  }

  /// The number of bytes written.
  public var count: Int { Int(buffer.index) }

  /// Forgets what was written behind `mark` bytes.
  public mutating func rewind(to mark: Int = 0) {
    buffer.index = CInt(mark)
    if mark == 0, Int(buffer.buffsz) > Self.kept {
      ei_x_free(&buffer)
      ei_x_new(&buffer)
    }
  }

  public mutating func version() { ei_x_encode_version(&buffer) }

  public mutating func tupleHeader(_ arity: Int) { ei_x_encode_tuple_header(&buffer, CLong(arity)) }

  /// The header of a list of at least one element; ``emptyList()`` comes after the elements.
  public mutating func listHeader(_ count: Int) { ei_x_encode_list_header(&buffer, CLong(count)) }

  public mutating func emptyList() { ei_x_encode_empty_list(&buffer) }

  public mutating func atom(_ name: String) {
    var name = name
    name.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { bytes in
        _ = ei_x_encode_atom_len_as(&buffer, bytes.baseAddress, CInt(bytes.count), ERLANG_UTF8, ERLANG_UTF8)
      }
    }
  }

  public mutating func integer(_ value: Int64) { ei_x_encode_longlong(&buffer, CLongLong(value)) }

  public mutating func unsigned(_ value: UInt64) { ei_x_encode_ulonglong(&buffer, CUnsignedLongLong(value)) }

  public mutating func binary(_ bytes: UnsafeRawBufferPointer) {
    ei_x_encode_binary(&buffer, bytes.baseAddress, CInt(bytes.count))
  }

  /// Bytes that are an encoded term already.
  public mutating func raw(_ bytes: UnsafeRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    ei_x_append_buf(&buffer, base.assumingMemoryBound(to: CChar.self), CInt(bytes.count))
  }

  /// Overwrites one byte that was written.
  public mutating func patch(_ offset: Int, with byte: UInt8) {
    guard offset >= 0, offset < count else { return }
    buffer.buff[offset] = CChar(bitPattern: byte)
  }

  /// What has been written.
  public borrowing func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try body(UnsafeRawBufferPointer(start: buffer.buff, count: count))
  }
}
