import SystemCalls
import Testing

@testable import Privilege

@Suite struct DeviceTests {
  @Test(arguments: ["net/tun", "null", "a.b_c-d:e@f", "bpf0", "..a", "a..b"]) func valid(_ name: String) {
    #expect(Device.isValid(name))
  }

  @Test(arguments: [
    "", "/", "/null", "null/", "net//tun", "..", "net/..", "../etc/passwd", "net/../null", ".", "./null", "net/./tun",
    "a b", "a\nb", "a\0b", "é", String(repeating: "a", count: 201),
  ]) func invalid(_ name: String) { #expect(!Device.isValid(name)) }

  @Test func straightPathsAreBytes() {
    for path in ["a/../b", "a/.", "a//b", "a/", "/a", "a/\u{301}../b", ".", ""] {
      #expect(Names.isStraight(path.utf8) == path.unicodeScalars.contains("\u{301}"), "\(path)")
    }
    #expect(!Names.isStraight("a\u{301}/../b".utf8) && !Names.isStraight("a/\u{301}/../b".utf8))
    #expect(Names.isStraight("run/netns/a...b".utf8) && Names.isStraight(".../a".utf8))
  }

  @Test func interfaces() {
    #expect(SocketRequest.isInterface("") && SocketRequest.isInterface("eth0.1:2@if3"))
    for name in ["a/b", "a b", "a\0", "é", "../x"] { #expect(!SocketRequest.isInterface(name), "\(name)") }
  }
}
