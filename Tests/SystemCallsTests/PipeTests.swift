#if os(Linux)
  import Testing

  @testable import SystemCalls

  @Suite struct PipeTests {
    private let page = Int(sysconf(CInt(_SC_PAGESIZE)))

    /// What is written and read again, and then, where the memory was changed in between.
    private func throughPipe(_ bytes: [UInt8], changing: Bool = false) throws -> (capacity: Int, read: [UInt8]) {
      var ends: [CInt] = [0, 0]
      #expect(pipe(&ends) == 0)
      let all = owned(ends)
      let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: page)
      defer { memory.deallocate() }
      memory.copyBytes(from: bytes)
      var output = Pipe(all.numbers[1], capacity: 1 << 18)
      try output.writeAll(UnsafeRawBufferPointer(memory))
      if changing { memory[0] &+= 1 }
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count + 1, alignment: 1)
      defer { room.deallocate() }
      let count = try Files.read(all.numbers[0], into: room)
      return (output.capacity, Array(room[0..<count]))
    }

    @Test func writesAll() throws {
      let bytes = (0..<(20 * page + 17)).map { UInt8(truncatingIfNeeded: $0 / 7) }
      let (capacity, read) = try throughPipe(bytes)
      #expect(capacity >= bytes.count)
      #expect(read == bytes)
    }

    /// Which is why it has to stay as it is.
    @Test func theReaderSeesTheMemory() throws {
      #expect(try throughPipe([1, 2, 3], changing: true).read == [2, 2, 3])
    }

    @Test func whatIsNoPipe() throws {
      var ends: [CInt] = [0, 0]
      #expect(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
      let all = owned(ends)
      var output = Pipe(all.numbers[1], capacity: 1 << 18)
      #expect(output.capacity == 0)
      let bytes: [UInt8] = [1, 2, 3]
      try bytes.withBytes { (bytes) throws(Errno) in try output.writeAll(bytes) }
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 10, alignment: 1)
      defer { room.deallocate() }
      #expect(try Files.read(all.numbers[0], into: room) == 3)
      #expect(Array(room[0..<3]) == bytes)
    }
  }
#endif
