import CSystem
import SystemCalls

/// The files that an opener can open: those that were there when it started. Landlock knows files, not names.
struct Reach: Sendable {
  private(set) var files: Set<FileIdentity> = []

  mutating func add(_ file: FileIdentity) { files.insert(file) }

  func covers(_ file: FileIdentity?) -> Bool { file.map { files.contains($0) } ?? true }
}

#if os(Linux)
  // What a fault in an opener cannot get past, whatever it raises: landlock(7), which needs no right, and a second filter.

  extension Privileges {
    /// What an opener reads: the accounts, and the policy, which editors replace.
    private static let readFiles = ["/etc/passwd", "/etc/group", Policy.directory]
    /// Where no namespaces are, unless a line names the directory. Those of proc(5) are in no directory for Landlock.
    private static let withoutNamespaces = ["dev", "etc", "proc", "sys"]

    /// Bounds, for good, which files this process opens, where the kernel has Landlock. With rights that its caller has not it reads the
    /// accounts, the policy and what is in the directories of namespaces, and opens the devices that a line allows its caller. Without, it
    /// writes to nothing but devices.
    public borrowing func boundFiles() throws(Errno) {
      try valueOrErrno { procket_no_new_privileges() }
      guard let ruleset = try Self.ruleset(reading: caller.isOutranked) else { return }
      let rules = ruleset.number
      if caller.isOutranked {
        let reach = try addFiles(to: rules)
        history.reach = reach
      } else {
        let devices = try Files.open(Device.directory, flags: Files.pathOnly)
        let number = devices.number
        try valueOrErrno { procket_landlock_allow(rules, number, CInt(procket_landlock_write)) }
      }
      try valueOrErrno { procket_landlock_restrict(rules) }
    }

    /// Refuses, for good, to connect to anything or to send anything elsewhere: for when the channel is connected, and the log is.
    public borrowing func refuseConnections() throws(Errno) {
      let history = history
      if caller.isOutranked { history.opensUnixSockets = policyAllowsUnixSockets() }
      try SystemCallFilter.refuseConnections(log: history.log.number, opensUnix: history.opensUnixSockets)
    }

    private borrowing func policyAllowsUnixSockets() -> Bool {
      guard let inForce = try? Policy.inForce(with: self) else { return false }
      return inForce.policy.allowsUnixSockets(for: caller.user, groups: caller.groups(in: inForce.accounts))
    }

    /// Nil where the kernel has no Landlock.
    private static func ruleset(reading: Bool) throws(Errno) -> Descriptor? {
      do throws(Errno) {
        return Descriptor(owning: try valueOrErrno { procket_landlock_ruleset(reading ? 1 : 0) })
      } catch {
        guard error.rawValue == ENOSYS || error.rawValue == EOPNOTSUPP else { throw error }
        return nil
      }
    }

    /// Whether the directory of a namespace was not there yet when this opener started.
    borrowing func noticeNewNamespaces() {
      guard history.reach != nil, let inForce = try? Policy.inForce(with: self) else { return }
      let allowed = inForce.policy.namespaceDirectories(for: caller.user, groups: caller.groups(in: inForce.accounts))
      if Self.directories(of: allowed).contains(where: { history.isBeyondReach(FileIdentity($0)) }) {
        history.outdate("the directory of the namespace is newer than this opener")
      }
    }

    /// For `/` those in it that the caller may enter: a namespace is opened with the caller's rights.
    private static func directories(of allowed: Set<String>) -> Set<String> {
      guard allowed.contains("/") else { return allowed }
      let names = (try? Files.names(in: try Files.open("/", flags: O_RDONLY | O_DIRECTORY))) ?? []
      let all = names.filter { !withoutNamespaces.contains($0) }.map { "/\($0)" }
      return allowed.subtracting(["/"]).union(all.filter { access($0, X_OK) == 0 })
    }

    private borrowing func addFiles(to rules: CInt) throws(Errno) -> Reach {
      var reach = Reach()
      func add(_ fd: CInt, _ rights: Int) throws(Errno) {
        guard let file = FileIdentity(of: fd) else { return }
        try valueOrErrno { procket_landlock_allow(rules, fd, CInt(rights)) }
        reach.add(file)
      }
      for path in Self.readFiles {
        guard let file = try? Files.open(path, flags: Files.pathOnly), let format = try? Files.format(of: file.number)
        else { continue }
        try add(file.number, Int(procket_landlock_read) | (format == S_IFDIR ? Int(procket_landlock_list) : 0))
      }
      guard let inForce = try? Policy.inForce(with: self) else { return reach }
      let (user, groups) = (caller.user, caller.groups(in: inForce.accounts))
      for path in Self.directories(of: inForce.policy.namespaceDirectories(for: user, groups: groups)) {
        guard let directory = try? Files.open(path, flags: Files.pathOnly | O_DIRECTORY) else { continue }
        try add(directory.number, Int(procket_landlock_read))
      }
      guard inForce.policy.allowsDevices(for: user, groups: groups) else { return reach }
      try Device.each(with: self) { (name, fd) throws(Errno) in
        guard inForce.policy.allowsDevice(name, for: user, groups: groups) else { return }
        try add(fd, Int(procket_landlock_read) | Int(procket_landlock_write))
      }
      return reach
    }
  }
#else
  extension Privileges {
    public borrowing func boundFiles() throws(Errno) {}
    public borrowing func refuseConnections() throws(Errno) {}
  }
#endif
