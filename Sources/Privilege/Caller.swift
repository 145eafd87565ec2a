import CSystem
import SystemCalls

/// The user for whom this process works: the one who started it.
public struct Caller: Sendable {
  public let user: uid_t
  let group: gid_t
  /// The groups as the kernel has them; nil where they are those of somebody else, and `/etc/group` has to say.
  let groups: [gid_t]?
  /// Whether this process was given rights that its caller has not: by the executable's mode or capabilities, or by a prefix such as sudo.
  public let isOutranked: Bool

  /// Has to be asked before anything is given up, and before the environment is cleared.
  public init() throws(Errno) {
    let real = getuid()
    // Only a program that runs as root can have made root of somebody else. Root itself can set the variables too, and loses by it.
    if real == 0, let named = try Self.namedByPrefix() {
      user = named.user
      group = named.group
      groups = nil
      isOutranked = user != 0
      return
    }
    user = real
    group = getgid()
    groups = try Self.supplementaryGroups() + [group]
    isOutranked = procket_started_secure() != 0 || geteuid() != user || getegid() != group
  }

  /// The groups that a policy is asked about.
  func groups(in accounts: Accounts) -> [gid_t] { groups ?? accounts.groups(of: user) + [group] }

  /// Throws `eacces` where this process runs as root, and what it reads comes from a user whom no prefix named: root is not to serve that one.
  /// A pipe and a socket belong to whoever made them.
  public func checkOrigin(of input: CInt) throws(Errno) {
    guard getuid() == 0 else { return }
    var information = stat()
    try valueOrErrno { fstat(input, &information) }
    guard information.st_uid == 0 || information.st_uid == user else { throw Errno(rawValue: EACCES) }
  }

  /// The user whom sudo, doas or pkexec name in the environment; nil where none does. `einval` where that is no user, or where two
  /// differ: the caller can have set the one that its prefix does not set.
  private static func namedByPrefix() throws(Errno) -> (user: uid_t, group: gid_t)? {
    var all: [(user: uid_t, group: gid_t)] = []
    if let name = getenv("SUDO_UID") {
      guard let user = identity(name), let value = getenv("SUDO_GID"), let group = identity(value) else {
        throw Errno(rawValue: EINVAL)
      }
      all.append((user, group))
    }
    if let name = getenv("DOAS_USER") {
      let accounts = try accounts()
      all.append(try accounts.entry(of: accounts.user(named: String(cString: name))))
    }
    if let number = getenv("PKEXEC_UID") { all.append(try accounts().entry(of: identity(number))) }
    guard all.allSatisfy({ $0.user == all[0].user }) else { throw Errno(rawValue: EINVAL) }
    return all.first
  }

  private static func accounts() throws(Errno) -> Accounts {
    do { return try Accounts.ofThisSystem() } catch { throw Errno(rawValue: EINVAL) }
  }

  /// A decimal number, but not the highest, which for setresuid(2) means "as it is".
  private static func identity(_ text: UnsafePointer<CChar>) -> UInt32? {
    guard let number: UInt32 = decimal(String(cString: text)), number != UInt32.max else { return nil }
    return number
  }

  private static func supplementaryGroups() throws(Errno) -> [gid_t] {
    let count = try valueOrErrno { getgroups(0, nil) }
    var groups = [gid_t](repeating: 0, count: Int(count))
    let got = try valueOrErrno { getgroups(count, &groups) }
    return Array(groups.prefix(Int(got)))
  }
}

extension Accounts {
  /// A user with the group of `/etc/passwd`; `einval` where it has no line there.
  fileprivate func entry(of user: uid_t?) throws(Errno) -> (user: uid_t, group: gid_t) {
    guard let user, let group = primaryGroup(of: user) else { throw Errno(rawValue: EINVAL) }
    return (user, group)
  }
}
