import CSystem
import SystemCalls

#if os(Linux)
  /// Where packets come from: a packet socket with a ring, another socket, or a device.
  public struct CaptureSource: ~Copyable {
    public struct Options {
      public var etherType: UInt16 = 0
      /// The most that is kept of a packet, in bytes.
      public var snapshotLength = 0
      public var promiscuous = false
      /// The ring's size, in bytes.
      public var buffer = 0
      /// There is no link-layer header.
      public var cooked = false

      public init() {}
    }

    public struct Statistics {
      /// What the kernel accepted for this descriptor, and what of that it dropped for want of room.
      public fileprivate(set) var received = 0
      public fileprivate(set) var dropped = 0
      public fileprivate(set) var truncated = 0
    }

    private enum Way {
      case ring, messages
    }

    private static let memoryInformation: CInt = 55
    private static let dropsOfMemoryInformation = 8

    private let descriptor: Descriptor
    public let isSocket: Bool
    /// The interface's index; 0 for all, nil for what is no packet socket.
    public let index: CInt?
    private var way: Way?
    private var ring: PacketRing?
    private var reader: MessageReader?
    private var snapshotLength = 0
    private var statistics = Statistics()
    private var dropsBefore = 0

    /// A packet socket that receives nothing yet and has its filter, for one interface or all (0).
    public init(packets descriptor: consuming Descriptor, index: CInt) {
      self.init(descriptor, isSocket: true, index: index)
    }

    /// Any other descriptor that has messages; `ENOTSUP` where it has a stream.
    public init(messages descriptor: consuming Descriptor) throws(Errno) {
      let type = try Self.socketType(of: descriptor.number)
      self.init(descriptor, isSocket: type != 0, index: nil)
    }

    /// Nothing is initialized before something throws: Swift 6.2 destroys properties with an initial value twice then.
    private init(_ descriptor: consuming Descriptor, isSocket: Bool, index: CInt?) {
      self.descriptor = descriptor
      self.isSocket = isSocket
      self.index = index
    }

    /// `SOCK_*`; 0 for a device.
    private static func socketType(of number: CInt) throws(Errno) -> CInt {
      var type: CInt = 0
      do {
        _ = try withUnsafeMutableBytes(of: &type) { (bytes) throws(Errno) in
          try Sockets.option(number, level: SOL_SOCKET, name: SO_TYPE, into: bytes)
        }
      } catch {
        guard error.rawValue == ENOTSOCK, try Files.isCharacterDevice(number) else {
          throw Errno(rawValue: error.rawValue == ENOTSOCK ? ENOTSUP : error.rawValue)
        }
      }
      guard type != Sockets.stream else { throw Errno(rawValue: ENOTSUP) }
      if type == 0 { try Files.setNonblocking(number, true) }
      return type
    }

    public var number: CInt { descriptor.number }

    public var isStarted: Bool { way != nil }

    /// Begins to receive. A packet socket has its filter already; another one gets it before its first message.
    public mutating func start(_ options: Options, filter: UnsafeRawBufferPointer) throws(Errno) {
      let fd = number
      snapshotLength = options.snapshotLength
      if let index {
        guard filter.isEmpty else { throw Errno(rawValue: EINVAL) }
        ring = try PacketRing(on: fd, size: options.buffer, restoresTags: !options.cooked)
        if options.promiscuous { try PacketSocket.becomePromiscuous(fd, index: index) }
        way = .ring
        try PacketSocket.bind(fd, index: index, etherType: options.etherType)
      } else {
        var messages = MessageReader()
        if !filter.isEmpty { try exclude(filter, with: &messages) }
        reader = consume messages
        dropsBefore = drops()
        way = .messages
      }
    }

    /// Attaches a filter that lets nothing through, throws away what waits, and then attaches the other.
    private func exclude(_ filter: UnsafeRawBufferPointer, with messages: inout MessageReader) throws(Errno) {
      guard isSocket else { throw Errno(rawValue: ENOTSOCK) }
      // BPF_RET | BPF_K, 0
      try ([6] + [UInt8](repeating: 0, count: 7)).withBytes { (bytes) throws(Errno) in
        try Sockets.attachFilter(number, bytes)
      }
      var last: Errno?
      while true {
        do {
          try messages.fill(from: number, isSocket: true)
          last = nil
        } catch {
          // An error that waits is gone once it was read; one that comes again stays.
          if error.rawValue == EAGAIN || error == last { break }
          last = error
        }
      }
      try Sockets.attachFilter(number, filter)
    }

    /// The next packet, valid until the one after it is asked for; nil where nothing is there.
    public mutating func next() throws(Errno) -> CapturedPacket? {
      switch way {
      case nil: return nil
      case .ring: return ring?.next().map { cut($0) }
      case .messages:
        if reader?.isEmpty ?? true {
          let (fd, isSocket) = (number, isSocket)
          do { try reader?.fill(from: fd, isSocket: isSocket) } catch {
            if error.rawValue == EAGAIN { return nil }
            throw error
          }
        }
        guard let packet = reader?.next() else { return nil }
        statistics.received += 1
        return cut(packet)
      }
    }

    /// Whether messages were read that ``next()`` has not given yet: the descriptor does not tell of these.
    public var hasUnread: Bool {
      switch reader {
      case .some(let messages): !messages.isEmpty
      case nil: false
      }
    }

    private mutating func cut(_ packet: CapturedPacket) -> CapturedPacket {
      let length = min(packet.bytes.count, snapshotLength)
      if length == packet.originalLength { return packet }
      if length < packet.originalLength { statistics.truncated += 1 }
      return CapturedPacket(
        bytes: UnsafeRawBufferPointer(rebasing: packet.bytes[0..<length]), originalLength: packet.originalLength,
        nanoseconds: packet.nanoseconds)
    }

    /// Whether the interface has been removed.
    public var isRemoved: Bool { isStarted && index != nil && PacketSocket.boundIndex(number) == -1 }

    /// All that was counted since ``start(_:filter:)``.
    public mutating func currentStatistics() throws(Errno) -> Statistics {
      switch way {
      case nil: break
      case .ring:
        let (packets, drops) = try PacketSocket.takeStatistics(number)
        statistics.received += packets
        statistics.dropped += drops + (ring?.takeMalformed() ?? 0)
      case .messages:
        let now = drops()
        statistics.received += now - dropsBefore
        statistics.dropped += now - dropsBefore
        dropsBefore = now
      }
      return statistics
    }

    /// How many messages a socket has dropped so far. The corresponding option is `SO_MEMINFO`.
    private func drops() -> Int {
      guard isSocket else { return 0 }
      var words = [UInt32](repeating: 0, count: Self.dropsOfMemoryInformation + 1)
      let length = words.withUnsafeMutableBytes { bytes in
        try? Sockets.option(number, level: SOL_SOCKET, name: Self.memoryInformation, into: bytes)
      }
      return length == words.count * 4 ? Int(words[Self.dropsOfMemoryInformation]) : 0
    }
  }
#endif
