import ErlangTerm
import SystemCalls

/// The executable with its attached connection, as the node has it.
final class AttachedProcess {
  let process: PortProcess
  let attached: NodeEnd

  init(_ role: String, spin: Int64 = 0, through wrapper: [String] = []) throws {
    process = try PortProcess([role], through: wrapper)
    var template = Array("/tmp/procket-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw Errno.current }
    let directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let path = directory + "/s"
    defer {
      unlink(path)
      rmdir(directory)
    }
    let listener = try Sockets.socket(family: AF_UNIX, type: Sockets.stream, protocol: 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    try withUnsafeBytes(of: address) { (bytes) throws(Errno) in try Sockets.bind(listener.number, to: bytes) }
    try Sockets.listen(listener.number, backlog: 1)
    let secret = [UInt8](0..<32)
    try process.send(frame: request("attach", [.binary(path), .binary(secret), .integer(spin)]))
    var nobody = AddressBuffer(room: 0)
    try Files.wait(for: listener.number, CInt(POLLIN))
    attached = NodeEnd(try Sockets.accept(listener.number, address: &nobody))
    guard try attached.read(secret.count) == secret,
      try process.receive() == answer(.tuple(["ok", 3, .integer(Int64(process.pid))]))
    else { throw Errno(rawValue: EPROTO) }
  }

  /// A new direct connection, asked for on the attached one or on `other`.
  func direct(by other: NodeEnd? = nil) throws -> NodeEnd {
    let asked = other ?? attached
    guard try asked.ask("direct") == answer("ok", descriptors: 1), let end = asked.came.takeFirst() else {
      throw Errno(rawValue: EPROTO)
    }
    return NodeEnd(end)
  }
}

/// The node's end of a connection.
final class NodeEnd {
  let socket: Descriptor
  /// The descriptors that have come with answers.
  var came = Descriptors()

  init(_ socket: consuming Descriptor) { self.socket = socket }

  func send(_ bytes: [UInt8]) throws(Errno) {
    let number = socket.number
    try bytes.withBytes { (bytes) throws(Errno) in try Files.writeAll(number, bytes) }
  }

  /// Sends a frame, and descriptors with its first byte.
  func send(frame: [UInt8], with descriptors: borrowing Descriptors = Descriptors()) throws(Errno) {
    let bytes = withUnsafeBytes(of: UInt32(frame.count).bigEndian) { [UInt8]($0) } + frame
    let number = socket.number
    let sent = try bytes.withBytes { (bytes) throws(Errno) in
      try Messages.send(bytes, with: descriptors, over: number)
    }
    try send(Array(bytes[sent...]))
  }

  /// The next answer; nil where the connection has been closed.
  func receive() throws(Errno) -> [UInt8]? {
    let header = try read(4)
    guard header.count == 4 else { return nil }
    return try read(header.reduce(0) { $0 << 8 | Int($1) })
  }

  func ask(
    _ function: String, _ arguments: [Term] = [], with descriptors: borrowing Descriptors = Descriptors()
  ) throws(Errno) -> [UInt8]? {
    try send(frame: request(function, arguments), with: descriptors)
    return try receive()
  }

  /// So many bytes, or what there is before the end.
  fileprivate func read(_ count: Int) throws(Errno) -> [UInt8] {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 1)
    defer { room.deallocate() }
    var control = ControlBuffer(size: ControlBuffer.space(4 * Messages.mostDescriptors))
    var nobody = AddressBuffer(room: 0)
    var filled = 0
    while filled < count {
      try Files.wait(for: socket.number, CInt(POLLIN))
      control.reset()
      let rest = UnsafeMutableRawBufferPointer(rebasing: room[filled..<count])
      let (more, _) = try Messages.receive(socket.number, into: rest, flags: 0, control: &control, address: &nobody)
      control.rights { came.append(Descriptor(owning: $0)) }
      if more == 0 { break }
      filled += more
    }
    return [UInt8](room.prefix(filled))
  }
}
