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

  @Test func interfaces() {
    #expect(SocketRequest.isInterface("") && SocketRequest.isInterface("eth0.1:2@if3"))
    for name in ["a/b", "a b", "a\0", "é", "../x"] { #expect(!SocketRequest.isInterface(name), "\(name)") }
  }
}
