import CSystem
import SystemCalls

/// Character devices below `/dev`.
public enum Device {
  /// The longest name, in bytes.
  public static let longestName = 200
  private static let numbered = 0...254

  /// Letters, digits and `. _ - : @ /`, no `..`, not empty, not absolute.
  public static func isValid(_ name: String) -> Bool {
    guard !name.isEmpty, name.utf8.count <= longestName, !name.hasPrefix("/") else { return false }
    return name.utf8.allSatisfy { Names.isAllowed($0, besides: "._-:@/") }
      && !name.split(separator: "/").contains("..")
  }

  /// Opens the device, or the first of its numbered ones that is not busy.
  public static func open(_ name: String, with privileges: borrowing Privileges) throws(Errno) -> Descriptor {
    do {
      return try openOne(name, with: privileges)
    } catch {
      guard error.rawValue == ENOENT else { throw error }
    }
    var failure = Errno(rawValue: ENOENT)
    for number in numbered {
      do {
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
    let directory = try Files.open("/dev", flags: O_RDONLY | O_DIRECTORY)
    let descriptor = try beneath(directory, name, with: privileges)
    guard try Files.isCharacterDevice(descriptor.number) else { throw Errno(rawValue: ENODEV) }
    try Files.setNonblocking(descriptor.number, true)
    return descriptor
  }

  /// A directory or another file that is no device must not be opened for writing to find that out: it is looked at first.
  private static func beneath(
    _ directory: borrowing Descriptor, _ name: String, with privileges: borrowing Privileges
  ) throws(Errno) -> Descriptor {
    let start = directory.number
    return try privileges.raised { () throws(Errno) in
      #if os(Linux)
        let look = Descriptor(
          owning: try valueOrErrno { procket_open_beneath(start, name, CInt(procket_path_only) | O_CLOEXEC) })
        guard try Files.isCharacterDevice(look.number) else { throw Errno(rawValue: ENODEV) }
        let flags = O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY
        return Descriptor(owning: try valueOrErrno { procket_open_beneath(start, name, flags) })
      #else
        return try Files.open("/dev/\(name)", flags: O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY)
      #endif
    }
  }
}

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
}
