import CSystem
import Capture
import ErlangTerm
import Privilege
import SystemCalls

#if os(Linux)
  extension CaptureServer {
    /// How long descriptors may take that were sent ahead of a request, in milliseconds.
    private static let patience: CInt = 1000
    /// Stdio, the channel, the source and its netlink socket, and as many again on the way.
    private static let openFiles = 16
    /// The most messages of one request.
    private static let mostMessages = 1 << 18

    /// Runs a function; false where there is nothing to answer, or not yet.
    mutating func run(_ function: String, _ call: inout Call) throws(Failure) -> Bool {
      switch function {
      case "attach":
        try call.check(arity: 3, takesDescriptor: false)
        try Commands.attach(&call, &context)
        // The last thing for which the user mattered.
        try call.system { () throws(Errno) in
          try Surroundings.becomeNobody()
          try Surroundings.forgetCapabilities()
          try Surroundings.limit(openFiles: Self.openFiles)
          try SystemCallFilter.install(.capture)
        }
        return true
      case _ where context.channel.number < 0: throw .code(ENOTCONN)
      case "interface": try interface(&call)
      case "packet": try packet(&call)
      case "descriptor": try descriptor(&call)
      case "start": try start(&call)
      case "credit":
        try call.check(arity: 1, takesDescriptor: false)
        credit += try call.integer(in: 0...1 << 32)
        return false
      case "send": return try send(&call)
      case "stats": try stats(&call)
      case "info": try info(&call)
      case "counters":
        try call.check(arity: 0, takesDescriptor: false)
        context.answer.ok(context.counters.numbers)
      default: throw .undefined
      }
      return true
    }

    /// `[Name]`, and ahead of it a netlink socket: the interface that this is about. An empty name: all interfaces.
    private mutating func interface(_ call: inout Call) throws(Failure) {
      try call.check(arity: 1, takesDescriptor: false)
      let name = try call.string()
      guard source == nil, changes.number < 0 else { throw .code(EALREADY) }
      var came = try takeDescriptors(1)
      guard let netlink = came.takeFirst() else { throw .noDescriptor }
      let number = netlink.number
      index = try call.system { () throws(Errno) in
        try subscribe(number)
        return name.isEmpty ? 0 : try Interface(named: name, on: number).index
      }
      changes.open(netlink)
      try answerInterface(call)
    }

    /// `[]`, and ahead of it a packet socket with its filter, of the namespace of the netlink socket.
    private mutating func packet(_ call: inout Call) throws(Failure) {
      try call.check(arity: 0, takesDescriptor: false)
      guard source == nil else { throw .code(EALREADY) }
      guard changes.number >= 0 else { throw .code(ENOTCONN) }
      var came = try takeDescriptors(1)
      guard let socket = came.takeFirst() else { throw .noDescriptor }
      source = CaptureSource(packets: socket, index: index)
      context.answer.ok()
    }

    /// `[]`, and ahead of it a descriptor that has messages: the one that this is about.
    private mutating func descriptor(_ call: inout Call) throws(Failure) {
      try call.check(arity: 0, takesDescriptor: false)
      guard source == nil else { throw .code(EALREADY) }
      var came = try takeDescriptors(1)
      guard let descriptor = came.takeFirst() else { throw .noDescriptor }
      do { source = try CaptureSource(messages: descriptor) } catch { throw .errno(error) }
      context.answer.ok()
    }

    /// `[EtherType, SnapshotLength, Promiscuous, Buffer, Timestamps, Cooked, Filter, Credit]`; what is true or false is 1 or 0.
    private mutating func start(_ call: inout Call) throws(Failure) {
      try call.check(arity: 8, takesDescriptor: false)
      let etherType = try call.integer(in: 0...UInt16.max)
      let length = try call.integer(in: 1...1 << 24)
      let promiscuous = try call.integer(in: 0...1) == 1
      let buffer = try call.integer(in: 1...1 << 31)
      let stamps = try call.integer(in: 0...1) == 1
      let cooked = try call.integer(in: 0...1) == 1
      let filter = try call.binary()
      let credit = try call.integer(in: 0...1 << 32)
      guard source != nil else { throw .code(ENOTCONN) }
      guard source?.isStarted == false else { throw .code(EALREADY) }
      let options = CaptureSource.Options(
        etherType: etherType, snapshotLength: length, promiscuous: promiscuous, buffer: buffer, cooked: cooked)
      self.stamps = stamps
      self.credit = credit
      try call.system { () throws(Errno) in try source?.start(options, filter: filter) }
      context.answer.ok()
    }

    /// `[[Message]]`: sends them in this order, up to the first that fails. After that, further requests of the same `Id` are refused.
    private mutating func send(_ call: inout Call) throws(Failure) -> Bool {
      try call.check(arity: 1, takesDescriptor: false)
      let messages = try call.list(most: Self.mostMessages) { (call) throws(Failure) in try call.binary() }
      guard let number = source?.number, let isSocket = source?.isSocket else { throw .code(ENOTCONN) }
      guard let (sent, error) = injector.send(messages, id: call.id, to: number, isSocket: isSocket) else {
        return false
      }
      self.sent(sent, error)
      return true
    }

    /// `[]`
    private mutating func stats(_ call: inout Call) throws(Failure) {
      try call.check(arity: 0, takesDescriptor: false)
      guard source != nil else { throw .code(ENOTCONN) }
      let statistics = try call.system { () throws(Errno) in try source?.currentStatistics() }
      context.answer.startOk(4)
      let sent = injector.sent
      context.answer.withTerm { term in
        term.integer(Int64(statistics?.received ?? 0))
        term.integer(Int64(statistics?.dropped ?? 0))
        term.integer(Int64(statistics?.truncated ?? 0))
        term.integer(Int64(sent))
      }
    }

    /// `[]`
    private mutating func info(_ call: inout Call) throws(Failure) {
      try call.check(arity: 0, takesDescriptor: false)
      guard source?.index != nil else { return context.answer.ok() }
      try answerInterface(call)
    }

    private mutating func answerInterface(_ call: borrowing Call) throws(Failure) {
      guard index > 0 else { return context.answer.ok() }
      let interface = try call.system { () throws(Errno) in try Interface(index: index, on: changes.number) }
      context.answer.startOk(5)
      context.answer.withTerm { term in
        interface.name.utf8.withContiguousStorageIfAvailable { term.binary(UnsafeRawBufferPointer($0)) }
        term.integer(Int64(interface.index))
        interface.address.withUnsafeBytes { term.binary($0) }
        term.integer(Int64(interface.mtu))
        term.integer(Int64(interface.hardwareType))
      }
    }

    /// The descriptors that an empty frame on the channel brought.
    private mutating func takeDescriptors(_ count: Int) throws(Failure) -> Descriptors {
      let number = context.channel.number
      do throws(Errno) {
        while true {
          if let frame = (try? channel.next()) ?? nil {
            let came = channel.takeDescriptors(of: frame)
            guard came.count == count, !frame.lost else { throw Errno(rawValue: EMFILE) }
            return came
          }
          var entry = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
          guard try valueOrErrno({ poll(&entry, 1, Self.patience) }) == 1, try channel.read(from: number) else {
            throw Errno(rawValue: ENOMSG)
          }
        }
      } catch {
        throw .errno(error)
      }
    }

    /// Hears of every change of an interface: rtnetlink(7).
    private func subscribe(_ netlink: CInt) throws(Errno) {
      // struct sockaddr_nl, with the group RTMGRP_LINK.
      let words: [UInt32] = [UInt32(AF_NETLINK), 0, 1]
      try words.withUnsafeBytes { [UInt8]($0) }.withBytes { (bytes) throws(Errno) in
        try Sockets.bind(netlink, to: bytes)
      }
    }
  }
#endif

extension Answer {
  /// `{ok, Sent}` or `{error, {Posix, Sent}}`
  mutating func sent(_ count: Int, _ error: Errno?) {
    guard let error else { return ok(count) }
    withTerm { term in
      term.tupleHeader(2)
      term.atom("error")
      term.tupleHeader(2)
      term.atom(error.name)
      term.integer(Int64(count))
    }
  }
}
