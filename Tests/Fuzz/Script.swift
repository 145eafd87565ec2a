/// Takes an input apart. What is read past its end is zeroes.
struct Script {
  private var rest: UnsafeRawBufferPointer

  init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

  var isEmpty: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 { take(1).first ?? 0 }

  /// Two bytes, the high one first.
  mutating func number() -> UInt16 { UInt16(byte()) << 8 | UInt16(byte()) }

  mutating func word() -> UInt32 { UInt32(number()) << 16 | UInt32(number()) }

  /// So many bytes, or those that there are.
  mutating func take(_ count: Int) -> UnsafeRawBufferPointer {
    let taken = UnsafeRawBufferPointer(rebasing: rest.prefix(count))
    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
    return taken
  }
}

/// What has to hold of the program, and of the machine that it is run on. Ends the fuzzer, which keeps the input.
func demand(_ condition: Bool, _ text: @autoclosure () -> String) {
  if !condition { fail(text()) }
}

func fail(_ text: String) -> Never { fatalError(text) }
