import CSystem
import SystemCalls

/// The rights of this process beyond those of the user who started it: lowered, but around the calls that need them.
public struct Privileges: ~Copyable {
  /// The user who started this process: the real one, or the one whom sudo names.
  public let caller: uid_t
  private let callerGroup: gid_t
  private let owner: uid_t
  private let ownerGroup: gid_t

  /// Finds out who the caller is, and lowers the rights to those of the caller.
  public init() throws(Errno) {
    owner = geteuid()
    ownerGroup = getegid()
    let real = getuid()
    if real == 0, let user = Self.number("SUDO_UID"), let group = Self.number("SUDO_GID") {
      caller = user
      callerGroup = group
      // Root's groups are not the caller's.
      try valueOrErrno { setgroups(0, nil) }
    } else {
      caller = real
      callerGroup = getgid()
    }
    try lower()
  }

  /// Whether there are more rights than the caller's.
  public var isRaisable: Bool { caller != owner || callerGroup != ownerGroup }

  /// Runs a call with all rights. That they cannot be lowered again ends the process.
  public borrowing func raised<R: ~Copyable>(_ call: () throws(Errno) -> R) throws(Errno) -> R {
    guard isRaisable else { return try call() }
    try raise()
    defer {
      do { try lower() } catch { _exit(70) }
    }
    return try call()
  }

  /// Gives all rights beyond the caller's up, for good.
  public consuming func drop() throws(Errno) {
    guard isRaisable else { return }
    try raise()
    let (user, group) = (caller, callerGroup)
    try valueOrErrno { procket_become(user, group) }
    // What was given up cannot be taken back.
    if caller != 0, owner != caller, seteuid(owner) == 0 { throw Errno(rawValue: EPERM) }
  }

  private borrowing func raise() throws(Errno) {
    try valueOrErrno { seteuid(owner) }
    try valueOrErrno { setegid(ownerGroup) }
  }

  private borrowing func lower() throws(Errno) {
    guard isRaisable else { return }
    try valueOrErrno { setegid(callerGroup) }
    try valueOrErrno { seteuid(caller) }
  }

  private static func number(_ variable: String) -> UInt32? {
    guard let value = getenv(variable) else { return nil }
    return UInt32(String(cString: value))
  }
}
