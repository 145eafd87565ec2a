import CSystem

#if canImport(Glibc)
  @_exported import Glibc
#elseif canImport(Darwin)
  @_exported import Darwin
#endif

/// The number of an error, as the system gives it: errno(3).
public struct Errno: Error, RawRepresentable, Equatable, Sendable {
  public let rawValue: CInt

  public init(rawValue: CInt) { self.rawValue = rawValue }

  /// What the last system call of this thread left.
  public static var current: Errno { Errno(rawValue: errno) }

  /// Its name in lower case, as Erlang has it: `eacces`; `unknown` where the system defines none.
  public var name: String {
    // Where the system has two names for one number, Erlang has the first of these.
    if rawValue == ENOTSUP && ENOTSUP == EOPNOTSUPP { return "enotsup" }
    guard rawValue > 0, let name = procket_errno_name(rawValue) else { return "unknown" }
    return String(cString: name).lowercased()
  }
}

/// Calls until it is not interrupted, and throws what it failed with.
@discardableResult
public func valueOrErrno<I: FixedWidthInteger>(_ call: () -> I) throws(Errno) -> I {
  while true {
    let value = call()
    if value != -1 { return value }
    let error = Errno.current
    if error.rawValue != EINTR { throw error }
  }
}
