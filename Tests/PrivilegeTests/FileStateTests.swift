import CSystem
import SystemCalls
import Testing

@testable import Privilege

@Suite struct FileStateTests {
  /// A file that has just been written may be written again within the same tick of the clock: it is not taken for settled.
  @Test func settles() throws {
    let path = "/tmp/procket-state-\(getpid())"
    defer { unlink(path) }
    func write(_ text: String) throws {
      unlink(path)
      let number = try valueOrErrno { creat(path, 0o600) }
      defer { close(number) }
      try [UInt8](text.utf8).withUnsafeBytes { try Files.writeAll(number, $0) }
    }
    #expect(FileState(path) == nil)
    try write("one")
    let first = try #require(FileState(path))
    #expect(!first.isSettled && first == FileState(path))
    try write("other")
    #expect(try first != #require(FileState(path)))
    #expect(try #require(FileState("/bin/sh")).isSettled)
  }
}
