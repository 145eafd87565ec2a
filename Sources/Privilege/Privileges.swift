import CSystem
import SystemCalls

/// The rights of this process beyond those of its caller: none in effect, but around the calls that need them.
///
/// On Linux these are capabilities, and no other user's: a process that started as root goes on as its caller. A file that is
/// setuid for another user than root, or setgid, gives nothing there.
public struct Privileges: ~Copyable {
  public let caller: Caller
  let history: PolicyHistory
  #if os(Linux)
    private let held: Capabilities
    /// What was given up because no line of the policy could need it.
    let forgone: Capabilities
  #else
    private let owner: uid_t
    private let ownerGroup: gid_t
  #endif

  /// Gives up all that opening does not need, for good, and the rest until it is needed. There is no way on where that fails.
  public static func reduced(to caller: Caller) throws(Errno) -> Privileges {
    #if os(Linux)
      let held = try Capabilities.permitted().intersection(.opening)
      try forget(keeping: held, groups: false, of: caller)
      return Privileges(caller: caller, held: held)
    #else
      let privileges = Privileges(caller: caller, owner: geteuid(), ownerGroup: getegid())
      if caller.isOutranked, caller.groups == nil { try valueOrErrno { setgroups(0, nil) } }
      try privileges.lower()
      return privileges
    #endif
  }

  /// Gives up, for good, what no line of the policy can need for the caller, and the right to read a policy where none is asked.
  public consuming func narrowed() throws(Errno) -> Privileges {
    #if os(Linux)
      let kept = caller.isOutranked ? held.intersection(neededByPolicy()) : held.subtracting(.dacReadSearch)
      try Capabilities.set(permitted: kept, effective: [])
      guard try Capabilities.permitted() == kept else { throw Errno(rawValue: EPERM) }
      return Privileges(caller: caller, held: kept, forgone: held.subtracting(kept), history: history)
    #else
      return self
    #endif
  }

  /// Whether another opener has to serve the caller: this one can no longer open what the policy allows by now, or no longer log.
  public var isOutdated: Bool { history.isOutdated }

  /// Gives up, for good, all rights that the caller has not; the caller's own stay as they are.
  public static func dropped(to caller: Caller) throws(Errno) -> Privileges {
    #if os(Linux)
      if caller.isOutranked { try forget(keeping: [], groups: caller.groups != nil, of: caller) }
      return Privileges(caller: caller, held: [])
    #else
      if caller.isOutranked {
        if caller.groups == nil { try valueOrErrno { setgroups(0, nil) } }
        try valueOrErrno { procket_become(caller.user, caller.group) }
      }
      return Privileges(caller: caller, owner: caller.user, ownerGroup: caller.group)
    #endif
  }

  /// Runs a call with the caller's rights, and again with `needed` where it was refused. That the rights cannot be lowered again
  /// ends the process.
  public borrowing func raised<R: ~Copyable>(
    _ needed: Capabilities, _ call: () throws(Errno) -> R
  ) throws(Errno) -> R {
    do {
      return try call()
    } catch {
      guard error.rawValue == EPERM || error.rawValue == EACCES, canRaise(needed) else { throw error }
    }
    try raise(needed)
    defer {
      do { try lower() } catch { _exit(70) }
    }
    return try call()
  }

  #if os(Linux)
    private init(
      caller: Caller, held: Capabilities, forgone: Capabilities = [], history: PolicyHistory = PolicyHistory()
    ) {
      self.caller = caller
      self.held = held
      self.forgone = forgone
      self.history = history
    }

    borrowing func canRaise(_ needed: Capabilities) -> Bool { !held.isDisjoint(with: needed) }

    private borrowing func raise(_ needed: Capabilities) throws(Errno) {
      try Capabilities.set(permitted: held, effective: held.intersection(needed))
    }

    private borrowing func lower() throws(Errno) { try Capabilities.set(permitted: held, effective: []) }

    /// `groups`: whether the supplementary groups stay, where they are the caller's.
    private static func forget(keeping held: Capabilities, groups: Bool, of caller: Caller) throws(Errno) {
      if !groups { try dropGroups(of: caller) }
      try valueOrErrno { procket_bound_capabilities() }
      try valueOrErrno { procket_keep_capabilities(1) }
      try valueOrErrno { procket_become(caller.user, caller.group) }
      try valueOrErrno { procket_keep_capabilities(0) }
      try Capabilities.set(permitted: held, effective: [])
      guard try Capabilities.permitted() == held, getuid() == caller.user, geteuid() == caller.user,
        getgid() == caller.group, getegid() == caller.group
      else { throw Errno(rawValue: EPERM) }
    }

    private static func dropGroups(of caller: Caller) throws(Errno) {
      do throws(Errno) {
        try valueOrErrno { setgroups(0, nil) }
      } catch {
        // Without CAP_SETGID they cannot be dropped; then they are the caller's own.
        guard error.rawValue == EPERM, caller.groups != nil else { throw error }
        return
      }
      guard try valueOrErrno({ getgroups(0, nil) }) == 0 else { throw Errno(rawValue: EPERM) }
    }
  #else
    private init(caller: Caller, owner: uid_t, ownerGroup: gid_t) {
      self.caller = caller
      self.history = PolicyHistory()
      self.owner = owner
      self.ownerGroup = ownerGroup
    }

    private borrowing func canRaise(_ needed: Capabilities) -> Bool {
      caller.user != owner || caller.group != ownerGroup
    }

    private borrowing func raise(_ needed: Capabilities) throws(Errno) {
      try valueOrErrno { seteuid(owner) }
      try valueOrErrno { setegid(ownerGroup) }
    }

    private borrowing func lower() throws(Errno) {
      try valueOrErrno { setegid(caller.group) }
      try valueOrErrno { seteuid(caller.user) }
    }
  #endif
}
