import CSystem
import SystemCalls

extension Surroundings {
  /// The user and group without rights: `nobody`, and the number that the kernel shows for those it cannot map.
  private static let nobody: uid_t = 65_534

  /// Gives root's rights up, for good. Others keep what they have.
  ///
  /// In a user namespace that does not have the user, root goes on without capabilities: as any user for whom a BEAM runs.
  public static func becomeNobody() throws(Errno) {
    guard geteuid() == 0 || getuid() == 0 else { return }
    #if os(Linux)
      guard try hasNobody() else { return try forgetRoot() }
    #endif
    try valueOrErrno { setgroups(0, nil) }
    try valueOrErrno { procket_become(nobody, nobody) }
    // What was given up cannot be taken back.
    if seteuid(0) == 0 { throw Errno(rawValue: EPERM) }
  }

  #if os(Linux)
    /// Whether the user namespace of this process has that user. The kernel looks at the numbers first: only where one is not mapped is it
    /// `EINVAL`, user_namespaces(7). The saved user alone changes, and with it no right.
    private static func hasNobody() throws(Errno) -> Bool {
      do throws(Errno) {
        try valueOrErrno { procket_save_user(nobody) }
        return true
      } catch {
        guard error.rawValue == EINVAL else { throw error }
        return false
      }
    }

    /// Nor do the capabilities come back by execve(2), since the bounding set is empty.
    private static func forgetRoot() throws(Errno) {
      do throws(Errno) {
        try valueOrErrno { setgroups(0, nil) }
      } catch {
        // Who made the namespace may not drop them: setgroups is denied there.
        guard error.rawValue == EPERM else { throw error }
      }
      try forgetCapabilities()
    }
  #endif
}
