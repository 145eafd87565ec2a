import CSystem
import SystemCalls

/// The user for whom this process works: the one who started it.
public struct Caller: Sendable {
  public let user: uid_t
  let group: gid_t
  /// The groups as the kernel has them; nil where they are those of somebody else, and `/etc/group` has to say.
  let groups: [gid_t]?
  /// Whether this process was given rights that its caller has not: by the executable's mode or capabilities, or by sudo.
  public let isOutranked: Bool

  /// Has to be asked before anything is given up, and before the environment is cleared.
  public init() throws(Errno) {
    let real = getuid()
    // Only root can be sudo. Root itself can set these too, and loses by it.
    if real == 0, let name = getenv("SUDO_UID") {
      guard let user = Self.identity(name), let value = getenv("SUDO_GID"), let group = Self.identity(value) else {
        throw Errno(rawValue: EINVAL)
      }
      self.user = user
      self.group = group
      groups = nil
      isOutranked = user != 0
      return
    }
    user = real
    group = getgid()
    groups = try Self.supplementaryGroups() + [group]
    isOutranked = procket_started_secure() != 0 || geteuid() != user || getegid() != group
  }

  /// A decimal number, but not the highest, which for setresuid(2) means "as it is".
  private static func identity(_ text: UnsafePointer<CChar>) -> UInt32? {
    guard let number = UInt32(String(cString: text)), number != UInt32.max else { return nil }
    return number
  }

  private static func supplementaryGroups() throws(Errno) -> [gid_t] {
    let count = try valueOrErrno { getgroups(0, nil) }
    var groups = [gid_t](repeating: 0, count: Int(count))
    let got = try valueOrErrno { getgroups(count, &groups) }
    return Array(groups.prefix(Int(got)))
  }
}
