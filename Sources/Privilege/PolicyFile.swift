import CSystem
import SystemCalls

extension Policy {
  /// Where the policy of a machine stands.
  public static let path = "/etc/procket.conf"

  /// The policy that is in force and the accounts that it names; nil where there is none. It is root's, and nobody else may write to it.
  public static func inForce(
    with privileges: borrowing Privileges
  ) throws(PolicyError) -> (policy: Policy, accounts: Accounts)? {
    let bytes: [UInt8]
    let fault: String?
    do throws(Errno) {
      let file = try privileges.raised(.dacOverride) { () throws(Errno) in try open(path) }
      fault = try Self.fault(of: file)
      bytes = try Files.contents(of: file, atMost: longest + 1)
    } catch {
      if error.rawValue == ENOENT { return nil }
      throw PolicyError(
        line: 0, reason: error.rawValue == ELOOP ? "is a symbolic link" : "cannot be read: \(error.name)")
    }
    if let fault { throw PolicyError(line: 0, reason: fault) }
    let accounts = try Accounts.ofThisSystem()
    return (try Policy(bytes, accounts: accounts), accounts)
  }

  /// Any file as a policy, whoever it belongs to.
  public static func read(_ name: String) throws(PolicyError) -> Policy {
    let bytes: [UInt8]
    do throws(Errno) {
      bytes = try Files.contents(of: try open(name), atMost: longest + 1)
    } catch {
      throw PolicyError(line: 0, reason: "cannot be read: \(error.name)")
    }
    return try Policy(bytes, accounts: try Accounts.ofThisSystem())
  }

  private static func open(_ name: String) throws(Errno) -> Descriptor {
    try Files.open(name, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  }

  /// Why a file is not to be trusted, or nil.
  private static func fault(of file: borrowing Descriptor) throws(Errno) -> String? {
    var information = stat()
    let number = file.number
    try valueOrErrno { fstat(number, &information) }
    if information.st_mode & S_IFMT != S_IFREG { return "is not a file" }
    if information.st_uid != 0 { return "does not belong to root" }
    if information.st_mode & 0o022 != 0 { return "can be written by others than root" }
    return nil
  }
}

extension Privileges {
  /// Throws `eacces` where the policy does not allow a request of the caller, and writes a line to the log. The policy is asked where
  /// this process has rights that its caller has not. Whether there is one is returned.
  borrowing func permit(_ wanted: Wanted) throws(Errno) -> Bool {
    guard caller.isOutranked else { return false }
    var name: String?
    let refusal: String
    do throws(PolicyError) {
      guard let (policy, accounts) = try Policy.inForce(with: self) else { return false }
      name = accounts.name(of: caller.user)
      let groups = caller.groups ?? accounts.groups(of: caller.user) + [caller.group]
      if let rule = policy.rule(about: wanted, user: caller.user, groups: groups) {
        if rule.allows { return true }
        refusal = "line \(rule.line) of \(Policy.path) denies it"
      } else {
        refusal = "no line of \(Policy.path) allows it"
      }
    } catch {
      refusal = "\(Policy.path): \(error)"
    }
    Log.refused("\(name ?? "a user") (uid \(caller.user)) may not open \(wanted): \(refusal)")
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
