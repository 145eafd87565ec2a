import CSystem
import SystemCalls

/// What a process inherits from the one that started it, and should not trust.
public enum Surroundings {
  /// Leaves stdio open and nothing else, and no environment; a directory, a mask for files and signals that are this process's own.
  /// `keepingMask`: what this process makes, it makes for its caller.
  public static func settle(keepingMask: Bool = false) throws(Errno) {
    for number in CInt(0)...2 { try valueOrErrno { procket_fcntl(number, F_GETFD, 0) } }
    try valueOrErrno { procket_close_from(3) }
    try valueOrErrno { procket_clear_environment() }
    try valueOrErrno { procket_reset_signals() }
    if !keepingMask { umask(0o077) }
    try valueOrErrno { chdir("/") }
  }

  /// No memory that others could read, nor a core dump.
  public static func hide() throws(Errno) { try valueOrErrno { procket_undumpable() } }

  /// Bounds what this process may have open, and lets it start no other.
  public static func limit(openFiles: Int) throws(Errno) {
    try valueOrErrno { procket_limit(rlim_t(openFiles)) }
  }
}
