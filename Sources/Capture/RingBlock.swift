import CSystem

/// A packet where the kernel put it.
public struct CapturedPacket {
  public let bytes: UnsafeRawBufferPointer
  /// The length on the wire, in bytes.
  public let originalLength: Int
  /// When it came, in nanoseconds since 1970.
  public let nanoseconds: UInt64

  public init(bytes: UnsafeRawBufferPointer, originalLength: Int, nanoseconds: UInt64) {
    self.bytes = bytes
    self.originalLength = originalLength
    self.nanoseconds = nanoseconds
  }
}

#if os(Linux)
  /// A walk through the packets of one block of a TPACKET_V3 ring: packet(7).
  ///
  /// The kernel writes a block and gives it away, so it should be right; no offset in it is trusted all the same.
  public struct RingBlock {
    private static let tagLength = 4
    /// Behind the two addresses of an Ethernet header.
    private static let tagOffset = 12
    private static let ethernetHeader = 14
    private static let defaultTagProtocol: UInt16 = 0x8100

    private let memory: UnsafeMutableRawBufferPointer
    private let restoresTags: Bool
    private var offset: Int
    /// How many packets are still to come.
    public private(set) var remaining: Int
    /// How many packets the kernel said there are, and could not be found.
    public private(set) var malformed = 0

    /// `restoresTags`: there is an Ethernet header, and the VLAN tag that the kernel took out is put back into it.
    public init(_ memory: UnsafeMutableRawBufferPointer, restoresTags: Bool) {
      self.memory = memory
      self.restoresTags = restoresTags
      guard memory.count >= procket_block_header else {
        offset = 0
        remaining = 0
        return
      }
      let bytes = UnsafeRawBufferPointer(memory)
      offset = Int(bytes.word(at: procket_block_first))
      remaining = Int(bytes.word(at: procket_block_packets))
    }

    /// The next packet. What follows one whose place is impossible is given up, and counted.
    public mutating func next() -> CapturedPacket? {
      guard remaining > 0 else { return nil }
      let bytes = UnsafeRawBufferPointer(memory)
      let header = procket_packet_header
      guard offset >= procket_block_header, offset <= bytes.count - header, offset % 4 == 0 else {
        return giveUp()
      }
      let packet = UnsafeRawBufferPointer(rebasing: bytes[offset...])
      let start = Int(packet.half(at: procket_packet_mac))
      let captured = Int(packet.word(at: procket_packet_captured))
      guard start >= header, start <= packet.count, captured <= packet.count - start else { return giveUp() }
      let place = offset + start..<offset + start + captured
      let nanoseconds =
        UInt64(packet.word(at: procket_packet_seconds)) * 1_000_000_000
        + UInt64(packet.word(at: procket_packet_nanoseconds))
      let result = CapturedPacket(
        bytes: UnsafeRawBufferPointer(rebasing: bytes[place]),
        originalLength: Int(packet.word(at: procket_packet_original)), nanoseconds: nanoseconds)
      let tag = tag(of: packet)
      remaining -= 1
      let next = Int(packet.word(at: procket_packet_next))
      // Behind this packet: else a block would give more than it has, and a tag would be written over a header.
      if next >= start + captured { offset += next } else { _ = giveUp() }
      guard let tag, restoresTags, captured >= Self.ethernetHeader, start >= header + Self.tagLength else {
        return result
      }
      return CapturedPacket(
        bytes: insert(tag, at: place.lowerBound, captured), originalLength: result.originalLength + Self.tagLength,
        nanoseconds: nanoseconds)
    }

    private mutating func giveUp() -> CapturedPacket? {
      malformed += remaining
      remaining = 0
      return nil
    }

    private func tag(of packet: UnsafeRawBufferPointer) -> (identifier: UInt16, control: UInt16)? {
      let status = packet.word(at: procket_packet_status)
      guard status & UInt32(procket_status_vlan) != 0 else { return nil }
      let known = status & UInt32(procket_status_tpid) != 0
      return (
        known ? packet.half(at: procket_packet_tpid) : Self.defaultTagProtocol,
        UInt16(truncatingIfNeeded: packet.word(at: procket_packet_tci))
      )
    }

    /// Moves the addresses towards the front, where the ring keeps room for that, and writes the tag behind them.
    private func insert(
      _ tag: (identifier: UInt16, control: UInt16), at start: Int, _ captured: Int
    ) -> UnsafeRawBufferPointer {
      let front = start - Self.tagLength
      let whole = UnsafeMutableRawBufferPointer(rebasing: memory[front..<(start + captured)])
      let addresses = UnsafeRawBufferPointer(rebasing: memory[start..<(start + Self.tagOffset)])
      UnsafeMutableRawBufferPointer(rebasing: whole[0..<Self.tagOffset]).copyMemory(from: addresses)
      whole[Self.tagOffset] = UInt8(tag.identifier >> 8)
      whole[Self.tagOffset + 1] = UInt8(tag.identifier & 0xff)
      whole[Self.tagOffset + 2] = UInt8(tag.control >> 8)
      whole[Self.tagOffset + 3] = UInt8(tag.control & 0xff)
      return UnsafeRawBufferPointer(whole)
    }
  }

  extension UnsafeRawBufferPointer {
    /// A field of a structure that lies wholly within the buffer.
    fileprivate func word(at offset: Int) -> UInt32 {
      loadUnaligned(fromByteOffset: offset, as: UInt32.self)
    }

    fileprivate func half(at offset: Int) -> UInt16 {
      loadUnaligned(fromByteOffset: offset, as: UInt16.self)
    }
  }
#endif
