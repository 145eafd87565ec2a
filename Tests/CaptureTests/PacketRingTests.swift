#if os(Linux)
  import CSystem
  import Capture
  import SystemCalls
  import Testing

  /// A ring on lo, as the kernel fills it.
  @Suite(.enabled(if: geteuid() == 0, "needs root")) struct PacketRingTests {
    private static let etherType: UInt16 = 0x88b5

    /// Other frames on lo are not this test's, perhaps those of another process that runs it.
    private func mark(_ length: Int) -> UInt32 { UInt32(truncatingIfNeeded: getpid()) << 17 | UInt32(length) }

    /// A frame to nobody, with its mark behind its header.
    private func frame(_ length: Int) -> [UInt8] {
      let mark = withUnsafeBytes(of: mark(length).bigEndian) { [UInt8]($0) }
      let header = [UInt8](repeating: 0, count: 12) + [UInt8(Self.etherType >> 8), UInt8(Self.etherType & 0xff)]
      return header + mark + [UInt8](repeating: 0, count: length - header.count - mark.count)
    }

    /// A packet socket that has the frames of one length alone.
    private func socket(_ length: Int) throws -> Descriptor {
      let socket = try Sockets.socket(family: AF_PACKET, type: CInt(SOCK_RAW.rawValue), protocol: 0)
      let number = socket.number
      // ld [14]; jeq #mark, 0, 1; ret #-1; ret #0
      let program: [sock_filter] = [
        sock_filter(code: 0x20, jt: 0, jf: 0, k: 14),
        sock_filter(code: 0x15, jt: 0, jf: 1, k: mark(length)),
        sock_filter(code: 0x06, jt: 0, jf: 0, k: .max), sock_filter(code: 0x06, jt: 0, jf: 0, k: 0),
      ]
      try program.withUnsafeBytes { try Sockets.attachFilter(number, $0) }
      return socket
    }

    /// What docs/capture.md says of the buffer. No block is given away before it is full, however slowly the frames come.
    @Test(arguments: [(64, 861), (590, 192), (1514, 81), (9014, 14), (30_000, 4), (65_549, 1)])
    func packetsInABlock(_ length: Int, _ expected: Int) throws {
      let slot = (length + 86 + 7) / 8 * 8
      #expect((PacketRing.blockSize - 49) / slot == expected)
      let blocks = 4
      let socket = try socket(length)
      let (number, lo) = (socket.number, CInt(bitPattern: if_nametoindex("lo")))
      let ring = try PacketRing(
        on: number, size: blocks * PacketRing.blockSize, restoresTags: true, retireTimeout: 60_000)
      #expect(ring.size == blocks * PacketRing.blockSize)
      try PacketSocket.bind(number, index: lo, etherType: Self.etherType)
      let sender = try Sockets.socket(family: AF_PACKET, type: CInt(SOCK_RAW.rawValue), protocol: 0)
      try PacketSocket.bind(sender.number, index: lo, etherType: 0)
      let (frame, count) = (frame(length), blocks * expected + 50)
      for _ in 0..<count {
        try frame.withUnsafeBytes { bytes in
          while PacketSender.send([bytes], to: sender.number, isSocket: true).sent == 0 {
            try Files.wait(for: sender.number, CInt(POLLOUT))
          }
        }
      }
      var (received, dropped) = (0, 0)
      // What was sent last may still be on its way.
      for _ in 0..<1000 where received < count {
        let more = try PacketSocket.takeStatistics(number)
        received += more.packets
        dropped += more.drops
        if received < count { usleep(5000) }
      }
      #expect(received == count)
      #expect(received - dropped == blocks * expected)
    }
  }
#endif
