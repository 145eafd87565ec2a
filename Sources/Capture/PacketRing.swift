import CSystem
import SystemCalls

#if os(Linux)
  /// The memory that the kernel puts packets into, shared with it: TPACKET_V3 of packet(7).
  ///
  /// The kernel fills one block after the other, and gives a block away when it is full or some milliseconds old. This
  /// process reads the blocks in the same order and gives each back. While it holds all of them, the kernel drops and counts.
  public struct PacketRing: ~Copyable {
    /// In bytes. The longest packet that the kernel makes without BIG TCP fits: 65,536 bytes and their headers.
    public static let blockSize = 1 << 17
    private static let frameSize = 1 << 11
    /// When a block that is not full is given away, in milliseconds.
    public static let retireTimeout: UInt32 = 2
    /// Room before each packet, for a VLAN tag.
    private static let reserve: CInt = 4

    private let memory: UnsafeMutableRawBufferPointer
    private let blocks: Int
    private let restoresTags: Bool
    private var index = 0
    private var open: RingBlock?
    private var malformed = 0

    /// Sets the ring up on a packet socket that is not bound yet. `size` in bytes is rounded up to whole blocks,
    /// each of which is given away after `retireTimeout` milliseconds where it is not full.
    public init(
      on fd: CInt, size: Int, restoresTags: Bool, retireTimeout: UInt32 = retireTimeout
    ) throws(Errno) {
      let blocks = max(2, size / Self.blockSize + (size % Self.blockSize == 0 ? 0 : 1))
      try PacketSocket.setOption(fd, CInt(procket_packet_version), CInt(procket_packet_v3))
      try PacketSocket.setOption(fd, CInt(procket_packet_reserve), Self.reserve)
      let length = blocks * Self.blockSize
      // struct tpacket_req3
      let request: [UInt32] = [
        UInt32(Self.blockSize), UInt32(blocks), UInt32(Self.frameSize), UInt32(length / Self.frameSize),
        retireTimeout, 0, 0,
      ]
      try PacketSocket.setOption(fd, CInt(procket_packet_rx_ring), request)
      let address = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
      guard let address, address != MAP_FAILED else { throw Errno.current }
      self.init(
        UnsafeMutableRawBufferPointer(start: address, count: length), blocks: blocks, restoresTags: restoresTags)
    }

    /// Takes over mapped memory.
    init(_ memory: UnsafeMutableRawBufferPointer, blocks: Int, restoresTags: Bool) {
      self.memory = memory
      self.blocks = blocks
      self.restoresTags = restoresTags
    }

    deinit { munmap(memory.baseAddress, memory.count) }

    /// Its length in bytes.
    public var size: Int { memory.count }

    /// The next packet, valid until the one after it is asked for; nil where the kernel has given no more away.
    public mutating func next() -> CapturedPacket? {
      while true {
        if open == nil {
          let block = block(index)
          guard let status = block.baseAddress?.advanced(by: procket_block_status),
            procket_load_acquire(status) & UInt32(procket_status_user) != 0
          else { return nil }
          open = RingBlock(block, restoresTags: restoresTags)
        }
        if let packet = open?.next() { return packet }
        release()
      }
    }

    /// How many packets were in blocks and could not be found there, since this was asked before.
    public mutating func takeMalformed() -> Int {
      defer { malformed = 0 }
      return malformed
    }

    private mutating func release() {
      malformed += open?.malformed ?? 0
      open = nil
      if let base = block(index).baseAddress {
        procket_store_release(
          base.advanced(by: procket_block_status), UInt32(procket_status_kernel))
      }
      index = (index + 1) % blocks
    }

    private func block(_ index: Int) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(rebasing: memory[(index * Self.blockSize)..<((index + 1) * Self.blockSize)])
    }
  }
#endif
