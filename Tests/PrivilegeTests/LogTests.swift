import Testing

@testable import Privilege

@Suite struct LogTests {
  @Test(arguments: [
    ("udp 53", #""udp 53""#), ("a\nb\u{1b}[1m\tü", #""a\x0ab\x1b[1m\x09\xc3\xbc""#),
    (#"" user=root"#, #""\" user=root""#),
    (#"\"#, #""\\""#), ("", #""""#),
  ]) func quotes(_ text: String, _ quoted: String) {
    #expect(Log.line("refused: a", "uid=1", quoting: text) == "refused: a; uid=1 request=" + quoted)
  }

  /// Whatever is too long, who it was is there, and that something is cut.
  @Test(arguments: ["x", "\n", "\""]) func tooLong(_ character: Character) {
    let long = String(repeating: character, count: 5000)
    let line = Log.line(long, "user=alice uid=1", quoting: long)
    #expect(line.utf8.count <= Log.longest && line.utf8.count > Log.longest - 8)
    #expect(line.contains("...; user=alice uid=1 request=\""))
    #expect(line.hasSuffix("\"..."))
    #expect(Log.line("a", long, quoting: "b").hasSuffix("... request=\"b\""))
  }
}
