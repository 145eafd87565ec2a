import ErlangTerm
import SystemCalls

/// The executable with its channel connected, as the BEAM has it.
final class AttachedProcess {
  let process: PortProcess
  private let channel: Descriptor

  init(_ role: String, spin: Int64 = 0) throws {
    process = try PortProcess([role])
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
    try process.send(
      frame: request("attach") { writer in
        writer.listHeader(3)
        Array(path.utf8).withUnsafeBytes { writer.binary($0) }
        secret.withUnsafeBytes { writer.binary($0) }
        writer.integer(spin)
        writer.emptyList()
      })
    var nobody = AddressBuffer(room: 0)
    try Files.wait(for: listener.number, CInt(POLLIN))
    channel = try Sockets.accept(listener.number, address: &nobody)
    guard try Self.read(channel.number, secret.count) == secret, try process.receive() != nil else {
      throw Errno(rawValue: EPROTO)
    }
  }

  /// A new lane.
  func lane() throws -> LaneEnd {
    try process.send(frame: request("lane"))
    guard try process.receive() == answer({ $0.atom("ok") }, descriptors: 1) else { throw Errno(rawValue: EPROTO) }
    var control = ControlBuffer(size: ControlBuffer.space(4))
    var nobody = AddressBuffer(room: 0)
    let byte = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { byte.deallocate() }
    _ = try Messages.receive(channel.number, into: byte, flags: 0, control: &control, address: &nobody)
    var number: CInt = -1
    control.rights { number = $0 }
    return LaneEnd(Descriptor(owning: number))
  }

  fileprivate static func read(_ fd: CInt, _ count: Int) throws(Errno) -> [UInt8] {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 1)
    defer { room.deallocate() }
    var filled = 0
    while filled < count {
      try Files.wait(for: fd, CInt(POLLIN))
      let more = try Files.read(fd, into: UnsafeMutableRawBufferPointer(rebasing: room[filled..<count]))
      if more == 0 { break }
      filled += more
    }
    return [UInt8](room.prefix(filled))
  }
}

/// The BEAM's end of a lane.
final class LaneEnd {
  let socket: Descriptor

  init(_ socket: consuming Descriptor) { self.socket = socket }

  func send(_ bytes: [UInt8]) throws(Errno) {
    let number = socket.number
    try bytes.withBytes { (bytes) throws(Errno) in try Files.writeAll(number, bytes) }
  }

  func send(frame: [UInt8]) throws(Errno) {
    try send(withUnsafeBytes(of: UInt32(frame.count).bigEndian) { [UInt8]($0) } + frame)
  }

  /// The next answer; nil where the lane has been closed.
  func receive() throws(Errno) -> [UInt8]? {
    let header = try AttachedProcess.read(socket.number, 4)
    guard header.count == 4 else { return nil }
    return try AttachedProcess.read(socket.number, header.reduce(0) { $0 << 8 | Int($1) })
  }
}

/// An answer `{1, Result}` or `{1, Result, Count}`, encoded.
func answer(_ result: (inout TermWriter) -> Void, descriptors: Int = 0) -> [UInt8] {
  var writer = TermWriter()
  writer.version()
  writer.tupleHeader(descriptors == 0 ? 2 : 3)
  writer.integer(1)
  result(&writer)
  if descriptors > 0 { writer.integer(Int64(descriptors)) }
  return writer.withBytes { [UInt8]($0) }
}
