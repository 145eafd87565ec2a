import ErlangTerm
import Privilege
import SystemCalls

/// Serves requests until stdin ends: docs/protocol.md.
struct Server: ~Copyable {
  private static let input: CInt = 0
  private static let output: CInt = 1
  /// How often it is looked whether descriptors that are watched have been closed, in milliseconds.
  private static let closedInterval: CInt = 250

  private final class Came {
    var descriptors: Descriptors
    init(_ descriptors: consuming Descriptors) { self.descriptors = descriptors }
  }

  private let commands: [String: Command]
  /// Whether requests come over the channel too.
  private let readsChannel: Bool
  private var context: Context
  private var stdin = FrameBuffer()
  private var channel = FrameBuffer()
  /// Descriptors whose frame has not come whole, and where that frame starts.
  private var early = Descriptors()
  private var earlyPosition: Int?
  private var earlyLost = false
  private var parts = PartAssembler<Came>()
  private var scratch = TermWriter()

  init(_ commands: [Command], readsChannel: Bool, privileges: consuming Privileges) {
    self.commands = Commands.table(commands)
    self.readsChannel = readsChannel
    context = Context(privileges: privileges)
  }

  /// Returns when stdin or the channel ends; throws where stdout or the channel fails.
  mutating func run() throws(Errno) {
    while true {
      var entries = [
        pollfd(fd: Self.input, events: Int16(POLLIN), revents: 0),
        pollfd(fd: readsChannel ? context.channel.number : -1, events: Int16(POLLIN), revents: 0),
        pollfd(fd: context.readiness.number, events: Int16(POLLIN), revents: 0),
      ]
      let watching = context.readiness.number >= 0
      let ready = try valueOrErrno { poll(&entries, nfds_t(entries.count), watching ? Self.closedInterval : -1) }
      if ready == 0 || entries[2].revents != 0 { try tellReadiness(idle: ready == 0) }
      if entries[1].revents != 0, try readChannel() == false { return }
      if entries[0].revents != 0, try readInput() == false { return }
    }
  }

  private mutating func readInput() throws(Errno) -> Bool {
    let (count, _) = try stdin.fill { (buffer) throws(Errno) in (try Files.read(Self.input, into: buffer), ()) }
    if count == 0 { return false }
    while let (frame, _) = stdin.next() { try serve(frame, Descriptors(), lost: false) }
    return true
  }

  private mutating func readChannel() throws(Errno) -> Bool {
    let number = context.channel.number
    var control = ControlBuffer(size: ControlBuffer.space(4 * Messages.mostDescriptors))
    var address = AddressBuffer(room: 0)
    let (count, flags): (Int, CInt)
    do {
      (count, flags) = try channel.fill { (buffer) throws(Errno) in
        let (count, flags) = try Messages.receive(
          number, into: buffer, flags: 0, control: &control, address: &address)
        return (count, flags)
      }
    } catch {
      if error.rawValue == EAGAIN { return true }
      throw error
    }
    if count == 0 { return false }
    // A read ends behind a message with descriptors, so they belong to the last frame that has begun.
    let came = Descriptors(owning: control.rights())
    let lost = flags & CInt(MSG_CTRUNC) != 0
    if !came.numbers.isEmpty || lost {
      early.append(came)
      earlyPosition = channel.lastBegun
      earlyLost = lost
    }
    while let (frame, position) = channel.next() {
      if position == earlyPosition {
        earlyPosition = nil
        try serve(frame, early.takeAll(), lost: earlyLost)
      } else {
        try serve(frame, Descriptors(), lost: false)
      }
    }
    return true
  }

