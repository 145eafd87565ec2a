import CSystem
import SystemCalls

extension Policy {
  /// Where the policy of a machine stands. It has a directory of its own: where the file is missing for a moment, as an editor saves it,
  /// the directory says that there is one.
  public static let path = directory + "/" + name
  static let directory = "/etc/procket"
  private static let name = "policy.conf"
  /// Where earlier versions looked for it.
  private static let formerPath = "/etc/procket.conf"

  /// A policy, the accounts that it names, and where it stands: nil is the one for machines that have none.
  public struct Source {
    public let policy: Policy
    public let accounts: Accounts
    let path: String?

    public var isBuiltIn: Bool { path == nil }
    public var name: String { path ?? "the built-in default" }
  }

  /// The policy that is in force. The file and its directory are root's, and nobody else may write to them. Where there is no directory,
  /// and this process has not seen one before, the built-in policy counts.
  public static func inForce(with privileges: borrowing Privileges) throws(PolicyError) -> Source {
    let file = try file(with: privileges)
    let accounts = try privileges.history.accounts()
    guard let file else { return Source(policy: builtIn, accounts: accounts, path: nil) }
    return Source(policy: try privileges.history.policy(of: file, accounts: accounts), accounts: accounts, path: path)
  }

  /// Any file as a policy, whoever it belongs to.
  public static func read(_ path: String) throws(PolicyError) -> Source {
    let bytes = try contents(of: path)
    let accounts = try Accounts.ofThisSystem()
    return Source(policy: try Policy(bytes, accounts: accounts), accounts: accounts, path: path)
  }

  /// What there is to say of a file.
  public static func report(of path: String) throws(PolicyError) -> PolicyReport {
    PolicyReport(try contents(of: path), accounts: try Accounts.ofThisSystem())
  }

  /// The same of the policy of this machine; nil where it has none. It throws where nobody would look at what it says.
  public static func report(with privileges: borrowing Privileges) throws(PolicyError) -> PolicyReport? {
    guard let file = try file(with: privileges) else { return nil }
    return PolicyReport(try contents(of: file), accounts: try privileges.history.accounts())
  }

