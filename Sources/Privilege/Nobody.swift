import CSystem
import SystemCalls

extension Surroundings {
  /// The user and group without rights: `nobody`, and the number that the kernel shows for those it cannot map.
  private static let nobody: uid_t = 65_534

  /// Gives root's rights up, for good. Others keep what they have.
  public static func becomeNobody() throws(Errno) {
    guard geteuid() == 0 || getuid() == 0 else { return }
    try valueOrErrno { setgroups(0, nil) }
    try valueOrErrno { procket_become(nobody, nobody) }
    // What was given up cannot be taken back.
    if seteuid(0) == 0 { throw Errno(rawValue: EPERM) }
  }
}
