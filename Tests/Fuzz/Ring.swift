import CSystem
import ErlangTerm
import SystemCalls

@testable import Capture

/// The packet ring, with blocks as the kernel writes them and as it never should, up to the frames that are made of the packets.
enum Ring {
  /// The first byte says how the rest is laid out, the second how.
  static func input(_ input: UnsafeRawBufferPointer) {
    guard input.count > 2 else { return }
    let rest = UnsafeRawBufferPointer(rebasing: input[2...])
    let options = input[1]
    switch input[0] {
    case UInt8(ascii: "r"): block(rest, restoresTags: options & 1 != 0)
    case UInt8(ascii: "k"): ring(rest, options) { $0.kernel(&$1, $2) }
    default: ring(rest, options) { $0.raw(&$1, $2) }
    }
  }

  /// A block of any bytes and any size. The address sanitizer knows where this memory ends.
  private static func block(_ bytes: UnsafeRawBufferPointer, restoresTags: Bool) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    defer { memory.deallocate() }
    memory.copyMemory(from: bytes)
    var block = RingBlock(memory, restoresTags: restoresTags)
    var count = 0
    while let packet = block.next() {
      count += 1
      use(packet, within: UnsafeRawBufferPointer(memory))
      demand(count <= bytes.count / procket_packet_header, "more packets than there is room for")
    }
    demand(block.remaining == 0, "packets remain")
  }

  private static let blocks = 3

  /// A ring to which the blocks are written one after the other, as `write` makes them of the input.
  private static func ring(
    _ bytes: UnsafeRawBufferPointer, _ options: UInt8,
    _ write: (Writer.Type, inout Script, UnsafeMutableRawBufferPointer) -> Void
  ) {
    let size = PacketRing.blockSize
    let address = mmap(nil, blocks * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let address, address != MAP_FAILED else { fail("no memory") }
    let memory = UnsafeMutableRawBufferPointer(start: address, count: blocks * size)
    var ring = PacketRing(memory, blocks: blocks, restoresTags: options & 1 != 0)
    var frames = Frames(stamps: options & 2 != 0)
    var script = Script(bytes)
    var index = 0
    while !script.isEmpty, index < 2 * blocks {
      let block = UnsafeMutableRawBufferPointer(rebasing: memory[(index % blocks) * size..<(index % blocks + 1) * size])
      write(Writer.self, &script, block)
      block.storeBytes(of: UInt32(procket_status_user), toByteOffset: procket_block_status, as: UInt32.self)
      var count = 0
      while let packet = ring.next() {
        count += 1
        demand(count <= size / procket_packet_header, "more packets than there is room for")
        use(packet, within: UnsafeRawBufferPointer(block))
        frames.add(packet)
      }
      let status = block.load(fromByteOffset: procket_block_status, as: UInt32.self)
      demand(status == UInt32(procket_status_kernel), "the block was not given back")
      demand(ring.takeMalformed() >= 0, "a negative count")
      index += 1
    }
    frames.end()
  }

  /// Reads all of a packet, which has to lie within its block.
  private static func use(_ packet: CapturedPacket, within block: UnsafeRawBufferPointer) {
    guard let first = packet.bytes.baseAddress, let start = block.baseAddress else {
      return demand(packet.bytes.isEmpty, "bytes nowhere")
    }
    demand(first >= start && first + packet.bytes.count <= start + block.count, "a packet outside of its block")
    demand(packet.originalLength >= 0, "a negative length")
    for byte in packet.bytes { sum &+= byte }
  }

  nonisolated(unsafe) private static var sum: UInt8 = 0
}

/// Writes blocks of a ring as an input says.
private enum Writer {
  /// Bytes as they stand.
  static func raw(_ script: inout Script, _ block: UnsafeMutableRawBufferPointer) {
    block.copyMemory(from: script.take(Int(script.number() % 4096)))
  }

  /// As the kernel fills a block, and then some words that are written over it.
  static func kernel(_ script: inout Script, _ block: UnsafeMutableRawBufferPointer) {
    let count = Int(script.byte() % 16)
    var offset = procket_block_header
    var last: Int?
    for _ in 0..<count {
      let flags = script.byte()
      let mac = procket_packet_header + 20 + 14 + (flags & 1 != 0 ? 4 : 0)
      let length = flags & 2 != 0 ? Int(script.number()) : Int(script.byte())
      let size = (mac + length + 7) & ~7
      guard offset + size <= block.count else { break }
      let packet = UnsafeMutableRawBufferPointer(rebasing: block[offset..<offset + size])
      let tagged: UInt32 = flags & 4 != 0 ? UInt32(procket_status_vlan) : 0
      let named: UInt32 = flags & 8 != 0 ? UInt32(procket_status_tpid) : 0
      put(UInt32(size), packet, procket_packet_next)
      put(script.word(), packet, procket_packet_seconds)
      put(script.word(), packet, procket_packet_nanoseconds)
      put(UInt32(length), packet, procket_packet_captured)
      put(flags & 16 != 0 ? script.word() : UInt32(length), packet, procket_packet_original)
      put(UInt32(procket_status_user) | tagged | named, packet, procket_packet_status)
      put(UInt16(mac), packet, procket_packet_mac)
      put(UInt32(script.number()), packet, procket_packet_tci)
      put(UInt16(0x88a8), packet, procket_packet_tpid)
      last = offset
      offset += size
    }
    // The last packet of a block has none behind it.
    if let last { put(UInt32(0), block, last + procket_packet_next) }
    put(UInt32(count), block, procket_block_packets)
    put(UInt32(procket_block_header), block, procket_block_first)
    put(UInt32(offset), block, procket_block_length)
    for _ in 0..<script.byte() % 8 {
      let place = Int(script.word()) % (offset + 64)
      put(script.word(), block, min(place, block.count - 4))
    }
  }

  private static func put<Value: BitwiseCopyable>(
    _ value: Value, _ memory: UnsafeMutableRawBufferPointer, _ offset: Int
  ) {
    memory.storeBytes(of: value, toByteOffset: offset, as: Value.self)
  }
}

/// What a capture writes of the packets: each frame has to be a term.
private struct Frames: ~Copyable {
  private let stamps: Bool
  private var batches = BatchWriter(keeping: 1 << 16)
  private var buffer = FrameBuffer()

  init(stamps: Bool) { self.stamps = stamps }

  mutating func add(_ packet: CapturedPacket) {
    let stamp =
      stamps ? BatchWriter.Stamp(nanoseconds: packet.nanoseconds, originalLength: packet.originalLength) : nil
    if batches.add(packet.bytes, stamp) { return }
    take()
    demand(batches.add(packet.bytes, stamp), "no room although all was taken")
  }

  mutating func end() {
    take()
    demand(batches.waiting == 0, "frames remain")
  }

  private mutating func take() {
    batches.close()
    while batches.waiting > 0 {
      var frames = batches.take(1 << 16)
      while !frames.isEmpty {
        let taken = buffer.fill { room in
          let some = min(room.count, frames.count)
          room.copyMemory(from: UnsafeRawBufferPointer(rebasing: frames[..<some]))
          return some
        }
        frames = UnsafeRawBufferPointer(rebasing: frames[taken...])
        while let (frame, _) = try? buffer.next() {
          demand((try? TermReader(checking: frame)) != nil, "a frame that is no term")
        }
      }
    }
    demand(buffer.lastBegun == nil, "half a frame")
  }
}
