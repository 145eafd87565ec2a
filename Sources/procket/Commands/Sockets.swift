import SystemCalls

// Calls on sockets: socket(7).

extension Commands {
  /// `[Family, Type, Protocol]`
  @Sendable static func socket(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let family: CInt = try call.integer(in: 0...0xffff)
    let type: CInt = try call.integer(in: 0...0x7ff)
    let number: CInt = try call.integer(in: 0...CInt.max)
    call.outgoing.append(
      try call.system { () throws(Errno) in try Sockets.socket(family: family, type: type, protocol: number) })
    context.answer.ok()
  }

  /// `[Sockaddr]`
  @Sendable static func bind(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let address = try call.binary()
    try call.system { () throws(Errno) in try Sockets.bind(fd, to: address) }
    context.answer.ok()
  }

  /// `[Sockaddr]`
  @Sendable static func connect(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let address = try call.binary()
    try call.system { () throws(Errno) in try Sockets.connect(fd, to: address) }
    context.answer.ok()
  }

  /// `[Backlog]`
  @Sendable static func listen(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let backlog = try call.flags()
    try call.system { () throws(Errno) in try Sockets.listen(fd, backlog: backlog) }
    context.answer.ok()
  }

  /// `[Salen]`
  @Sendable static func accept(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    var address = AddressBuffer(room: try call.size())
    call.outgoing.append(try call.system { () throws(Errno) in try Sockets.accept(fd, address: &address) })
    address.withBytes { context.answer.ok($0) }
  }

  /// `[Size]`
  @Sendable static func getsockname(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    var address = AddressBuffer(room: try call.size())
    try call.system { () throws(Errno) in try Sockets.name(of: fd, into: &address) }
    address.withBytes { context.answer.ok($0) }
  }

  /// `[Level, Name, Value]`
  @Sendable static func setsockopt(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let level = try call.constant(in: Constants.levels)
    let name = try call.constant(in: Constants.optionNames)
    let value = try call.binary()
    try call.system { () throws(Errno) in try Sockets.setOption(fd, level: level, name: name, value) }
    context.answer.ok()
  }

  /// `[Level, Name, Value]`: the size of the value bounds the answer.
  @Sendable static func getsockopt(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let level = try call.constant(in: Constants.levels)
    let name = try call.constant(in: Constants.optionNames)
    let room = try call.binary()
    let value = context.buffer(of: room.count)
    value.copyMemory(from: room)
    let length = try call.system { () throws(Errno) in try Sockets.option(fd, level: level, name: name, into: value) }
    context.answer.ok(UnsafeRawBufferPointer(rebasing: value[0..<length]))
  }
}

extension Call {
  /// A number, or a name that the system's headers define.
  mutating func constant(in table: ConstantTable) throws(Failure) -> CInt {
    guard isAtom else { return try flags() }
    guard let value = table.value(of: try atom()) else { throw .name("unsupported") }
    return CInt(truncatingIfNeeded: value)
  }
}
