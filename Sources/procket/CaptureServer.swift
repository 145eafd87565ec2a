import Capture
import ErlangTerm
import Privilege
import SystemCalls

#if os(Linux)
  /// Serves one capture until stdin or the attached connection ends: docs/protocol.md, "Functions of a capture".
  ///
  /// Packets go to stdout as far as the credit reaches that was given. Without credit they wait here, in a buffer of a fixed
  /// size, then in the kernel's; what finds no room there the kernel drops, and counts.
  struct CaptureServer: ~Copyable {
    private static let input: CInt = 0
    private static let output: CInt = 1
    /// What is written with one call, in bytes, and the room in the pipe that is asked for.
    private static let writeSize = 1 << 17
    private static let pipeSize = 1 << 18
    /// What is taken from the kernel before requests are looked at again, in bytes.
    private static let turn = 1 << 17
    /// Where so many packets came at once, more are let gather for so long, in milliseconds, before they are looked at: if they are
    /// small. A block of large ones is enough for one turn, and is still in the processor's cache.
    private static let busy = 64
    private static let gathering: CInt = 4
    /// How long the last packets of an interface that was removed may take, in milliseconds.
    private static let ending: CInt = 50

    /// Errors of a socket that the next read has too: its end, none that it is connected to, one that listens.
    private static let lasting: Set<CInt> = [EBADF, ENODATA, ENOTCONN, EINVAL, EOPNOTSUPP]

    private var context: Context
    private var batches: BatchWriter
    /// Where batches are written to; answers to requests of stdin go the same way.
    private var pipe = Pipe(output, capacity: pipeSize)
    /// A packet that found no room, and what is to be said behind it.
    private var held: CapturedPacket?
    private static let mostNotices = 64
    private var notices: [(name: String, reason: String)] = []
    /// More packets are let gather, until this time.
    private var isGathering = false
    private var gatheredAt: Int64 = 0
    private var ready = PollSet(count: 4)
    private var isRemoved = false
    private var isEnded = false

    init(privileges: consuming Privileges) {
      context = Context(.capture, privileges: privileges)
      batches = BatchWriter(keeping: pipe.capacity)
    }

    /// Returns when stdin or the attached connection ends; throws where stdout fails.
    mutating func run() throws(Errno) {
      while !context.attached.hasEnded {
        let (source, wanted, isEnding) = (watched(), interest, isEnding)
        ready.set(0, Self.input, CInt(POLLIN))
        ready.set(1, source, wanted)
        ready.set(2, isEnded ? -1 : context.capture.changes.number, CInt(POLLIN))
        ready.set(3, context.attached.number, context.attached.events)
        let came = try ready.poll(timeout: timeout())
        if ready[2] { noticeChanges() }
        if ready[1, CInt(POLLERR | POLLNVAL)] { noticeError() }
        if ready[1, CInt(POLLOUT)] { try resumeSending() }
        if ready[0], try context.serveInput() == false { return }
        if ready[3] { try context.serveAttached() }
        let gathered = isGathering && Clock.monotonic() >= gatheredAt
        if gathered { isGathering = false }
        if ready[1] || isHolding || hasUnread || gathered { receive() }
        if !came, isEnding { end(Errno(rawValue: ENODEV)) }
        try flush()
      }
    }

    /// In milliseconds; -1 where there is nothing to wait for but requests and packets.
    private func timeout() -> CInt {
      // There is room for what was held as soon as all has been written; before that, there is credit to wait for.
      if isHolding { return batches.waiting == 0 ? 0 : -1 }
      if hasUnread { return 0 }
      if isGathering { return CInt(clamping: max(0, gatheredAt - Clock.monotonic() + 999_999) / 1_000_000) }
      return isEnding ? Self.ending : -1
    }

    /// Whether the interface has been removed, and all that is waited for is whether there are more of its packets.
    private var isEnding: Bool { isRemoved && !isEnded && !isHolding && !isGathering }

    /// The descriptor of the source, unless nothing is wanted of it.
    private mutating func watched() -> CInt {
      guard let number = context.capture.source?.number, context.capture.source?.isStarted ?? false, !isEnded,
        interest != 0
      else { return -1 }
      return number
    }

    private var hasUnread: Bool {
      switch context.capture.source {
      case .some(let source): !isEnded && source.hasUnread
      case nil: false
      }
    }

    /// Whether something found no room.
    private var isHolding: Bool { held != nil || !notices.isEmpty }

    private var interest: CInt {
      var events = 0
      if !isHolding, !isGathering { events |= Int(POLLIN) }
      if context.capture.injector.isWaiting { events |= Int(POLLOUT) }
      return CInt(events)
    }

    // What comes

    private mutating func receive() {
      if pipe.isEmpty { batches.forget() }
      var room = Self.turn
      var count = 0
      do {
        while room > 0, held != nil || !isEnded {
          let packet: CapturedPacket
          if let waiting = held {
            packet = waiting
          } else if let next = try context.capture.source?.next() {
            packet = next
          } else {
            break
          }
          let stamp =
            context.capture.stamps
            ? BatchWriter.Stamp(nanoseconds: packet.nanoseconds, originalLength: packet.originalLength) : nil
          guard batches.add(packet.bytes, stamp) else {
            held = packet
            return
          }
          held = nil
          count += 1
          room -= packet.bytes.count
        }
      } catch {
        fail(error)
      }
      if count >= Self.busy, room > Self.turn / 2 {
        isGathering = true
        gatheredAt = Clock.monotonic() + Int64(Self.gathering) * 1_000_000
      }
      batches.close()
      while let notice = notices.first, batches.add(notice.name, notice.reason) {
        notices.removeFirst()
      }
    }

    /// Writes what the credit allows.
    private mutating func flush() throws(Errno) {
      while context.capture.credit > 0, batches.waiting > 0 {
        let frames = batches.take(min(context.capture.credit, Self.writeSize))
        context.capture.credit -= frames.count
        context.counters.sent += frames.count
        try pipe.writeAll(frames)
      }
    }

    private mutating func noticeError() {
      guard let number = context.capture.source?.number, context.capture.source?.isSocket ?? false else { return }
      if let error = Sockets.takeError(number) { fail(error) }
    }

    /// An error of a socket passes, but for those that say what it is; one of a device does not.
    private mutating func fail(_ error: Errno) {
      if context.capture.source?.isSocket ?? false, !Self.lasting.contains(error.rawValue) {
        // Of errors that nobody can be told, more of them say nothing new.
        if notices.count < Self.mostNotices { notices.append(("failed", error.name)) }
      } else {
        end(error)
      }
    }

    /// Which change it was does not matter: what is asked is whether the interface is still there.
    private mutating func noticeChanges() {
      let buffer = context.buffer(of: 1 << 14)
      var address = AddressBuffer(room: 0)
      while (try? Sockets.receive(context.capture.changes.number, into: buffer, flags: 0, address: &address)) != nil {}
      isRemoved = context.capture.source?.isRemoved ?? false
    }

    private mutating func end(_ error: Errno) {
      guard !isEnded else { return }
      isEnded = true
      notices.append(("ended", error.name))
      while held == nil, let notice = notices.first, batches.add(notice.name, notice.reason) { notices.removeFirst() }
    }

    /// Sends on what waited, and answers for each request that is done.
    private mutating func resumeSending() throws(Errno) {
      guard let number = context.capture.source?.number, let isSocket = context.capture.source?.isSocket else { return }
      for done in context.capture.injector.resume(to: number, isSocket: isSocket) {
        if done.error != nil { context.counters.errors += 1 }
        try context.send(id: done.id, to: done.origin) { $0.sent(done.sent, done.error) }
      }
    }
  }
#endif
