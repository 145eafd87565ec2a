/// Terms that are longer than a frame, in parts: docs/protocol.md, "Parts".
public enum Parts {
  /// The longest encoding that crosses in parts, in bytes.
  public static let longestTerm = 1 << 24
  /// The most that is assembled at once.
  public static let mostAssemblies = 64
  public static let mostBytes = 24 << 20

  public enum Failure: Error, Equatable {
    /// Not the part that has to come next; this is where that one starts.
    case unexpected(offset: Int)
    case noRoom
  }

  /// What stands around the chunk of a part at most: the tuple and the list, the identifier and the atom, two integers and the binary's header.
  private static func envelope(idLength: Int) -> Int { 64 + idLength }

  private static func chunkLength(idLength: Int) -> Int {
    max(1, FrameBuffer.longestFrame - envelope(idLength: idLength))
  }

  /// How long the frames of an encoded answer with their headers are in all at most, in bytes.
  static func length(of encoded: Int, idLength: Int) -> Int {
    let chunk = chunkLength(idLength: idLength)
    let count = (encoded + chunk - 1) / chunk
    return encoded + count * (FrameBuffer.Format.packet2.header + envelope(idLength: idLength))
  }

  /// Gives each frame of an encoded answer to `send`. `writer` is used for the frames of parts.
  public static func split<E: Error>(
    _ encoded: UnsafeRawBufferPointer, id: UnsafeRawBufferPointer, with writer: inout TermWriter,
    send: (UnsafeRawBufferPointer) throws(E) -> Void
  ) throws(E) {
    let size = chunkLength(idLength: id.count)
    var offset = 0
    while offset < encoded.count {
      let chunk = UnsafeRawBufferPointer(rebasing: encoded[offset..<min(encoded.count, offset + size)])
      writer.rewind()
      writer.version()
      writer.tupleHeader(3)
      writer.raw(id)
      writer.atom("part")
      writer.listHeader(3)
      writer.integer(Int64(offset))
      writer.integer(Int64(encoded.count))
      writer.binary(chunk)
      writer.emptyList()
      try writer.withBytes { (bytes) throws(E) in try send(bytes) }
      offset += chunk.count
    }
  }
}

/// Puts the parts of requests together. Each assembly keeps something of its caller's until it is complete: descriptors.
public struct PartAssembler<Kept> {
  private struct Assembly {
    let total: Int
    let kept: Kept
    var bytes: [UInt8]
  }

  private var assemblies: [[UInt8]: Assembly] = [:]
  private var total = 0

  public init() {}

  /// The whole encoding and what was kept, once the last part has come. What came with the first part is kept, and with it dropped.
  public mutating func add(
    id: UnsafeRawBufferPointer, offset: Int64, total: Int64, chunk: UnsafeRawBufferPointer,
    keeping kept: @autoclosure () -> Kept
  ) throws(Parts.Failure) -> (bytes: [UInt8], kept: Kept)? {
    let key = [UInt8](id)
    let current = assemblies.removeValue(forKey: key)
    let received = current?.bytes.count ?? 0
    self.total -= current?.total ?? 0
    guard offset == Int64(received), total > 0, total <= Int64(Parts.longestTerm),
      total == Int64(current?.total ?? Int(total)),
      !chunk.isEmpty, Int64(chunk.count) <= total - offset
    else { throw .unexpected(offset: received) }
    var assembly: Assembly
    if let current {
      assembly = current
    } else {
      guard assemblies.count < Parts.mostAssemblies, self.total + Int(total) <= Parts.mostBytes else { throw .noRoom }
      assembly = Assembly(total: Int(total), kept: kept(), bytes: [])
      // Memory that is not written to is none. Growing would copy, and double what there is.
      assembly.bytes.reserveCapacity(assembly.total)
    }
    assembly.bytes.append(contentsOf: chunk)
    if assembly.bytes.count == assembly.total { return (assembly.bytes, assembly.kept) }
    self.total += assembly.total
    assemblies[key] = assembly
    return nil
  }
}
