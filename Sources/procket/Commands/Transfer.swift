import SystemCalls

// Calls that move data: read(2), recv(2), send(2), write(2).

extension Commands {
  /// The most that one call receives, in bytes: an answer has to hold it.
  private static let most = 8 << 20

  /// `[Size, Flags, Salen]`
  @Sendable static func recvfrom(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let buffer = context.buffer(of: min(try call.size(), most))
    let flags = try call.flags()
    var address = AddressBuffer(room: try call.size())
    let count = try call.system { () throws(Errno) in
      try Sockets.receive(fd, into: buffer, flags: flags, address: &address)
    }
    context.answer.startOk(2)
    context.answer.received(count, in: buffer)
    context.answer.withTerm { term in address.withBytes { term.binary($0) } }
  }

  /// `[Size, Flags, ControlSize, Salen]`
  @Sendable static func recvmsg(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let buffer = context.buffer(of: min(try call.size(), most))
    let flags = try call.flags()
    var control = ControlBuffer(size: min(try call.size(), 1 << 20))
    var address = AddressBuffer(room: try call.size())
    let (count, messageFlags) = try call.system { () throws(Errno) in
      try Messages.receive(fd, into: buffer, flags: flags, control: &control, address: &address)
    }
    control.rights { call.outgoing.append(Descriptor(owning: $0)) }
    context.answer.startOk(4)
    context.answer.received(count, in: buffer)
    context.answer.withTerm { term in
      term.integer(Int64(messageFlags))
      var messages = 0
      control.visit { _, _, _ in messages += 1 }
      if messages > 0 { term.listHeader(messages) }
      control.visit { level, type, data in
        term.tupleHeader(3)
        term.integer(Int64(level))
        term.integer(Int64(type))
        // Descriptors come with the answer; here is how many belong to this message.
        if level == SOL_SOCKET && type == Messages.rights {
          term.integer(Int64(data.count / 4))
        } else {
          term.binary(data)
        }
      }
      term.emptyList()
      address.withBytes { term.binary($0) }
    }
  }

  /// `[Data, Flags, Sockaddr]`
  @Sendable static func sendto(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let data = try call.binary()
    let flags = try call.flags()
    let address = try call.binary()
    context.answer.ok(try call.system { () throws(Errno) in try Sockets.send(fd, data, flags: flags, to: address) })
  }

  /// `[Data, Flags, [{Level, Type, Data | Count}], Sockaddr]`: a control message with a count has so many of the descriptors that came along.
  @Sendable static func sendmsg(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let data = try call.binary()
    let flags = try call.flags()
    var descriptors = call.descriptors.dropFirst()
    let messages = try call.list { (call) throws(Failure) in
      try call.tuple(3) { (call) throws(Failure) in
        let level = try call.flags()
        let type = try call.flags()
        guard call.isInteger else { return (level: level, type: type, data: [UInt8](try call.binary())) }
        let count = try call.integer(in: 0...descriptors.count)
        let own = Array(descriptors.prefix(count))
        descriptors = descriptors.dropFirst(count)
        return (level: level, type: type, data: own.withUnsafeBytes { [UInt8]($0) })
      }
    }
    let address = try call.binary()
    var control = ControlBuffer(size: messages.reduce(0) { $0 + ControlBuffer.space($1.data.count) })
    var offset = 0
    for message in messages {
      offset = message.data.withUnsafeBytes { control.write(at: offset, level: message.level, type: message.type, $0) }
    }
    context.answer.ok(
      try call.system { () throws(Errno) in try Messages.send(fd, data, flags: flags, control: control, to: address) })
  }

  /// `[Count, Size, Flags, Salen]`: fewer where all would be more than one call receives.
  @Sendable static func recvmmsg(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let wanted = try call.integer(in: 1...Datagrams.most)
    let size = min(try call.size(), most)
    let flags = try call.flags()
    let room = try call.size()
    let count = min(wanted, max(1, most / max(1, size)))
    let buffer = context.buffer(of: count * size)
    var datagrams = Datagrams(count: count, size: size, addressRoom: room, in: buffer)
    let received = try call.system { () throws(Errno) in try datagrams.receive(fd, flags: flags) }
    context.answer.startOk(1)
    if received > 0 { context.answer.withTerm { $0.listHeader(received) } }
    for index in 0..<received {
      context.answer.withTerm { $0.tupleHeader(2) }
      context.answer.received(datagrams.length(index), in: datagrams.data(index))
      context.answer.withTerm { $0.binary(datagrams.address(index)) }
    }
    context.answer.withTerm { $0.emptyList() }
  }

  /// `[[{Data, Sockaddr}], Flags]`
  @Sendable static func sendmmsg(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let messages = try call.list { (call) throws(Failure) in
      try call.tuple(2) { (call) throws(Failure) in (data: try call.binary(), address: try call.binary()) }
    }
    let flags = try call.flags()
    guard messages.count <= Datagrams.most else { throw .argument(1) }
    var datagrams = Datagrams(messages)
    context.answer.ok(try call.system { () throws(Errno) in try datagrams.send(fd, flags: flags) })
  }

  /// `[Length]`
  @Sendable static func read(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let buffer = context.buffer(of: min(try call.size(), most))
    let count = try call.system { () throws(Errno) in
      try Files.withoutBlocking(fd) { () throws(Errno) in try Files.read(fd, into: buffer) }
    }
    context.answer.startOk(1)
    context.answer.received(count, in: buffer)
  }

  /// `[Data]`
  @Sendable static func write(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let data = try call.binary()
    context.answer.ok(
      try call.system { () throws(Errno) in
        try Files.withoutBlocking(fd) { () throws(Errno) in try Files.write(fd, data) }
      })
  }
}

extension Answer {
  /// What was received into a buffer; where the kernel says that there was more (`MSG_TRUNC`), zeroes up to its length.
  fileprivate mutating func received(_ count: Int, in buffer: UnsafeMutableRawBufferPointer) {
    if count <= buffer.count {
      let bytes = UnsafeRawBufferPointer(rebasing: buffer[0..<count])
      return withTerm { $0.binary(bytes) }
    }
    var padded = [UInt8](buffer)
    padded.append(contentsOf: repeatElement(0, count: count - buffer.count))
    padded.withUnsafeBytes { bytes in withTerm { $0.binary(bytes) } }
  }
}
