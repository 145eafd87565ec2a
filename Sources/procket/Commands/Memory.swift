import CSystem
import ErlangTerm
import SystemCalls

/// Memory that structures point to, for ioctl(2) and setsockopt(2). It belongs to this process. The BEAM numbers the blocks, and never
/// uses a number twice: a request that reaches a later worker than the one it was made for finds nothing.
struct Memory: ~Copyable {
  /// The most that is allocated in all, in bytes, and what is counted for a block beside its size: for the table of blocks, and for the
  /// allocator.
  private static let most = 64 << 20
  private static let overhead = 256
  /// The most numbers in ``cancelled``.
  private static let mostCancelled = 1 << 12

  private var blocks: [Int: UnsafeMutableRawBufferPointer] = [:]
  private var total = 0
  /// Numbers that were freed before they were allocated: a caller gave up while its request was on the way, and freeing overtook it.
  private var cancelled: Set<Int> = []

  deinit {
    for block in blocks.values { block.deallocate() }
  }

  subscript(handle: Int) -> UnsafeMutableRawBufferPointer? { blocks[handle] }

  /// Allocates zeroes. Nil if that is too much in all, or the number is in use or was freed already.
  mutating func allocate(_ size: Int, as handle: Int) -> UnsafeMutableRawBufferPointer? {
    guard size <= Self.most - total - Self.overhead, blocks[handle] == nil, cancelled.remove(handle) == nil else {
      return nil
    }
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    block.initializeMemory(as: UInt8.self, repeating: 0)
    blocks[handle] = block
    total += size + Self.overhead
    return block
  }

  mutating func free(_ handle: Int) {
    guard let block = blocks.removeValue(forKey: handle) else { return cancel(handle) }
    total -= block.count + Self.overhead
    block.deallocate()
  }

  private mutating func cancel(_ handle: Int) {
    // Most are numbers of an earlier worker, which never come: so all are forgotten at once, and none is looked for.
    if cancelled.count == Self.mostCancelled { cancelled.removeAll(keepingCapacity: true) }
    cancelled.insert(handle)
  }
}

extension Commands {
  /// `[[Binary | {ptr, Size | Binary}], [Handle]]`, a handle for each `ptr`
  @Sendable static func alloc(_ call: inout Call, _ context: inout Context) throws(Failure) {
    // The arguments are read before anything of the context changes: they stand in its buffers.
    let items = try call.list { (call) throws(Failure) in try Item(&call) }
    let handles = try call.list { (call) throws(Failure) in try call.integer(in: 1...Int.max) }
    guard handles.count == items.count(where: \.isPointer) else { throw .argument(2) }
    var structure: [UInt8] = []
    var taken = handles[...]
    for item in items {
      if case .bytes(let bytes) = item {
        structure += bytes
        continue
      }
      guard let handle = taken.popFirst(), let block = context.memory.allocate(item.size, as: handle) else {
        // A later one may be in use by another request.
        for handle in handles[..<(taken.startIndex - 1)] { context.memory.free(handle) }
        throw .code(ENOMEM)
      }
      if case .copy(let bytes) = item { block.copyBytes(from: bytes) }
      structure += withUnsafeBytes(of: UInt(bitPattern: block.baseAddress)) { [UInt8]($0) }
    }
    structure.withUnsafeBytes { context.answer.ok(UnsafeRawBufferPointer($0)) }
  }

  /// `[Handle]`
  @Sendable static func buf(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let handle = try call.integer(in: 1...Int.max)
    guard let block = context.memory[handle] else { throw .code(ENOMEM) }
    guard block.count < FrameBuffer.longestTerm else { throw .code(EMSGSIZE) }
    context.answer.ok(UnsafeRawBufferPointer(block))
  }

  /// `[Handle, Data]`: `{error, erange}` past the end.
  @Sendable static func memcpy(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let handle = try call.integer(in: 1...Int.max)
    let data = try call.binary()
    guard let block = context.memory[handle] else { throw .code(ENOMEM) }
    guard data.count <= block.count else { throw .code(ERANGE) }
    block.copyMemory(from: data)
    context.answer.ok()
  }

  /// `[[Handle]]`
  @Sendable static func free(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let handles = try call.list { (call) throws(Failure) in try call.integer(in: 1...Int.max) }
    for handle in handles { context.memory.free(handle) }
    context.answer.ok()
  }

  private enum Item {
    case bytes([UInt8])
    case zeroes(Int)
    case copy([UInt8])

    var isPointer: Bool {
      if case .bytes = self { false } else { true }
    }

    /// In bytes.
    var size: Int {
      switch self {
      case .zeroes(let size): size
      case .bytes(let bytes), .copy(let bytes): bytes.count
      }
    }

    init(_ call: inout Call) throws(Failure) {
      guard call.isTuple else {
        self = .bytes([UInt8](try call.binary()))
        return
      }
      self = try call.tuple(2) { (call) throws(Failure) in
        guard try call.atom() == "ptr" else { throw .argument(1) }
        return call.isInteger ? .zeroes(try call.size()) : .copy([UInt8](try call.binary()))
      }
    }
  }
}
