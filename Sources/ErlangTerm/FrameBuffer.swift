/// Takes in the bytes of a stream and gives out its `{packet,2}` frames, without copying them.
public struct FrameBuffer: ~Copyable {
  /// The length of a frame's header in bytes, and the longest frame behind it.
  public static let header = 2
  public static let longestFrame = 65_535

  private let memory: UnsafeMutableRawBufferPointer
  private var start = 0
  private var end = 0
  /// How many bytes of the stream have been given out.
  private var consumed = 0

  public init() {
    memory = .allocate(byteCount: 2 * (Self.header + Self.longestFrame), alignment: 16)
  }

  deinit {
    memory.deallocate()
  }

  /// Lets `read` put bytes into the room that is left, which always suffices for the rest of a frame. Frames that
  /// were given out before are overwritten.
  public mutating func fill<R, E: Error>(
    _ read: (UnsafeMutableRawBufferPointer) throws(E) -> (count: Int, R)
  ) throws(E) -> (count: Int, R) {
    if start > 0 {
      UnsafeMutableRawBufferPointer(rebasing: memory[0..<(end - start)])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[start..<end]))
      end -= start
      start = 0
    }
    let result = try read(UnsafeMutableRawBufferPointer(rebasing: memory[end...]))
    end += max(0, min(result.count, memory.count - end))
    return result
  }

  /// The next whole frame and where it starts in the stream; it stays valid until the next ``fill(_:)``.
  public mutating func next() -> (frame: UnsafeRawBufferPointer, position: Int)? {
    guard let length = length(at: start), end - start >= Self.header + length else { return nil }
    let body = start + Self.header
    let position = consumed
    start = body + length
    consumed += Self.header + length
    return (UnsafeRawBufferPointer(rebasing: memory[body..<start]), position)
  }

  /// Where in the stream the last frame starts that has begun; nil where there are no bytes.
  public var lastBegun: Int? {
    guard start < end else { return nil }
    var offset = start
    while let length = length(at: offset), offset + Self.header + length < end {
      offset += Self.header + length
    }
    return consumed + offset - start
  }

  private func length(at offset: Int) -> Int? {
    guard end - offset >= Self.header else { return nil }
    return Int(memory[offset]) << 8 | Int(memory[offset + 1])
  }
}
