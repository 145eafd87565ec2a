import Capture
import SystemCalls

// What make bench sends with, and what it compares sending with: sendmmsg(2) in a loop, as a C program would.

let usage = "usage: procket-flood INTERFACE FRAME-BYTES COUNT PACKETS-PER-SECOND|0\n"

func put(_ text: String, on fd: CInt) {
  let bytes = [UInt8](text.utf8)
  bytes.withUnsafeBytes { _ = try? Files.writeAll(fd, $0) }
}

/// Sends frames of an experimental EtherType with a number of 32 bits in each; the nanoseconds that it took.
func flood(_ name: String, size: Int, count: Int, rate: Int) throws(Errno) -> Int64 {
  let socket = try Sockets.socket(family: AF_PACKET, type: CInt(SOCK_RAW.rawValue), protocol: 0)
  let fd = socket.number
  let interface = try Interface(named: name, on: fd)
  try PacketSocket.bind(fd, index: interface.index, etherType: 0)
  let batch = 64
  let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size * batch, alignment: 16)
  defer { memory.deallocate() }
  _ = memory.initializeMemory(as: UInt8.self, repeating: 0)
  let header: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]
  var frames: [(data: UnsafeRawBufferPointer, address: UnsafeRawBufferPointer)] = []
  for index in 0..<batch {
    let frame = UnsafeMutableRawBufferPointer(rebasing: memory[(index * size)..<((index + 1) * size)])
    frame.copyBytes(from: header)
    frames.append((UnsafeRawBufferPointer(frame), UnsafeRawBufferPointer(start: nil, count: 0)))
  }
  var whole = Datagrams(frames)
  let start = Clock.monotonic()
  var sent = 0
  while sent < count {
    var room = min(batch, count - sent)
    if rate > 0 {
      let due = Int(Double(Clock.monotonic() - start) * Double(rate) / 1e9) - sent
      if due < batch {
        usleep(UInt32(max(1, (batch - due) * 1_000_000 / rate)))
        continue
      }
      room = min(room, due)
    }
    for index in 0..<room {
      memory.storeBytes(of: UInt32(sent + index).bigEndian, toByteOffset: index * size + header.count, as: UInt32.self)
    }
    do throws(Errno) {
      if room == batch {
        sent += try whole.send(fd, flags: 0)
      } else {
        var some = Datagrams(Array(frames.prefix(room)))
        sent += try some.send(fd, flags: 0)
      }
    } catch {
      guard error.rawValue == EAGAIN else { throw error }
      try Files.wait(for: fd, CInt(POLLOUT))
    }
  }
  return Clock.monotonic() - start
}

let arguments = Array(CommandLine.arguments.dropFirst())
guard arguments.count == 4, let size = Int(arguments[1]), size >= 18, let count = Int(arguments[2]), count > 0,
  let rate = Int(arguments[3]), rate >= 0
else {
  put(usage, on: 2)
  exit(64)
}
do {
  let time = try flood(arguments[0], size: size, count: count, rate: rate)
  put("\(time)\n", on: 1)
} catch {
  put("\(error.name)\n", on: 2)
  exit(71)
}
