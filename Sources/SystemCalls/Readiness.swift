import CSystem

#if os(Linux)
  /// Descriptors that somebody waits for: epoll(7).
  ///
  /// No copy of them is kept. A registration belongs to the open file, so it stays when the copy that made it is closed, and goes when the
  /// last descriptor of the file does: what the BEAM closes is closed. The kernel knows a registration by the file and the
  /// number that it was made under, so that number is always the same for a descriptor of the BEAM and a direction.
  public struct Readiness: ~Copyable {
    /// Somebody's wait, and the bytes by which it is known to them.
    private struct Watch {
      let event: [UInt8]
      let fd: CInt
      let writing: Bool
      let target: String
    }

    /// The first of the numbers under which registrations are made: above those of other descriptors here.
    private static let base: CInt = 512

    /// `EPOLLONESHOT`
    private static let oneShot: UInt32 = 1 << 30

    private var epoll = LateDescriptor()
    private var watches: [UInt64: Watch] = [:]
    private var tokens: [[UInt8]: UInt64] = [:]
    private var last: UInt64 = 0

    public init() {}

    /// The descriptor that is readable when one of those watched is ready; -1 while nothing is watched.
    public var number: CInt { watches.isEmpty ? -1 : epoll.number }

    /// Watches a descriptor for one event. `copy` is a copy of the descriptor `fd` of the process `peer`.
    public mutating func add(_ copy: CInt, of fd: CInt, writing: Bool, event: [UInt8], peer: pid_t) throws(Errno) {
      if epoll.number < 0 {
        raiseLimit()
        epoll.open(Descriptor(owning: try valueOrErrno { epoll_create1(CInt(EPOLL_CLOEXEC)) }))
      }
      let epoll = epoll.number
      let key = try registered(copy, fd, writing)
      last += 1
      var request = epoll_event()
      request.events = (writing ? EPOLLOUT.rawValue : EPOLLIN.rawValue | EPOLLRDHUP.rawValue) | Self.oneShot
      request.data.u64 = last
      do {
        try valueOrErrno { epoll_ctl(epoll, EPOLL_CTL_ADD, key.number, &request) }
      } catch {
        guard error.rawValue == EEXIST else { throw error }
        try valueOrErrno { epoll_ctl(epoll, EPOLL_CTL_MOD, key.number, &request) }
      }
      // Several may ask for the same event.
      remove(event: event)
      watches[last] = Watch(event: event, fd: fd, writing: writing, target: Self.target(of: copy, in: "self"))
      tokens[event] = last
    }

    /// Waits no longer. The registration stays, and nobody is told when it comes.
    public mutating func remove(event: [UInt8]) {
      if let token = tokens.removeValue(forKey: event) { watches[token] = nil }
    }

    /// The events that have come; each is removed.
    public mutating func takeReady() throws(Errno) -> [[UInt8]] {
      let epoll = epoll.number
      if epoll < 0 { return [] }
      var events = [epoll_event](repeating: epoll_event(), count: 64)
      let count = try valueOrErrno { epoll_wait(epoll, &events, CInt(events.count), 0) }
      return events.prefix(Int(count)).compactMap { take($0.data.u64) }
    }

    /// The events of descriptors that the process `peer` has closed, or that have become others; each is removed.
    public mutating func takeClosed(peer: pid_t) -> [[UInt8]] {
      watches.filter { Self.target(of: $0.value.fd, in: "\(peer)") != $0.value.target }.keys.compactMap { take($0) }
    }

    private mutating func take(_ token: UInt64) -> [UInt8]? {
      guard let watch = watches.removeValue(forKey: token) else { return nil }
      tokens[watch.event] = nil
      return watch.event
    }

    /// A duplicate under the number that this descriptor of the BEAM always has here.
    private func registered(_ copy: CInt, _ fd: CInt, _ writing: Bool) throws(Errno) -> Descriptor {
      let (number, overflow) = fd.multipliedReportingOverflow(by: 2)
      guard !overflow, number < CInt.max - Self.base - 1 else { throw Errno(rawValue: EMFILE) }
      let wanted = Self.base + number + (writing ? 1 : 0)
      do throws(Errno) {
        return Descriptor(owning: try valueOrErrno { procket_dup_to(copy, wanted) })
      } catch {
        throw Errno(rawValue: error.rawValue == EBADF ? EMFILE : error.rawValue)
      }
    }

    private func raiseLimit() {
      var limit = rlimit()
      guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
      limit.rlim_cur = limit.rlim_max
      _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// What the kernel calls the file behind a descriptor: `socket:[1234]`.
    private static func target(of fd: CInt, in process: String) -> String {
      withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        guard let base = buffer.baseAddress else { return "" }
        let count = readlink("/proc/\(process)/fd/\(fd)", base, buffer.count)
        guard count > 0 else { return "" }
        return String(
          decoding: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[0..<count]), as: UTF8.self)
      }
    }
  }
#else
  /// Descriptors that somebody waits for: on Linux alone.
  public struct Readiness: ~Copyable {
    public init() {}

    public var number: CInt { -1 }

    public mutating func add(_ copy: CInt, of fd: CInt, writing: Bool, event: [UInt8], peer: pid_t) throws(Errno) {
      throw Errno(rawValue: ENOTSUP)
    }

    public mutating func remove(event: [UInt8]) {}

    public mutating func takeReady() throws(Errno) -> [[UInt8]] { [] }

    public mutating func takeClosed(peer: pid_t) -> [[UInt8]] { [] }
  }
#endif
