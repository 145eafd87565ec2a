import CSystem
import ErlangTerm
import SystemCalls

/// Memory that structures point to, for ioctl(2) and setsockopt(2). It belongs to this process, and is named by numbers.
struct Memory: ~Copyable {
  /// The most that is allocated in all, in bytes.
  private static let most = 64 << 20

  private var blocks: [Int: UnsafeMutableRawBufferPointer] = [:]
  private var total = 0
  /// The numbers of a later worker are higher, as it starts later: a request that reaches another one than it was made for finds nothing.
  private var last = Int(Clock.monotonic())

  deinit {
    for block in blocks.values { block.deallocate() }
  }

  subscript(handle: Int) -> UnsafeMutableRawBufferPointer? { blocks[handle] }

  /// Zeroes; none where there would be too much.
  mutating func allocate(_ size: Int) -> Int? {
    guard size <= Self.most - total else { return nil }
    let block = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    block.initializeMemory(as: UInt8.self, repeating: 0)
    last += 1
    blocks[last] = block
    total += size
    return last
  }

  mutating func free(_ handle: Int) {
    guard let block = blocks.removeValue(forKey: handle) else { return }
    total -= block.count
    block.deallocate()
  }
}

extension Commands {
  /// `[[Binary | {ptr, Size | Binary}]]`
  @Sendable static func alloc(_ call: inout Call, _ context: inout Context) throws(Failure) {
    var structure: [UInt8] = []
    var handles: [Int] = []
    do {
      // Nothing of the context may be touched while its arguments are read: so what to allocate comes first.
      let items = try call.list { (call) throws(Failure) in try Item(&call) }
      for item in items {
        switch item {
        case .bytes(let bytes):
          structure += bytes
        case .zeroes(let size):
          structure += address(of: try context.memory.take(size, [], &handles))
        case .copy(let bytes):
          structure += address(of: try context.memory.take(bytes.count, bytes, &handles))
        }
      }
    } catch {
      for handle in handles { context.memory.free(handle) }
      throw error
    }
    context.answer.startOk(2)
    structure.withUnsafeBytes { bytes in context.answer.withTerm { $0.binary(bytes) } }
    context.answer.withTerm { term in
      if !handles.isEmpty { term.listHeader(handles.count) }
      for handle in handles { term.integer(Int64(handle)) }
      term.emptyList()
    }
  }

  /// `[Handle]`
  @Sendable static func buf(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let handle = try call.integer(in: 1...Int.max)
    guard let block = context.memory[handle] else { throw .code(ENOMEM) }
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

  private static func address(of block: UnsafeMutableRawBufferPointer) -> [UInt8] {
    withUnsafeBytes(of: UInt(bitPattern: block.baseAddress)) { [UInt8]($0) }
  }
}

extension Memory {
  fileprivate mutating func take(
    _ size: Int, _ bytes: [UInt8], _ handles: inout [Int]
  ) throws(Failure) -> UnsafeMutableRawBufferPointer {
    guard let handle = allocate(size), let block = self[handle] else { throw .code(ENOMEM) }
    handles.append(handle)
    block.copyBytes(from: bytes)
    return block
  }
}
