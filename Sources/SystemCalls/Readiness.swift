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
      /// What the kernel calls the file; nil without proc(5).
      let target: String?
    }

    /// The first of the numbers under which registrations are made: above those of other descriptors here.
    private static let base: CInt = 512
    /// The most that is kept of waits, in bytes, and what is counted for one beside its event.
    private static let most = 8 << 20
    private static let overhead = 256

    /// `EPOLLONESHOT`
    private static let oneShot: UInt32 = 1 << 30

    private var epoll = LateDescriptor()
    /// The waits of each registration, by the token that the kernel gives back; the token of each event; and that of the file
    /// which was last registered under a number.
    private var watches: [UInt64: [Watch]] = [:]
    private var tokens: [[UInt8]: UInt64] = [:]
    private var current: [CInt: UInt64] = [:]
    private var last: UInt64 = 0
    private var kept = 0

    public init() {}

    /// The descriptor that is readable when one of those watched is ready; -1 while nothing is watched.
    public var number: CInt { watches.isEmpty ? -1 : epoll.number }

    /// Watches a descriptor for one event; `ENOMEM` where there are too many. `copy` is a copy of the descriptor `fd` of the process `peer`.
    public mutating func add(_ copy: CInt, of fd: CInt, writing: Bool, event: [UInt8], peer: pid_t) throws(Errno) {
      if epoll.number < 0 {
        raiseLimit()
        epoll.open(Descriptor(owning: try valueOrErrno { epoll_create1(CInt(EPOLL_CLOEXEC)) }))
      }
      let key = try registered(copy, fd, writing)
      // A request may come twice, by different streams.
      remove(event: event)
      guard event.count <= Self.most - kept - Self.overhead else { throw Errno(rawValue: ENOMEM) }
      let token = try register(key.number, writing)
      let watch = Watch(event: event, fd: fd, writing: writing, target: Self.target(of: copy, in: "self"))
      // Where it cannot be told whether the descriptor is still the same, nobody is left to wait for what may be closed.
      if watch.target == nil, try !isWatched(watch, of: peer) { throw Errno(rawValue: EBADF) }
      watches[token, default: []].append(watch)
      tokens[event] = token
      kept += event.count + Self.overhead
    }

    /// Registers a file under its number; the token. A file that is registered already keeps its token: a request that comes late, of
    /// somebody who has given up, takes nothing from those that wait.
    private mutating func register(_ number: CInt, _ writing: Bool) throws(Errno) -> UInt64 {
      let epoll = epoll.number
      last += 1
      var token = last
      var request = epoll_event()
      request.events = (writing ? EPOLLOUT.rawValue : EPOLLIN.rawValue | EPOLLRDHUP.rawValue) | Self.oneShot
      request.data.u64 = token
      do {
        try valueOrErrno { epoll_ctl(epoll, EPOLL_CTL_ADD, number, &request) }
      } catch {
        guard error.rawValue == EEXIST else { throw error }
        token = current[number] ?? token
        request.data.u64 = token
        try valueOrErrno { epoll_ctl(epoll, EPOLL_CTL_MOD, number, &request) }
      }
      current[number] = token
      return token
    }

    /// Waits no longer. The registration stays, and nobody is told when it comes.
    public mutating func remove(event: [UInt8]) {
      guard let token = tokens.removeValue(forKey: event), var others = watches[token] else { return }
      kept -= event.count + Self.overhead
      others.removeAll { $0.event == event }
      watches[token] = others.isEmpty ? nil : others
    }

    /// The events that have come; each is removed.
    public mutating func takeReady() throws(Errno) -> [[UInt8]] {
      let epoll = epoll.number
      if epoll < 0 { return [] }
      var events = [epoll_event](repeating: epoll_event(), count: 64)
      let count = try valueOrErrno { epoll_wait(epoll, &events, CInt(events.count), 0) }
      return events.prefix(Int(count)).flatMap { take($0.data.u64, leaving: []) }
    }

    /// Removes the waits of a registration but for those that are left; the events of the removed ones. Many may wait for one file.
    private mutating func take(_ token: UInt64, leaving left: [Watch]) -> [[UInt8]] {
      let all = watches[token] ?? []
      watches[token] = left.isEmpty ? nil : left
      for watch in all {
        tokens[watch.event] = nil
        kept -= watch.event.count + Self.overhead
      }
      for watch in left {
        tokens[watch.event] = token
        kept += watch.event.count + Self.overhead
      }
      let stay = Set(left.map(\.event))
      return all.map(\.event).filter { !stay.contains($0) }
    }

    /// The events of descriptors that the process `peer` has closed, or that have become others; each is removed.
    public mutating func takeClosed(peer: pid_t) -> [[UInt8]] {
      var closed: [[UInt8]] = []
      for (token, all) in watches {
        let left = all.filter { isSame($0, of: peer) }
        if left.count < all.count { closed += take(token, leaving: left) }
      }
      return closed
    }

    /// Whether a descriptor is still the file that is watched.
    private func isSame(_ watch: Watch, of peer: pid_t) -> Bool {
      if let target = watch.target { return Self.target(of: watch.fd, in: "\(peer)") == target }
      return (try? isWatched(watch, of: peer)) ?? true
    }

    private func isWatched(_ watch: Watch, of peer: pid_t) throws(Errno) -> Bool {
      let number = try Self.number(of: watch.fd, watch.writing)
      let epoll = epoll.number
      return try valueOrErrno { procket_is_watched(peer, watch.fd, epoll, number) } == 1
    }

    /// A duplicate under the number that this descriptor of the BEAM always has here.
    private func registered(_ copy: CInt, _ fd: CInt, _ writing: Bool) throws(Errno) -> Descriptor {
      let wanted = try Self.number(of: fd, writing)
      // Where very many descriptors are on the way, one of them has it.
      guard procket_fcntl(wanted, F_GETFD, 0) == -1 else { throw Errno(rawValue: EMFILE) }
      do throws(Errno) {
        return Descriptor(owning: try valueOrErrno { procket_dup_to(copy, wanted) })
      } catch {
        throw Errno(rawValue: error.rawValue == EBADF ? EMFILE : error.rawValue)
      }
    }

    private static func number(of fd: CInt, _ writing: Bool) throws(Errno) -> CInt {
      let (number, overflow) = fd.multipliedReportingOverflow(by: 2)
      guard !overflow, number < CInt.max - base - 1 else { throw Errno(rawValue: EMFILE) }
      return base + number + (writing ? 1 : 0)
    }

    private func raiseLimit() {
      var limit = rlimit()
      guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
      limit.rlim_cur = limit.rlim_max
      _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// What the kernel calls the file behind a descriptor, `socket:[1234]`; nil where it does not say.
    private static func target(of fd: CInt, in process: String) -> String? {
      withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        guard let base = buffer.baseAddress else { return nil }
        let count = readlink("/proc/\(process)/fd/\(fd)", base, buffer.count)
        guard count > 0 else { return nil }
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
