import Testing

@testable import SystemCalls

@Suite struct ConstantsTests {
  @Test func wellKnown() {
    #expect(Constants.levels.value(of: "SOL_SOCKET") == Int64(SOL_SOCKET))
    #expect(Constants.levels.value(of: "IPPROTO_IPV6") == 41)
    #expect(Constants.optionNames.value(of: "SO_REUSEADDR") == Int64(SO_REUSEADDR))
    #expect(Constants.optionNames.value(of: "TCP_NODELAY") == Int64(TCP_NODELAY))
    #expect(Constants.protocols.value(of: "IPPROTO_UDP") == 17)
    #expect(Constants.family("inet6") == AF_INET6)
  }

  @Test func unknown() {
    #expect(Constants.levels.value(of: "SO_REUSEADDR") == nil)
    #expect(Constants.optionNames.value(of: "SO_NOT_THERE") == nil)
    #expect(Constants.optionNames.value(of: "") == nil)
    #expect(Constants.family("nothing") == nil)
  }

  /// Each name is there once, and a table counts what it visits.
  @Test(arguments: [Constants.levels, Constants.optionNames, Constants.protocols])
  func noNameTwice(_ table: ConstantTable) {
    var names: [String] = []
    table.visit { name, value in
      names.append(name)
      #expect(table.value(of: name) == value)
    }
    #expect(names.count == table.count)
    #expect(Set(names).count == names.count)
  }

  /// Every constant that the headers on this machine define is in the tables: scripts/constants looks. Where the headers are newer
  /// than those that the tables were made of, what is new is reported.
  @Test(.enabled(if: access("/usr/bin/cc", X_OK) == 0, "needs cc"))
  func completeForThisMachine() throws {
    guard let root = #filePath.range(of: "/Tests/").map({ String(#filePath[..<$0.lowerBound]) }) else { return }
    let output = try #require(popen("'\(root)/scripts/constants' missing 2>&1", "r"))
    var missing: [String] = []
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, CInt(line.count), output) != nil {
      missing.append(String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
    let status = pclose(output)
    #expect(status == 0, "the tables lack: \(missing)")
    if status == 0, !missing.isEmpty { print("newer headers define these too: \(missing)") }
  }
}

extension String {
  /// Foundation has this too, and is not linked.
  fileprivate func range(of part: String) -> Range<Index>? {
    indices.first { self[$0...].hasPrefix(part) }.map { $0..<index($0, offsetBy: part.count) }
  }
}
