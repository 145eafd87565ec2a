import SystemCalls

// Started by make fuzz. The package manager wants a main of its own, and hands on to libFuzzer's driver.

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<Arguments>,
  _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

private typealias Arguments = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

/// What the inputs are for. Not an argument: libFuzzer starts this program again with those that it knows.
private enum Target: String {
  case parsers, roles, ring

  static let chosen = getenv("FUZZ_TARGET").flatMap { Target(rawValue: String(cString: $0)) }
}

@_cdecl("LLVMFuzzerTestOneInput")
func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = UnsafeRawBufferPointer(start: data, count: size)
  switch Target.chosen {
  case .roles: Roles.input(input)
  case .ring: Ring.input(input)
  case .parsers, nil: Parsers.input(input)
  }
  return 0
}

if Target.chosen == .roles { Node.prepare() }
private var count = CommandLine.argc
private var arguments = CommandLine.unsafeArgv
exit(runDriver(&count, &arguments, testOneInput))
