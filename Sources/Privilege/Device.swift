import CSystem
import SystemCalls

/// Character devices below `/dev`.
public enum Device {
  static let directory = "/dev"
  /// The longest name, in bytes.
  public static let longestName = 200
  private static let numbered = 0...254

  /// Letters, digits and `. _ - : @ /`. One name for one device: no `..`, no `.`, no empty part.
  public static func isValid(_ name: String) -> Bool {
    name.utf8.count <= longestName && name.utf8.allSatisfy { Names.isAllowed($0, besides: "._-:@/") }
      && Names.isStraight(name.utf8)
  }

  /// Opens the device in a network namespace, or the first of its numbered ones that is not busy. A TUN device is one of the
  /// namespace in which its file was opened.
  public static func open(
    _ name: String, in namespace: String, with privileges: borrowing Privileges
  ) throws(Errno) -> Descriptor {
    let isGoverned = try privileges.permit(.device(name, namespace: namespace)).isGoverned
    return try privileges.inside(namespace, straight: isGoverned) { () throws(Errno) in
      do throws(Errno) {
        return try openOne(name, with: privileges)
      } catch {
        guard error.rawValue == ENOENT else { throw error }
      }
      return try openNumbered(name, in: namespace, with: privileges)
    }
  }

  private static func openNumbered(
    _ name: String, in namespace: String, with privileges: borrowing Privileges
  ) throws(Errno) -> Descriptor {
    var failure = Errno(rawValue: ENOENT)
    for number in numbered {
      do {
        _ = try privileges.permit(.device("\(name)\(number)", namespace: namespace))
        return try openOne("\(name)\(number)", with: privileges)
      } catch {
        switch error.rawValue {
        case ENOENT: continue
        case EBUSY: failure = error
        default: throw error
        }
      }
    }
    throw failure
  }

  private static func openOne(_ name: String, with privileges: borrowing Privileges) throws(Errno) -> Descriptor {
    let start = try openDirectory()
    let number = start.number
    let history = privileges.history
    let descriptor = try privileges.raised([.dacOverride, .netAdmin]) { () throws(Errno) in
      try openBeneath(number, name, history)
    }
    guard try Files.isCharacterDevice(descriptor.number) else { throw Errno(rawValue: ENODEV) }
    try Files.setNonblocking(descriptor.number, true)
    return descriptor
  }

  /// It only names the directory: nobody need be allowed to read it.
  private static func openDirectory() throws(Errno) -> Descriptor {
    try Files.open(directory, flags: Files.pathOnly | O_DIRECTORY | O_NOFOLLOW)
  }

  /// What is no device must not be opened for writing to find that out: it is looked at first.
  private static func openBeneath(
    _ directory: CInt, _ name: String, _ history: PolicyHistory
  ) throws(Errno) -> Descriptor {
    #if os(Linux)
      let look = Descriptor(
        owning: try valueOrErrno { procket_open_beneath(directory, name, CInt(procket_path_only) | O_CLOEXEC) })
      guard try Files.isCharacterDevice(look.number) else { throw Errno(rawValue: ENODEV) }
      let flags = O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY
      do throws(Errno) {
        let descriptor = Descriptor(owning: try valueOrErrno { procket_open_beneath(directory, name, flags) })
        guard try Files.isSame(look.number, descriptor.number) else { throw Errno(rawValue: ENODEV) }
        return descriptor
      } catch {
        if error.rawValue == EACCES, history.isBeyondReach(FileIdentity(of: look.number)) {
          history.outdate("the device is newer than this opener")
        }
        throw error
      }
    #else
      return try Files.open("/dev/\(name)", flags: O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY)
    #endif
  }
}

#if os(Linux)
  extension Device {
    /// The character devices that can be opened, each with its name and a descriptor that only names it.
    static func each(
      with privileges: borrowing Privileges, _ body: (String, CInt) throws(Errno) -> Void
    ) throws(Errno) {
      guard let start = try? openDirectory() else { return }
      let number = start.number
      func open(_ name: String, _ flags: CInt) throws(Errno) -> Descriptor {
        try privileges.raised(.dacOverride) { () throws(Errno) in
          Descriptor(owning: try valueOrErrno { procket_open_beneath(number, name, flags | O_CLOEXEC) })
        }
      }
      var directories = [""]
      while let directory = directories.popLast() {
        guard let names = try? Files.names(in: try open(directory.isEmpty ? "." : directory, O_RDONLY | O_DIRECTORY))
        else { continue }
        for name in names.map({ directory.isEmpty ? $0 : "\(directory)/\($0)" }) where isValid(name) {
          guard let file = try? open(name, Files.pathOnly), let format = try? Files.format(of: file.number)
          else { continue }
          if format == S_IFDIR { directories.append(name) }
          if format == S_IFCHR { try body(name, file.number) }
        }
      }
    }
  }
#endif

/// Names that go into system calls.
enum Names {
  static func isAllowed(_ byte: UInt8, besides others: StaticString) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      return true
    default:
      return others.withUTF8Buffer { $0.contains(byte) }
    }
  }

  /// A path with no part that is empty, `.` or `..`. In bytes: a `/` with an accent behind it is a `/` for the kernel.
  static func isStraight(_ path: some Collection<UInt8>) -> Bool {
    path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).allSatisfy { part in
      !part.isEmpty && !(part.count <= 2 && part.allSatisfy { $0 == UInt8(ascii: ".") })
    }
  }
}

extension Files {
  /// Whether two descriptors are of one file.
  fileprivate static func isSame(_ one: CInt, _ other: CInt) throws(Errno) -> Bool {
    var (first, second) = (stat(), stat())
    try valueOrErrno { fstat(one, &first) }
    try valueOrErrno { fstat(other, &second) }
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino
  }
}
