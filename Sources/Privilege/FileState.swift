import SystemCalls

/// Which file it is, for as long as there is one.
struct FileIdentity: Hashable, Sendable {
  private let device: UInt64
  private let inode: UInt64

  /// Nil where it cannot be told.
  init?(_ path: String) {
    guard let information = Privilege.information(path) else { return nil }
    self.init(information)
  }

  /// Of an open file.
  init?(of number: CInt) {
    guard let information = Privilege.information(of: number) else { return nil }
    self.init(information)
  }

  fileprivate init(_ information: stat) {
    device = UInt64(truncatingIfNeeded: information.st_dev)
    inode = UInt64(truncatingIfNeeded: information.st_ino)
  }
}

/// What tells whether a file is still the one that was read.
struct FileState: Equatable {
  private let identity: FileIdentity
  private let size: Int64
  private let changed: [Int]
  /// Whether the last change is so long ago that another one cannot have the same time.
  let isSettled: Bool

  /// Nil where it cannot be told.
  init?(_ path: String) {
    guard let information = Privilege.information(path) else { return nil }
    self.init(information)
  }

  /// Of an open file.
  init?(of number: CInt) {
    guard let information = Privilege.information(of: number) else { return nil }
    self.init(information)
  }

  private init(_ information: stat) {
    identity = FileIdentity(information)
    size = Int64(information.st_size)
    #if os(Linux)
      let times = [information.st_mtim, information.st_ctim]
    #else
      let times = [information.st_mtimespec, information.st_ctimespec]
    #endif
    changed = times.flatMap { [Int($0.tv_sec), Int($0.tv_nsec)] }
    let now = Int(time(nil))
    isSettled = times.allSatisfy { Int($0.tv_sec) < now - 2 }
  }

  static func == (one: FileState, other: FileState) -> Bool {
    one.identity == other.identity && one.size == other.size && one.changed == other.changed
  }
}

private func information(_ path: String) -> stat? {
  var information = stat()
  return (try? valueOrErrno { stat(path, &information) }) == nil ? nil : information
}

private func information(of number: CInt) -> stat? {
  var information = stat()
  return (try? valueOrErrno { fstat(number, &information) }) == nil ? nil : information
}