  /// The file, open and root's alone; nil where this machine has no policy.
  private static func file(with privileges: borrowing Privileges) throws(PolicyError) -> Descriptor? {
    let fault: String
    do throws(Errno) {
      guard let directory = try openDirectory() else {
        if !privileges.history.hadPolicy, try !Files.exists(formerPath) { return nil }
        throw Errno(rawValue: ENOENT)
      }
      privileges.history.hadPolicy = true
      let number = directory.number
      if let its = try Self.fault(of: number, format: S_IFDIR) {
        fault = "its directory \(its)"
      } else {
        var attempts = 0
        let file = try privileges.raised([.dacReadSearch, .dacOverride]) { () throws(Errno) in
          attempts += 1
          return try Files.open(name, in: number, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        }
        privileges.history.takesRightToRead = attempts > 1
        guard let its = try Self.fault(of: file.number, format: S_IFREG) else { return file }
        fault = its
      }
    } catch {
      if error.rawValue == EACCES { privileges.history.noticeBeyondReach([directory]) }
      throw unreadable(error)
    }
    throw PolicyError(line: 0, reason: fault)
  }

  /// Nil where it is missing. To open it takes no right to read it.
  private static func openDirectory() throws(Errno) -> Descriptor? {
    do {
      return try Files.open(directory, flags: Files.pathOnly | O_NOFOLLOW)
    } catch {
      if error.rawValue == ENOENT { return nil }
      throw error
    }
  }

  private static func contents(of path: String) throws(PolicyError) -> [UInt8] {
    do throws(Errno) {
      let file = try Files.open(path, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
      return try Files.contents(of: file, atMost: longest + 1)
    } catch {
      throw unreadable(error)
    }
  }

  fileprivate static func contents(of file: borrowing Descriptor) throws(PolicyError) -> [UInt8] {
    do throws(Errno) {
      return try Files.contents(of: file, atMost: longest + 1)
    } catch {
      throw unreadable(error)
    }
  }

  private static func unreadable(_ error: Errno) -> PolicyError {
    var reason = PolicyError(
      line: 0, reason: error.rawValue == ELOOP ? "is a symbolic link" : "cannot be read: \(error.name)",
      isMissing: error.rawValue == ENOENT)
    reason.isForbidden = error.rawValue == EACCES
    return reason
  }

  /// Why a file or a directory is not to be trusted, or nil.
  private static func fault(of number: CInt, format: mode_t) throws(Errno) -> String? {
    var information = stat()
    try valueOrErrno { fstat(number, &information) }
    if information.st_mode & S_IFMT != format { return "is not a \(format == S_IFDIR ? "directory" : "file")" }
    if information.st_uid != 0 { return "does not belong to root" }
    if information.st_mode & 0o022 != 0 { return "can be written by others than root" }
    return nil
  }
}

/// How the policy allows a request.
struct Permission {
  /// A policy of this machine decided.
  var isGoverned = false
  /// What is opened must not receive from another interface than the one that was asked for.
  var boundsInterface = false
}

/// What an opener remembers of the policy and of what it decided.
final class PolicyHistory {
  let log = Log()
  /// About the request that is being served.
  var decision: Decision?
  /// Whether there was one: from then on its absence is no leave to open anything.
  var hadPolicy = false
  /// Whether the file is not for the caller to read.
  var takesRightToRead = false
  /// Nil where any file can be opened.
  var reach: Reach?
  /// Whether Unix sockets are opened.
  var opensUnixSockets = true
  /// Whether the policy allows by now what this opener can no longer open, or somebody else reads the log.
  var isOutdated = false
  private var known: (users: FileState, groups: FileState, accounts: Accounts)?
  private var knownPolicy: (file: FileState, policy: Policy)?

  /// The accounts of this system, read again where their files have changed.
  func accounts() throws(PolicyError) -> Accounts {
    let files = (users: FileState("/etc/passwd"), groups: FileState("/etc/group"))
    if let known, known.users == files.users, known.groups == files.groups { return known.accounts }
    let accounts: Accounts
    do throws(PolicyError) {
      accounts = try Accounts.ofThisSystem()
    } catch {
      noticeBeyondReach(["/etc/passwd", "/etc/group"])
      throw error
    }
    known = nil
    // A line of the policy names accounts.
    knownPolicy = nil
    if let users = files.users, let groups = files.groups, users.isSettled, groups.isSettled {
      known = (users, groups, accounts)
    }
    return accounts
  }

  func isBeyondReach(_ file: FileIdentity?) -> Bool { reach.map { !$0.covers(file) } ?? false }

  /// For what cannot be read: whether one of these files was replaced.
  func noticeBeyondReach(_ paths: [String]) {
    if paths.contains(where: { isBeyondReach(FileIdentity($0)) }) { isOutdated = true }
  }

  /// What was allowed is for another opener to open.
  func outdate(_ cause: String) {
    isOutdated = true
    decision = decision.map {
      Decision(
        wanted: $0.wanted, user: $0.user, cause: Decision.outdated($0.cause, cause), refusal: Refusal.outdated)
    }
  }

  /// The policy in a file, read again where the file or the accounts have changed. `accounts` are those of ``accounts()``.
  func policy(of file: borrowing Descriptor, accounts: Accounts) throws(PolicyError) -> Policy {
    let state = FileState(of: file.number)
    if let knownPolicy, knownPolicy.file == state { return knownPolicy.policy }
    knownPolicy = nil
    let policy = try Policy(try Policy.contents(of: file), accounts: accounts)
    if let state, state.isSettled, known != nil { knownPolicy = (state, policy) }
    return policy
  }
}

extension Privileges {
  /// Whether one of these rights was given up at the start.
  private borrowing func hasForgone(_ needed: Capabilities) -> Bool {
    #if os(Linux)
      return !forgone.isDisjoint(with: needed)
    #else
      return false
    #endif
  }

  /// Throws `eacces` where the policy does not allow a request of the caller; the decision is kept for the log. The policy is asked
  /// where this process has rights that its caller has not.
  borrowing func permit(_ wanted: Wanted) throws(Errno) -> Permission {
    guard caller.isOutranked else { return Permission() }
    let user: String?
    let cause: String
    let refusal: String
    do throws(PolicyError) {
      let inForce = try Policy.inForce(with: self)
      user = inForce.accounts.name(of: caller.user)
      let groups = caller.groups(in: inForce.accounts)
      let rule = inForce.policy.rule(about: wanted, user: caller.user, groups: groups)
      let line = rule.map { "line \($0.line) of \(inForce.name)" }
      if let rule, let line, rule.allows {
        if !hasForgone(rule.needs), !wanted.isUnixSocket || history.opensUnixSockets {
          history.decision = Decision(wanted: wanted, user: user, cause: line, refusal: nil)
          return Permission(
            isGoverned: !inForce.isBuiltIn, boundsInterface: rule.boundsInterface && !wanted.interface.isEmpty)
        }
        history.isOutdated = true
        cause = Decision.outdated(line, "this opener gave up rights under another policy")
        refusal = Refusal.outdated
      } else {
        cause = line.map { "\($0) denies it" } ?? "no line of \(inForce.name) allows it"
        refusal = "denied by policy"
      }
    } catch {
      user = (try? history.accounts())?.name(of: caller.user)
      cause = "\(Policy.path): \(error)"
      refusal = error.summary
      if error.isForbidden, hasForgone([.dacReadSearch, .dacOverride]) { history.isOutdated = true }
    }
    history.decision = Decision(wanted: wanted, user: user, cause: cause, refusal: refusal)
    throw Errno(rawValue: EACCES)
  }
}

extension Files {
  /// All of a file; `efbig` where it is longer.
  public static func contents(of file: borrowing Descriptor, atMost most: Int) throws(Errno) -> [UInt8] {
    let number = file.number
    var bytes: [UInt8] = []
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { room.deallocate() }
    while true {
      let count = try read(number, into: room)
      if count == 0 { return bytes }
      bytes += room[..<count]
      if bytes.count > most { throw Errno(rawValue: EFBIG) }
    }
  }
}
