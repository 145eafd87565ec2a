import CSystem
import Capture
import SystemCalls

// What make bench sends with, and what it compares sending with: sendmmsg(2) in a loop, as a C program would.

let usage = "usage: procket-flood INTERFACE FRAME-BYTES COUNT PACKETS-PER-SECOND|0\n"

func put(_ text: String, on fd: CInt) {
  let bytes = [UInt8](text.utf8)
  bytes.withUnsafeBytes { _ = try? Files.writeAll(fd, $0) }
}

func now() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Sends frames of an experimental EtherType with a number of 32 bits in each; the nanoseconds that it took.
func flood(_ name: String, size: Int, count: Int, rate: Int) throws(Errno) -> Int {
  let socket = try Sockets.socket(family: AF_PACKET, type: CInt(SOCK_RAW.rawValue), protocol: 0)
  let fd = socket.number
  let interface = try Interface(named: name, on: fd)
  try PacketSocket.bind(fd, index: interface.index, etherType: 0)
  try Files.setNonblocking(fd, false)
  let batch = Int(procket_batch)
  let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size * batch, alignment: 16)
  defer { memory.deallocate() }
  _ = memory.initializeMemory(as: UInt8.self, repeating: 0)
  let header: [UInt8] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]
  var vectors: [iovec] = []
  for index in 0..<batch {
    let frame = UnsafeMutableRawBufferPointer(rebasing: memory[(index * size)..<((index + 1) * size)])
    frame.copyBytes(from: header)
    vectors.append(iovec(iov_base: frame.baseAddress, iov_len: size))
  }
  let start = now()
  var sent = 0
  while sent < count {
    var room = min(batch, count - sent)
    if rate > 0 {
      let due = Int(Double(now() - start) * Double(rate) / 1e9) - sent
      if due < batch {
        usleep(UInt32(max(1, (batch - due) * 1_000_000 / rate)))
        continue
      }
      room = min(room, due)
    }
    for index in 0..<room {
      memory.storeBytes(of: UInt32(sent + index).bigEndian, toByteOffset: index * size + header.count, as: UInt32.self)
    }
    let frames = vectors
    let number = try valueOrErrno { procket_send_batch(fd, frames, UInt32(room)) }
    sent += Int(number)
  }
  return now() - start
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
