import CSystem
import Capture
import ErlangTerm
import Privilege
import SystemCalls

#if os(Linux)
  /// What a capture receives from and sends to, and how far it may write: ``CaptureServer`` does.
  struct CaptureState: ~Copyable {
    var source: CaptureSource?
    /// The interface that packets are captured on; 0 for all.
    var index: CInt = 0
    /// A netlink socket that becomes readable when an interface of the namespace changes.
    var changes = LateDescriptor()
    var injector = Injector<Stream>()
    var credit = 0
    var stamps = false
  }

  // The functions of a capture.

  extension Commands {
    /// Stdio, the attached connection, the source and its netlink socket, and as many again on the way.
    private static let openFiles = 16
    /// The most messages of one request.
    private static let mostMessages = 1 << 18

    /// As ``attach(_:_:)``, the last thing for which the user matters.
    @Sendable static func attachCapture(_ call: inout Call, _ context: inout Context) throws(Failure) {
      try attach(&call, &context)
      try call.system { () throws(Errno) in
        try Surroundings.becomeNobody()
        try Surroundings.forgetCapabilities()
        try Surroundings.limit(openFiles: openFiles)
        try SystemCallFilter.install(.capture)
      }
    }

    /// `[Name]`, with a netlink socket: the interface that this is about. An empty name: all interfaces.
    @Sendable static func interface(_ call: inout Call, _ context: inout Context) throws(Failure) {
      let name = try call.string()
      guard context.capture.source == nil, context.capture.changes.number < 0 else { throw .code(EALREADY) }
      let netlink = try context.takeDescriptor()
      let number = netlink.number
      context.capture.index = try call.system { () throws(Errno) in
        try subscribe(number)
        return name.isEmpty ? 0 : try Interface(named: name, on: number).index
      }
      context.capture.changes.open(netlink)
      try answerInterface(call, &context)
    }

    /// `[]`, with a packet socket that has its filter, of the namespace of the netlink socket.
    @Sendable static func packet(_ call: inout Call, _ context: inout Context) throws(Failure) {
      guard context.capture.source == nil else { throw .code(EALREADY) }
      guard context.capture.changes.number >= 0 else { throw .code(ENOTCONN) }
      context.capture.source = CaptureSource(packets: try context.takeDescriptor(), index: context.capture.index)
      context.answer.ok()
    }

    /// `[]`, with a descriptor that has messages: the one that this is about.
    @Sendable static func descriptor(_ call: inout Call, _ context: inout Context) throws(Failure) {
      guard context.capture.source == nil else { throw .code(EALREADY) }
      let descriptor = try context.takeDescriptor()
      do { context.capture.source = try CaptureSource(messages: descriptor) } catch { throw .errno(error) }
      context.answer.ok()
    }

    /// `[Map]`
    @Sendable static func start(_ call: inout Call, _ context: inout Context) throws(Failure) {
      var options = CaptureSource.Options()
      var filter = UnsafeRawBufferPointer(start: nil, count: 0)
      var stamps = false
      var credit = 0
      let required = ["ether_type", "snapshot_length", "buffer", "credit"]
      try call.map(required: required) { (key, call) throws(Failure) in
        switch key {
        case "ether_type": options.etherType = try call.integer(in: 0...UInt16.max)
        case "snapshot_length": options.snapshotLength = try call.integer(in: 1...1 << 24)
        case "promiscuous": options.promiscuous = try call.boolean()
        case "buffer": options.buffer = try call.integer(in: 1...1 << 31)
        case "timestamps": stamps = try call.boolean()
        case "cooked": options.cooked = try call.boolean()
        case "filter": filter = try call.binary()
        case "credit": credit = try call.integer(in: 0...1 << 32)
        default: throw .argument(1)
        }
      }
      guard context.capture.source != nil else { throw .code(ENOTCONN) }
      guard context.capture.source?.isStarted == false else { throw .code(EALREADY) }
      context.capture.stamps = stamps
      context.capture.credit = credit
      try call.system { () throws(Errno) in try context.capture.source?.start(options, filter: filter) }
      context.answer.ok()
    }

    /// `[Bytes]`, and no answer.
    @Sendable static func credit(_ call: inout Call, _ context: inout Context) throws(Failure) {
      context.capture.credit += try call.integer(in: 0...1 << 32)
      call.isAnswered = false
    }

    /// `[[Message]]`: sends them in this order, up to the first that fails. After that, further requests of the same `Id` are refused.
    @Sendable static func send(_ call: inout Call, _ context: inout Context) throws(Failure) {
      let messages = try call.list(most: mostMessages) { (call) throws(Failure) in try call.binary() }
      guard let number = context.capture.source?.number, let isSocket = context.capture.source?.isSocket else {
        throw .code(ENOTCONN)
      }
      let done = context.capture.injector.send(
        messages, id: call.id, from: context.stream, to: number, isSocket: isSocket)
      if let (sent, error) = done {
        if error != nil { context.counters.errors += 1 }
        context.answer.sent(sent, error)
      } else {
        call.isAnswered = false
      }
    }

    /// `[]`
    @Sendable static func stats(_ call: inout Call, _ context: inout Context) throws(Failure) {
      guard context.capture.source != nil else { throw .code(ENOTCONN) }
      let statistics = try call.system { () throws(Errno) in try context.capture.source?.currentStatistics() }
      let sent = context.capture.injector.sent
      context.answer.startOk(4)
      context.answer.withTerm { term in
        term.integer(Int64(statistics?.received ?? 0))
        term.integer(Int64(statistics?.dropped ?? 0))
        term.integer(Int64(statistics?.truncated ?? 0))
        term.integer(Int64(sent))
      }
    }

    /// `[]`
    @Sendable static func info(_ call: inout Call, _ context: inout Context) throws(Failure) {
      guard context.capture.source?.index != nil else { return context.answer.ok() }
      try answerInterface(call, &context)
    }

    /// `[]`
    @Sendable static func captureCounters(_ call: inout Call, _ context: inout Context) throws(Failure) {
      context.answer.ok(context.counters.numbers)
    }

    private static func answerInterface(_ call: borrowing Call, _ context: inout Context) throws(Failure) {
      let index = context.capture.index
      guard index > 0 else { return context.answer.ok() }
      let number = context.capture.changes.number
      let interface = try call.system { () throws(Errno) in try Interface(index: index, on: number) }
      context.answer.startOk(5)
      context.answer.withTerm { term in
        interface.name.utf8.withContiguousStorageIfAvailable { term.binary(UnsafeRawBufferPointer($0)) }
        term.integer(Int64(interface.index))
        interface.address.withUnsafeBytes { term.binary($0) }
        term.integer(Int64(interface.mtu))
        term.integer(Int64(interface.hardwareType))
      }
    }

    /// Hears of every change of an interface: rtnetlink(7).
    private static func subscribe(_ netlink: CInt) throws(Errno) {
      // struct sockaddr_nl, with the group RTMGRP_LINK.
      let words: [UInt32] = [UInt32(AF_NETLINK), 0, 1]
      try words.withUnsafeBytes { [UInt8]($0) }.withBytes { (bytes) throws(Errno) in
        try Sockets.bind(netlink, to: bytes)
      }
    }
  }

  extension Context {
    /// The one descriptor that came along, which stays open.
    fileprivate mutating func takeDescriptor() throws(Failure) -> Descriptor {
      guard incoming.count == 1, let descriptor = incoming.takeFirst() else { throw .noDescriptor }
      return descriptor
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
