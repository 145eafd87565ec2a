import CSystem

/// Room for a message's control data, and a walk through it: cmsg(3).
public struct ControlBuffer: ~Copyable {
  private let memory: UnsafeMutableRawBufferPointer
  private let size: Int
  /// How much of it is used, in bytes.
  public private(set) var count: Int

  /// Of `size` bytes, all zero.
  public init(size: Int) {
    memory = .allocate(byteCount: max(size, 1), alignment: MemoryLayout<cmsghdr>.alignment)
    _ = memory.initializeMemory(as: UInt8.self, repeating: 0)
    self.size = size
    count = size
  }

  /// All of it is room again, for another message.
  public mutating func reset() { count = size }

  deinit { memory.deallocate() }

  fileprivate var pointer: UnsafeMutableRawPointer? { count == 0 ? nil : memory.baseAddress }

  fileprivate mutating func truncate(to length: Int) { count = max(0, min(length, count)) }

  /// The space that a control message with so much data takes, in bytes.
  public static func space(_ length: Int) -> Int { procket_cmsg_space(length) }

  /// Writes a control message at an offset; the offset behind it. There has to be ``space(_:)`` for it.
  public mutating func write(at offset: Int, level: CInt, type: CInt, _ data: UnsafeRawBufferPointer) -> Int {
    let end = offset + Self.space(data.count)
    guard end <= count else { return offset }
    var header = cmsghdr()
    header.cmsg_len = .init(procket_cmsg_len(data.count))
    header.cmsg_level = level
    header.cmsg_type = type
    memory.storeBytes(of: header, toByteOffset: offset, as: cmsghdr.self)
    UnsafeMutableRawBufferPointer(rebasing: memory[(offset + Int(procket_cmsg_len(0)))...]).copyMemory(from: data)
    return end
  }

  /// Gives each control message that lies within the buffer to `body`.
  public func visit(_ body: (_ level: CInt, _ type: CInt, _ data: UnsafeRawBufferPointer) -> Void) {
    let header = Int(procket_cmsg_len(0))
    var offset = 0
    while offset + header <= count {
      let message = memory.load(fromByteOffset: offset, as: cmsghdr.self)
      let length = Int(message.cmsg_len)
      guard length >= header, length <= count - offset else { return }
      body(
        message.cmsg_level, message.cmsg_type,
        UnsafeRawBufferPointer(rebasing: memory[(offset + header)..<(offset + length)]))
      offset += Self.space(length - header)
    }
  }

  /// Gives the descriptors among the messages to `body`. They are open, and nobody's yet.
  public func rights(_ body: (CInt) -> Void) {
    visit { level, type, data in
      guard level == SOL_SOCKET, type == Messages.rights else { return }
      for offset in stride(from: 0, through: data.count - 4, by: 4) {
        body(data.loadUnaligned(fromByteOffset: offset, as: CInt.self))
      }
    }
  }
}

/// Messages with control data.
public enum Messages {
  /// `SCM_RIGHTS`
  public static let rights: CInt = 1
  /// The kernel passes at most so many descriptors with a message.
  public static let mostDescriptors = 253

  /// Receives without waiting; descriptors that come are close-on-exec. The corresponding C function is `recvmsg`.
  public static func receive(
    _ fd: CInt, into buffer: UnsafeMutableRawBufferPointer, flags: CInt, control: inout ControlBuffer,
    address: inout AddressBuffer
  ) throws(Errno) -> (count: Int, flags: CInt) {
    var vector = iovec(iov_base: buffer.baseAddress, iov_len: buffer.count)
    var header = msghdr()
    header.msg_control = control.pointer
    header.msg_controllen = .init(control.count)
    var result: Result<Int, Errno> = .success(0)
    address.withRoom { name, room in
      header.msg_name = name
      header.msg_namelen = socklen_t(room)
      withUnsafeMutablePointer(to: &vector) { pointer in
        header.msg_iov = pointer
        header.msg_iovlen = 1
        result = Result { () throws(Errno) in try valueOrErrno { recvmsg(fd, &header, flags | CInt(MSG_DONTWAIT)) } }
      }
      return name == nil ? 0 : Int(header.msg_namelen)
    }
    let count = try result.get()
    control.truncate(to: Int(header.msg_controllen))
    // Not MSG_CMSG_CLOEXEC: packet sockets refuse it.
    control.rights { _ = procket_fcntl($0, F_SETFD, FD_CLOEXEC) }
    return (count, header.msg_flags)
  }

  /// Sends without waiting. The corresponding C function is `sendmsg`.
  public static func send(
    _ fd: CInt, _ bytes: UnsafeRawBufferPointer, flags: CInt, control: borrowing ControlBuffer,
    to address: UnsafeRawBufferPointer
  ) throws(Errno) -> Int {
    var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    var header = msghdr()
    header.msg_control = control.pointer
    header.msg_controllen = .init(control.count)
    return try Sockets.withAddress(address) { (name, length) throws(Errno) in
      header.msg_name = UnsafeMutableRawPointer(mutating: name)
      header.msg_namelen = length
      return try withUnsafeMutablePointer(to: &vector) { (pointer) throws(Errno) in
        header.msg_iov = pointer
        header.msg_iovlen = 1
        return try valueOrErrno { sendmsg(fd, &header, flags | Sockets.sendFlags) }
      }
    }
  }

  /// Sends bytes with descriptors, which stay open here; how many bytes were taken, and all descriptors with the first of them.
  public static func send(
    _ bytes: UnsafeRawBufferPointer, with descriptors: borrowing Descriptors, over fd: CInt
  ) throws(Errno) -> Int {
    let nowhere = UnsafeRawBufferPointer(start: nil, count: 0)
    if descriptors.count == 0 { return try Sockets.send(fd, bytes, flags: 0, to: nowhere) }
    var control = ControlBuffer(size: ControlBuffer.space(4 * descriptors.count))
    Array(descriptors.numbers).withUnsafeBytes { data in
      _ = control.write(at: 0, level: SOL_SOCKET, type: rights, data)
    }
    return try send(fd, bytes, flags: 0, control: control, to: nowhere)
  }
}
