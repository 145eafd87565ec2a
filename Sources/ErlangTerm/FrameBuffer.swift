/// Takes in the bytes of a stream and gives out its frames, without copying them. A frame is a big-endian length and
/// so many bytes.
public struct FrameBuffer: ~Copyable {
  /// How a stream is cut: `{packet,2}` of the Erlang ports, or a length of four bytes.
  public struct Format: Sendable {
    /// The length of a frame's header in bytes, and the longest frame behind it.
    public let header: Int
    public let longest: Int

    public static let packet2 = Format(header: 2, longest: longestFrame)

    public static func packet4(longest: Int) -> Format { Format(header: 4, longest: longest) }
  }

  /// A frame is longer than the format allows.
  public struct TooLong: Error {}

  /// The longest frame of `{packet,2}`.
  public static let longestFrame = 65_535
  /// The longest term that crosses in one frame of any format, in bytes.
  public static let longestTerm = 1 << 24
  /// The room that there is without a longer frame, in bytes.
  private static let kept = 2 * (2 + longestFrame)

  private let format: Format
  private var memory: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0
  /// How many bytes of the stream have been given out.
  private var consumed = 0

  public init(_ format: Format = .packet2) {
    self.format = format
    memory = .allocate(byteCount: Self.kept, alignment: 16)
  }

  deinit {
    memory.deallocate()
  }

  /// Lets `read` put bytes into the room that is left, and say how many. Frames that were given out before are overwritten.
  @discardableResult
  public mutating func fill<E: Error>(
    _ read: (UnsafeMutableRawBufferPointer) throws(E) -> Int
  ) throws(E) -> Int {
    makeRoom()
    let count = try read(UnsafeMutableRawBufferPointer(rebasing: memory[end...]))
    end += max(0, min(count, memory.count - end))
    return count
  }

  /// The next whole frame and where it starts in the stream; it stays valid until the next ``fill(_:)``.
  public mutating func next() throws(TooLong) -> (frame: UnsafeRawBufferPointer, position: Int)? {
    guard let length = length(at: start) else { return nil }
    guard length <= format.longest else { throw TooLong() }
    guard end - start >= format.header + length else { return nil }
    let body = start + format.header
    let position = consumed
    start = body + length
    consumed += format.header + length
    return (UnsafeRawBufferPointer(rebasing: memory[body..<start]), position)
  }

  /// Where in the stream the last frame starts that has begun; nil where there are no bytes.
  public var lastBegun: Int? {
    guard start < end else { return nil }
    var offset = start
    while let length = length(at: offset), offset + format.header + length < end {
      offset += format.header + length
    }
    return consumed + offset - start
  }

  /// Forgets all bytes, as a new stream begins.
  public mutating func removeAll() {
    start = 0
    end = 0
    consumed = 0
  }

  /// There is room for the rest of a frame that has begun, and no more is kept than is needed.
  private mutating func makeRoom() {
    let pending = UnsafeRawBufferPointer(rebasing: memory[start..<end])
    let frame = format.header + min(length(at: start) ?? 0, format.longest)
    let wanted = max(Self.kept, frame)
    if wanted != memory.count {
      let other = UnsafeMutableRawBufferPointer.allocate(byteCount: wanted, alignment: 16)
      other.copyMemory(from: UnsafeRawBufferPointer(rebasing: pending.prefix(wanted)))
      memory.deallocate()
      memory = other
    } else if start > 0 {
      memory.copyMemory(from: pending)
    }
    end -= start
    start = 0
  }

  private func length(at offset: Int) -> Int? {
    guard end - offset >= format.header else { return nil }
    var length = 0
    for index in offset..<(offset + format.header) { length = length << 8 | Int(memory[index]) }
    return length
  }
}
