extension Array where Element == UInt8 {
  /// `withUnsafeBytes`, with the type of what it throws.
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws(Errno) -> R) throws(Errno) -> R {
    try withUnsafeBufferPointer { (buffer) throws(Errno) in try body(UnsafeRawBufferPointer(buffer)) }
  }
}
