import CErlInterface

/// Frames of `{packets, [Packet]}`, written with ei one behind the other, until somebody takes them: docs/protocol.md, "Functions of a capture".
///
/// The memory is of a fixed size. A packet that finds no room is refused, and can be offered again: at the latest when all frames have
/// been taken there is room for one of up to ``longestPacket``. Frames may be read some time after they were taken: the last bytes that
/// were taken stay as they are.
public struct BatchWriter: ~Copyable {
  /// What comes with a packet.
  public struct Stamp {
    let nanoseconds: UInt64
    let originalLength: Int

    public init(nanoseconds: UInt64, originalLength: Int) {
      self.nanoseconds = nanoseconds
      self.originalLength = originalLength
    }
  }

  /// The longest packet that is sure to find room, in bytes.
  public static let longestPacket = 1 << 18
  /// Frames of this length and their headers are what the BEAM reads at once, in bytes.
  private static let longest = 65_534
  /// That of `{packet,2}`.
  private static let header = FrameBuffer.Format.packet2.header
  private static let capacity = 1 << 21
  /// The version, a tuple, the atom and a list's header; a tuple, two integers and a binary's header; the end of the list.
  private static let beginning = 17
  private static let elementOverhead = 32
  private static let ending = 1
  /// What stands around the chunk of a fragment at most, with the header of its frame: so large that one fragment is never enough.
  private static let fragmentOverhead = 64

  private let memory: UnsafeMutablePointer<CChar>
  /// How many of the bytes that were taken last stay.
  private let kept: Int
  /// Whole frames stand here.
  private var start = 0
  private var end = 0
  /// When the frames were moved to the front, what was taken last stood from here on.
  private var keptBefore = capacity
  /// The frame that is being written: where it ends so far, where its list is, and how many packets are in it.
  private var cursor: CInt = 0
  private var list: CInt = 0
  private var count = 0

  /// `kept` in bytes: a quarter of the memory at most.
  public init(keeping kept: Int = 0) {
    self.kept = min(max(0, kept), Self.capacity / 4)
    memory = .allocate(capacity: Self.capacity)
  }

  deinit { memory.deallocate() }

  /// The bytes that wait, without those of a frame that is not closed.
  public var waiting: Int { end - start }

  /// Adds a packet; false where there is no room.
  public mutating func add(_ bytes: UnsafeRawBufferPointer, _ stamp: Stamp?) -> Bool {
    let length = bytes.count + Self.elementOverhead
    if Self.beginning + length + Self.ending > Self.longest { return addLong(bytes, stamp) }
    if count > 0, Int(cursor) - end - Self.header + length + Self.ending > Self.longest { close() }
    if count == 0 {
      guard makeRoom() else { return false }
      begin()
    }
    if let stamp {
      ei_encode_tuple_header(memory, &cursor, 3)
      ei_encode_ulonglong(memory, &cursor, CUnsignedLongLong(stamp.nanoseconds))
      ei_encode_ulonglong(memory, &cursor, CUnsignedLongLong(stamp.originalLength))
    }
    ei_encode_binary(memory, &cursor, bytes.baseAddress, CLong(bytes.count))
    count += 1
    return true
  }

  /// Ends the frame that is being written.
  public mutating func close() {
    guard count > 0 else { return }
    // Now the length of the list is known.
    var header = list
    ei_encode_list_header(memory, &header, CInt(count))
    ei_encode_list_header(memory, &cursor, 0)
    finish(Int(cursor) - end - Self.header)
  }

  /// Adds a frame `{Name, Value}` behind all packets; false where there is no room.
  public mutating func add(_ name: String, _ value: String) -> Bool {
    close()
    guard makeRoom() else { return false }
    var writer = TermWriter()
    writer.version()
    writer.tupleHeader(2)
    writer.atom(name)
    writer.atom(value)
    writer.withBytes { add(frame: $0) }
    return true
  }

