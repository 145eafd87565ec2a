import SystemCalls

/// The users and groups of `/etc/passwd` and `/etc/group`, read directly: getpwnam(3) would load what nsswitch.conf names into a
/// privileged process. Users and groups that are kept elsewhere have numbers, and a policy can name those.
public struct Accounts: Sendable {
  /// The lines of the two files.
  private let users: [ArraySlice<UInt8>]
  private let groups: [ArraySlice<UInt8>]

  /// The contents of the two files.
  public init(users: [UInt8], groups: [UInt8]) {
    self.users = users.split(separator: UInt8(ascii: "\n"))
    self.groups = groups.split(separator: UInt8(ascii: "\n"))
  }

  /// Read with whatever rights there are; both files are for everyone.
  public static func ofThisSystem() throws(PolicyError) -> Accounts {
    Accounts(users: try contents("/etc/passwd"), groups: try contents("/etc/group"))
  }

  private static func contents(_ path: String) throws(PolicyError) -> [UInt8] {
    do throws(Errno) {
      return try Files.contents(of: try Files.open(path, flags: O_RDONLY), atMost: 16 << 20)
    } catch {
      throw PolicyError(line: 0, reason: "\(path) cannot be read: \(error.name)")
    }
  }

  /// What is written as a number and not as a name, as in sudoers(5): `#1001`.
  static func number(_ word: String) -> UInt32? {
    word.hasPrefix("#") ? decimal(word.dropFirst()) : nil
  }

  /// A user by name or number, and the groups.
  public func identity(of user: String) -> (user: uid_t, groups: [gid_t])? {
    (Self.number(user) ?? self.user(named: user)).map { ($0, groups(of: $0)) }
  }

  func user(named name: String) -> uid_t? { Self.entry(named: name, in: users).flatMap { Self.number($0, 2) } }

  func group(named name: String) -> gid_t? { Self.entry(named: name, in: groups).flatMap { Self.number($0, 2) } }

  func hasGroup(_ number: gid_t) -> Bool { groups.contains { Self.number(Self.fields($0), 2) == number } }

  /// A user's name, or nil.
  func name(of user: uid_t) -> String? {
    for line in users {
      let fields = Self.fields(line)
      if Self.number(fields, 2) == user, let name = fields.first, !name.isEmpty {
        return String(decoding: name, as: UTF8.self)
      }
    }
    return nil
  }

  /// The group of a user in `/etc/passwd`.
  func primaryGroup(of user: uid_t) -> gid_t? {
    name(of: user).flatMap { Self.entry(named: $0, in: users) }.flatMap { Self.number($0, 3) }
  }

  /// All groups of a user, the one of `/etc/passwd` too.
  func groups(of user: uid_t) -> [gid_t] {
    guard let name = name(of: user) else { return [] }
    var all: [gid_t] = []
    if let primary = primaryGroup(of: user) { all.append(primary) }
    for line in groups {
      let fields = Self.fields(line)
      guard fields.count >= 4, let number = Self.number(fields, 2) else { continue }
      if fields[3].split(separator: UInt8(ascii: ",")).contains(where: { $0.elementsEqual(name.utf8) }) {
        all.append(number)
      }
    }
    return all
  }

  private static func entry(named name: String, in lines: [ArraySlice<UInt8>]) -> [ArraySlice<UInt8>]? {
    for line in lines where line.starts(with: name.utf8) {
      let fields = fields(line)
      if let first = fields.first, !first.isEmpty, first.elementsEqual(name.utf8) { return fields }
    }
    return nil
  }

  private static func fields(_ line: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
    line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
  }

  private static func number(_ fields: [ArraySlice<UInt8>], _ index: Int) -> UInt32? {
    guard index < fields.count else { return nil }
    return decimal(String(decoding: fields[index], as: UTF8.self))
  }
}
