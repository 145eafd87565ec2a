import CSystem
import Capture
import Testing

#if os(Linux)
  /// A block as the kernel writes it, and as it never should.
  @Suite struct RingBlockTests {
    private struct Packet {
      var bytes: [UInt8] = Array(0..<60)
      var next: UInt32?
      var mac: UInt16 = 82
      var captured: UInt32?
      var original: UInt32 = 60
      var status: UInt32 = UInt32(procket_status_user)
      var tci: UInt32 = 0
      var tpid: UInt16 = 0
    }

    private static let size = 4096

    private func block(_ packets: [Packet], count: UInt32? = nil, first: UInt32 = 48) -> [UInt8] {
      var block = [UInt8](repeating: 0, count: Self.size)
      func put<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
        block.withUnsafeMutableBytes { bytes in
          guard offset >= 0, offset + MemoryLayout<Value>.size <= bytes.count else { return }
          bytes.storeBytes(of: value, toByteOffset: offset, as: Value.self)
        }
      }
      put(count ?? UInt32(packets.count), at: procket_block_packets)
      put(first, at: procket_block_first)
      var offset = Int(first)
      // Where there would be no header in front.
      for packet in packets where offset >= procket_block_header {
        let length = (Int(packet.mac) + packet.bytes.count + 15) & ~15
        put(packet.next ?? UInt32(length), at: offset + procket_packet_next)
        put(UInt32(7), at: offset + procket_packet_seconds)
        put(UInt32(9), at: offset + procket_packet_nanoseconds)
        put(packet.captured ?? UInt32(packet.bytes.count), at: offset + procket_packet_captured)
        put(packet.original, at: offset + procket_packet_original)
        put(packet.status, at: offset + procket_packet_status)
        put(packet.mac, at: offset + procket_packet_mac)
        put(packet.tci, at: offset + procket_packet_tci)
        put(packet.tpid, at: offset + procket_packet_tpid)
        for (index, byte) in packet.bytes.enumerated() { put(byte, at: offset + Int(packet.mac) + index) }
        offset += length
      }
      return block
    }

    /// What a walk finds, and how many it misses.
    private func walk(_ bytes: [UInt8], restoresTags: Bool = true) -> (
      found: [(bytes: [UInt8], original: Int, time: UInt64)], missed: Int
    ) {
      var bytes = bytes
      return bytes.withUnsafeMutableBytes { memory in
        var block = RingBlock(memory, restoresTags: restoresTags)
        var found: [(bytes: [UInt8], original: Int, time: UInt64)] = []
        while let packet = block.next() {
          found.append((Array(packet.bytes), packet.originalLength, packet.nanoseconds))
        }
        return (found, block.malformed)
      }
    }

    @Test func packetsInOrder() {
      let packets = (1...5).map { Packet(bytes: [UInt8](repeating: UInt8($0), count: 20 * $0), original: 100) }
      let (found, missed) = walk(block(packets))
      #expect(found.map(\.bytes) == packets.map(\.bytes))
      #expect(found.allSatisfy { $0.original == 100 && $0.time == 7_000_000_009 })
      #expect(missed == 0)
    }

    @Test func anEmptyBlock() {
      #expect(walk(block([])).found.isEmpty)
      #expect(walk([]).found.isEmpty)
      #expect(walk([UInt8](repeating: 0xff, count: 47)).missed == 0)
    }

    @Test(arguments: [UInt16(0x88a8), nil])
    func aTagIsPutBack(identifier: UInt16?) {
      let known = identifier == nil ? 0 : UInt32(procket_status_tpid)
      let packet = Packet(
        status: UInt32(procket_status_user) | UInt32(procket_status_vlan) | known, tci: 0xe005, tpid: identifier ?? 0)
      let (found, _) = walk(block([packet, Packet()]))
      let tag: [UInt8] = identifier == nil ? [0x81, 0, 0xe0, 5] : [0x88, 0xa8, 0xe0, 5]
      #expect(found.map(\.bytes) == [Array(packet.bytes[..<12]) + tag + Array(packet.bytes[12...]), packet.bytes])
      #expect(found.map(\.original) == [64, 60])
      #expect(walk(block([packet]), restoresTags: false).found.map(\.bytes) == [packet.bytes])
    }

    @Test func aTagWithoutRoomOrHeader() {
      let status = UInt32(procket_status_user) | UInt32(procket_status_vlan)
      let short = Packet(bytes: [1, 2, 3], status: status, tci: 5)
      #expect(walk(block([short])).found.map(\.bytes) == [[1, 2, 3]])
      let narrow = Packet(mac: UInt16(procket_packet_header), status: status, tci: 5)
      #expect(walk(block([narrow])).found.map(\.bytes) == [narrow.bytes])
    }

    @Test func offsetsOutsideOfTheBlock() {
      // The first packet.
      for first: UInt32 in [0, 47, 50, 4064, 4096, 0x7fff_ffff, 0xffff_ffff] {
        #expect(walk(block([Packet()], first: first)).missed == 1)
      }
      // The next one.
      for next: UInt32 in [1, 3, 4096, 0x8000_0000, 0xffff_fff0] {
        let (found, missed) = walk(block([Packet(next: next), Packet(), Packet()]))
        #expect(found.count == 1)
        #expect(missed == 2)
      }
      // The bytes.
      for mac: UInt16 in [0, 47, 5000, 65535] {
        #expect(walk(block([Packet(mac: mac, captured: 60)])).missed == 1)
      }
      for captured: UInt32 in [3967, 4096, 0x8000_0000, 0xffff_ffff] {
        #expect(walk(block([Packet(captured: captured)])).missed == 1)
      }
    }

    @Test func moreThanThereAre() {
      let (found, missed) = walk(block([Packet()], count: 0xffff_ffff))
      #expect(found.count == 1)
      #expect(missed == 0xffff_fffe)
    }

    /// No packet comes twice, nor do two share bytes: a block gives no more than it has room for.
    @Test(arguments: [UInt32(0), 48, 140])
    func aCircle(next: UInt32) {
      let (found, missed) = walk(block([Packet(next: next)], count: 1000))
      #expect(found.count == 1)
      #expect(missed == 999)
    }

    @Test func anyBytes() {
      var generator = SystemRandomNumberGenerator()
      for _ in 0..<2000 {
        var bytes = block([Packet(), Packet(), Packet()])
        for _ in 0..<8 {
          bytes[Int.random(in: 8..<400, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        }
        // The count is kept small, so that it ends soon.
        bytes.replaceSubrange(procket_block_packets..<(procket_block_packets + 4), with: [3, 0, 0, 0])
        let (found, missed) = walk(bytes)
        #expect(found.count + missed == 3)
      }
    }
  }
#endif
