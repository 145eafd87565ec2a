import Testing

@testable import SystemCalls

@Suite(.serialized) struct DescriptorTests {
  private func isOpen(_ fd: CInt) -> Bool { fcntl(fd, F_GETFD) != -1 }

  @Test func closesOnce() throws {
    let number: CInt
    do {
      let descriptor = try Files.open("/dev/null", flags: O_RDWR)
      number = descriptor.number
      #expect(isOpen(number))
      #expect(fcntl(number, F_GETFD) & FD_CLOEXEC != 0)
    }
    #expect(!isOpen(number))
  }

  #if os(Linux)
    /// A registration is made under a number of its own, which another descriptor may have where very many are open.
    @Test func numbersThatAreTaken() throws {
      let taken: CInt = 512 + 2 * 40
      let null = try Files.open("/dev/null", flags: O_RDWR)
      #expect(dup2(null.number, taken) == taken)
      defer { close(taken) }
      var readiness = Readiness()
      let socket = try Sockets.socket(family: AF_UNIX, type: Sockets.datagram, protocol: 0)
      let number = socket.number
      #expect(throws: Errno(rawValue: EMFILE)) {
        try readiness.add(number, of: 40, writing: false, event: [1], peer: getpid())
      }
      #expect(isOpen(taken))
      try readiness.add(number, of: 41, writing: false, event: [1], peer: getpid())
    }
  #endif

  @Test func releaseGivesAway() throws {
    let number = try Files.open("/dev/null", flags: O_RDWR).release()
    #expect(isOpen(number))
    _ = Descriptor(owning: number)
    #expect(!isOpen(number))
  }

  @Test func severalCloseTogether() throws {
    var numbers: [CInt] = []
    do {
      var some = Descriptors()
      for _ in 0..<3 { some.append(try Files.open("/dev/null", flags: O_RDWR)) }
      numbers = Array(some.numbers)
      let taken = some.takeAll()
      #expect(some.numbers.isEmpty && Array(taken.numbers) == numbers)
      #expect(numbers.allSatisfy(isOpen))
    }
    #expect(!numbers.contains(where: isOpen))
  }

  @Test func errors() {
    #expect(throws: Errno(rawValue: ENOENT)) { _ = try Files.open("/not/there", flags: O_RDONLY).number }
    let names: [(CInt, String)] = [
      (EACCES, "eacces"), (EAGAIN, "eagain"), (EOPNOTSUPP, "enotsup"), (ETIMEDOUT, "etimedout"), (0, "unknown"),
      (99999, "unknown"), (-1, "unknown"),
    ]
    for (number, name) in names { #expect(Errno(rawValue: number).name == name) }
  }

  @Test func socketsDoNotBlock() throws {
    let socket = try Sockets.socket(family: AF_INET, type: Sockets.datagram, protocol: 0)
    #expect(fcntl(socket.number, F_GETFL) & O_NONBLOCK != 0)
    #expect(fcntl(socket.number, F_GETFD) & FD_CLOEXEC != 0)
  }

  /// In blocking mode a call that would wait fails, and the mode is the same afterwards.
  @Test func withoutBlocking() throws {
    var ends: [CInt] = [0, 0]
    #expect(pipe(&ends) == 0)
    let all = owned(ends)
    let reader = all.numbers[0]
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1, alignment: 1)
    defer { room.deallocate() }
    #expect(throws: Errno(rawValue: EAGAIN)) {
      try Files.withoutBlocking(reader) { () throws(Errno) in try Files.read(reader, into: room) }
    }
    #expect(fcntl(reader, F_GETFL) & O_NONBLOCK == 0)
  }

  @Test func rightsOverASocket() throws {
    var ends: [CInt] = [0, 0]
    #expect(socketpair(AF_UNIX, Sockets.stream, 0, &ends) == 0)
    let pair = owned(ends)
    let null = try Files.open("/dev/null", flags: O_RDWR)
    var sent = Descriptors()
    for _ in 0..<2 { sent.append(Descriptor(owning: try valueOrErrno { dup(null.number) })) }
    #expect(
      try [UInt8(0)].withBytes { (bytes) throws(Errno) in try Messages.send(bytes, with: sent, over: pair.numbers[0]) }
        == 1)
    var control = ControlBuffer(size: ControlBuffer.space(4 * Messages.mostDescriptors))
    var address = AddressBuffer(room: 0)
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 16, alignment: 1)
    defer { room.deallocate() }
    let (count, _) = try Messages.receive(pair.numbers[1], into: room, flags: 0, control: &control, address: &address)
    var came = Descriptors()
    control.rights { came.append(Descriptor(owning: $0)) }
    #expect(count == 1 && room[0] == 0)
    #expect(came.numbers.count == 2 && Set(Array(came.numbers) + Array(sent.numbers)).count == 4)
    for number in came.numbers { #expect(try Files.isCharacterDevice(number)) }
  }

  /// A control buffer that lies about its lengths is read no further than it goes.
  @Test func malformedControl() {
    var control = ControlBuffer(size: 64)
    let data: [UInt8] = [1, 2, 3, 4]
    let end = data.withUnsafeBytes { control.write(at: 0, level: 1, type: 2, $0) }
    #expect(end == ControlBuffer.space(4))
    var seen = 0
    control.visit { level, type, data in
      seen += 1
      #expect(level == 1 && type == 2 && data.count == 4)
    }
    #expect(seen == 1)
    // What does not fit is not written.
    #expect(data.withUnsafeBytes { control.write(at: 60, level: 1, type: 2, $0) } == 60)
  }
}

func owned(_ numbers: [CInt]) -> Descriptors {
  var descriptors = Descriptors()
  for number in numbers { descriptors.append(Descriptor(owning: number)) }
  return descriptors
}
