import CSystem
import SystemCalls

// Calls that control descriptors and the process: fcntl(2), ioctl(2), setns(2).

extension Commands {
  /// Room behind a structure that is shorter than what the kernel writes for its request, in bytes.
  private static let slack = 4096
  /// What the size field of a request number can say, and where it is: `linux/ioctl.h`.
  private static let sizeMask: UInt64 = 0x3fff

  /// `[Request, Structure | Integer]`
  @Sendable static func ioctl(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let request = try call.bits()
    if call.isInteger {
      let value = try call.bits()
      try call.system { () throws(Errno) in
        try Files.withoutBlocking(fd) { () throws(Errno) in
          try Files.ioctl(fd, request: request, argument: UnsafeMutableRawPointer(bitPattern: UInt(value)))
        }
      }
      return context.answer.ok(UnsafeRawBufferPointer(start: nil, count: 0))
    }
    let structure = try call.binary()
    let room = max(structure.count, Int((request >> 16) & sizeMask)) + slack
    let buffer = context.buffer(of: room)
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    buffer.copyMemory(from: structure)
    try call.system { () throws(Errno) in
      try Files.withoutBlocking(fd) { () throws(Errno) in
        try Files.ioctl(fd, request: request, argument: buffer.baseAddress)
      }
    }
    context.answer.ok(UnsafeRawBufferPointer(rebasing: buffer[0..<structure.count]))
  }

  /// `[]`: a descriptor of the same open file.
  @Sendable static func duplicate(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    call.outgoing.append(try call.system { () throws(Errno) in try Files.duplicate(fd) })
    context.answer.ok()
  }

  /// `[]`
  @Sendable static func setSockNonblock(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    try call.system { () throws(Errno) in try Files.setNonblocking(fd, true) }
    context.answer.ok()
  }

  /// `[Type]`: into the namespace whose file the descriptor is.
  @Sendable static func setns(_ call: inout Call, _ context: inout Context) throws(Failure) {
    let fd = try call.fd
    let type = try call.flags()
    #if os(Linux)
      try call.system { () throws(Errno) in try Namespace.enter(fd, type: type) }
      context.answer.ok()
    #else
      throw .code(ENOTSUP)
    #endif
  }
}