  /// Answers one frame. `lost`: descriptors came along for which there was no room here.
  private mutating func serve(
    _ frame: UnsafeRawBufferPointer, _ descriptors: consuming Descriptors, lost: Bool
  ) throws(Errno) {
    var reader: TermReader
    do {
      reader = try TermReader(checking: frame)
    } catch {
      context.answer.begin(id: nil)
      if case .malformed(let offset) = error { context.answer.failTerm(at: offset) }
      return try context.answer.send(to: Self.output, id: nil, with: &scratch)
    }
    let id: UnsafeRawBufferPointer
    let function: String
    do {
      guard try reader.tupleHeader() == 3 else { throw TermReader.Failure.mismatch }
      id = try reader.raw()
      guard TermReader.isIdentifier(id) else { throw TermReader.Failure.mismatch }
      function = try reader.atom()
    } catch {
      context.answer.begin(id: nil)
      context.answer.fail(.name("badrequest"), function: "")
      return try context.answer.send(to: Self.output, id: nil, with: &scratch)
    }
    if function == "part" { return try assemble(id, reader, descriptors, lost: lost) }
    context.answer.begin(id: id)
    if lost {
      context.answer.fail(.code(EMFILE), function: function)
    } else {
      try call(function, id, reader, descriptors)
    }
    try context.answer.send(to: Self.output, id: id, with: &scratch)
  }

  private mutating func call(
    _ function: String, _ id: UnsafeRawBufferPointer, _ arguments: TermReader, _ descriptors: consuming Descriptors
  ) throws(Errno) {
    guard let command = commands[function] else { return context.answer.fail(.undefined, function: function) }
    guard context.channel.number >= 0 || function == "attach" else {
      return context.answer.fail(.code(ENOTCONN), function: function)
    }
    guard arguments.isList else { return context.answer.fail(.name("badrequest"), function: function) }
    var call = Call(id: id, arguments: arguments, descriptors: descriptors)
    do {
      try call.check(arity: command.arity, takesDescriptor: command.takesDescriptor)
      try command.run(&call, &context)
    } catch {
      context.answer.fail(error, function: function)
      call.outgoing.removeAll()
    }
    let outgoing = call.outgoing.takeAll()
    if !outgoing.numbers.isEmpty {
      try Messages.send(outgoing.numbers, over: context.channel.number)
      context.answer.add(descriptors: outgoing.numbers.count)
    }
  }

  private mutating func assemble(
    _ id: UnsafeRawBufferPointer, _ arguments: TermReader, _ descriptors: consuming Descriptors, lost: Bool
  ) throws(Errno) {
    var reader = arguments
    let came = Came(descriptors)
    let failure: Failure
    do {
      guard reader.isList, try reader.listHeader() == 3 else { throw TermReader.Failure.mismatch }
      let whole = try parts.add(
        id: id, offset: try reader.integer(), total: try reader.integer(), chunk: try reader.binary(), keeping: came)
      guard let whole else { return }
      try whole.bytes.withBytes { (bytes) throws(Errno) in
        try serve(bytes, whole.kept.descriptors.takeAll(), lost: false)
      }
      return
    } catch let error as Errno {
      throw error
    } catch Parts.Failure.unexpected(let offset) {
      failure = .part(offset: offset)
    } catch Parts.Failure.noRoom {
      failure = .code(ENOMEM)
    } catch {
      failure = .name("badrequest")
    }
    context.answer.begin(id: id)
    context.answer.fail(lost ? .code(EMFILE) : failure, function: "part")
    try context.answer.send(to: Self.output, id: id, with: &scratch)
  }

  /// Sends `{Event, ready}`, and in between `{Event, {error, ebadf}}` for what has been closed.
  private mutating func tellReadiness(idle: Bool) throws(Errno) {
    for event in try context.readiness.takeReady() {
      try event.withBytes { (id) throws(Errno) in
        context.answer.begin(id: id)
        context.answer.withTerm { $0.atom("ready") }
        try context.answer.send(to: Self.output, id: id, with: &scratch)
      }
    }
    guard idle else { return }
    for event in context.readiness.takeClosed(peer: context.peer) {
      try event.withBytes { (id) throws(Errno) in
        context.answer.begin(id: id)
        context.answer.fail(.code(EBADF), function: "select")
        try context.answer.send(to: Self.output, id: id, with: &scratch)
      }
    }
  }
}