  /// Whole frames, of up to about `most` bytes: at least one, where there is one.
  public mutating func take(_ most: Int) -> UnsafeRawBufferPointer {
    let first = start
    while start < end, start - first < most {
      start +=
        Self.header + (Int(UInt8(bitPattern: memory[start])) << 8 | Int(UInt8(bitPattern: memory[start + 1])))
    }
    return UnsafeRawBufferPointer(start: memory + first, count: start - first)
  }

  /// What was taken has been read, and need not stay. Memory that was just used is used again: it is in the processor's cache.
  public mutating func forget() {
    keptBefore = Self.capacity
    guard start == end, count == 0 else { return }
    start = 0
    end = 0
  }

  private mutating func begin() {
    cursor = CInt(end + Self.header)
    ei_encode_version(memory, &cursor)
    ei_encode_tuple_header(memory, &cursor, 2)
    ei_encode_atom_len_as(memory, &cursor, "packets", 7, ERLANG_UTF8, ERLANG_UTF8)
    list = cursor
    ei_encode_list_header(memory, &cursor, 1)
  }

  private mutating func finish(_ length: Int) {
    memory[end] = CChar(truncatingIfNeeded: length >> 8)
    memory[end + 1] = CChar(truncatingIfNeeded: length)
    end += Self.header + length
    count = 0
  }

  /// A packet that does not fit into a frame crosses in fragments.
  private mutating func addLong(_ bytes: UnsafeRawBufferPointer, _ stamp: Stamp?) -> Bool {
    close()
    let most = Self.longest - Self.fragmentOverhead
    let length = Self.beginning + Self.elementOverhead + bytes.count + Self.ending
    guard makeRoom(for: length + (length / most + 1) * Self.fragmentOverhead) else { return false }
    var whole = TermWriter()
    whole.version()
    whole.tupleHeader(2)
    whole.atom("packets")
    whole.listHeader(1)
    if let stamp {
      whole.tupleHeader(3)
      whole.unsigned(stamp.nanoseconds)
      whole.integer(Int64(stamp.originalLength))
    }
    whole.binary(bytes)
    whole.emptyList()
    whole.withBytes { encoded in
      for offset in stride(from: 0, to: encoded.count, by: most) {
        add(
          fragment: UnsafeRawBufferPointer(rebasing: encoded[offset...].prefix(most)),
          isLast: offset + most >= encoded.count)
      }
    }
    return true
  }

  private mutating func add(fragment: UnsafeRawBufferPointer, isLast: Bool) {
    let name = isLast ? "last_fragment" : "fragment"
    cursor = CInt(end + Self.header)
    ei_encode_version(memory, &cursor)
    ei_encode_tuple_header(memory, &cursor, 2)
    ei_encode_atom_len_as(memory, &cursor, name, CInt(name.utf8.count), ERLANG_UTF8, ERLANG_UTF8)
    ei_encode_binary(memory, &cursor, fragment.baseAddress, CLong(fragment.count))
    finish(Int(cursor) - end - Self.header)
  }

  private mutating func add(frame: UnsafeRawBufferPointer) {
    (memory + end + Self.header).update(
      from: frame.assumingMemoryBound(to: CChar.self).baseAddress ?? UnsafePointer(memory), count: frame.count)
    finish(frame.count)
  }

  /// How far may be written. As long as less than `kept` was taken from the front, some of what was taken before has to stay.
  private var limit: Int { start >= kept ? Self.capacity : min(Self.capacity, keptBefore + start) }

  /// Room behind the frames that wait: by default for one of any length.
  ///
  /// Where none wait, there is always room for the longest packet: the frames were last moved to the front when the memory was nearly
  /// full, so at least `(capacity - kept) / 2` bytes stand before what stays.
  private mutating func makeRoom(for wanted: Int = header + FrameBuffer.longestFrame) -> Bool {
    if limit - end < wanted, waiting + wanted <= start - kept {
      keptBefore = start - kept
      memory.update(from: memory + start, count: waiting)
      end = waiting
      start = 0
    }
    return limit - end >= wanted
  }
}
