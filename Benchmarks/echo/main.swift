import SystemCalls

// What make bench compares calls with: a program that does nothing but answer, on a Unix socket, for what a request costs at least.

/// For how long it polls for the next request before it sleeps, as a port process does, in nanoseconds.
let spin: Int64 = 100_000

/// Sends back what comes, and closes the descriptors that come with it, until the other end is closed.
func echo(_ path: String) throws(Errno) {
  let socket = try Sockets.connect(toPath: path.utf8)
  let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
  defer { buffer.deallocate() }
  let nowhere = UnsafeRawBufferPointer(start: nil, count: 0)
  var control = ControlBuffer(size: ControlBuffer.space(4))
  var address = AddressBuffer(room: 0)
  var deadline = Clock.monotonic() + spin
  while true {
    do throws(Errno) {
      control.reset()
      let (count, _) = try Messages.receive(socket.number, into: buffer, flags: 0, control: &control, address: &address)
      if count == 0 { return }
      control.rights { _ = Descriptor(owning: $0) }
      _ = try Sockets.send(socket.number, UnsafeRawBufferPointer(rebasing: buffer[..<count]), flags: 0, to: nowhere)
      deadline = Clock.monotonic() + spin
    } catch {
      guard error.rawValue == EAGAIN else { throw error }
      if Clock.monotonic() > deadline {
        try Files.wait(for: socket.number, CInt(POLLIN))
        deadline = Clock.monotonic() + spin
      }
    }
  }
}

guard CommandLine.arguments.count == 2 else { exit(64) }
do throws(Errno) {
  try echo(CommandLine.arguments[1])
} catch {
  exit(1)
}
