import CSystem

/// An open descriptor that belongs to its holder, who closes it or gives it away.
public struct Descriptor: ~Copyable {
  public let number: CInt

  /// Takes over a descriptor that nobody else closes.
  public init(owning number: CInt) { self.number = number }

  deinit { _ = close(number) }

  /// Gives the descriptor away without closing it.
  public consuming func release() -> CInt {
    let number = number
    discard self
    return number
  }
}

/// A descriptor that may not be open yet.
public struct LateDescriptor: ~Copyable {
  private var descriptor: Descriptor?
  /// -1 as long as it is not open.
  public private(set) var number: CInt = -1

  public init() {}

  public mutating func open(_ new: consuming Descriptor) {
    number = new.number
    descriptor = consume new
  }

  public mutating func close() { _ = take() }

  /// Gives the descriptor away; nil where none is open.
  public mutating func take() -> Descriptor? {
    number = -1
    return descriptor.take()
  }
}

/// Several open descriptors that belong to their holder. A single one takes no memory.
public struct Descriptors: ~Copyable {
  public private(set) var numbers = DescriptorNumbers()

  public init() {}

  deinit { closeAll() }

  public var count: Int { numbers.count }

  public mutating func append(_ descriptor: consuming Descriptor) {
    numbers.append(descriptor.release())
  }

  /// Moves all of `others` behind these.
  public mutating func append(_ others: consuming Descriptors) {
    for number in others.numbers { numbers.append(number) }
    others.numbers = DescriptorNumbers()
  }

  /// Closes all.
  public mutating func removeAll() {
    closeAll()
    numbers = DescriptorNumbers()
  }

  /// Gives the first of these away.
  public mutating func takeFirst() -> Descriptor? {
    guard let first = numbers.first else { return nil }
    numbers = DescriptorNumbers(Array(numbers.dropFirst()))
    return Descriptor(owning: first)
  }

  /// Moves the first `count` of these to another holder.
  public mutating func takeFirst(_ count: Int) -> Descriptors {
    guard count < numbers.count else { return takeAll() }
    var taken = Descriptors()
    taken.numbers = DescriptorNumbers(Array(numbers.prefix(count)))
    numbers = DescriptorNumbers(Array(numbers.dropFirst(count)))
    return taken
  }

  /// Moves all of these to another holder.
  public mutating func takeAll() -> Descriptors {
    var taken = Descriptors()
    taken.numbers = numbers
    numbers = DescriptorNumbers()
    return taken
  }

  private func closeAll() {
    for number in numbers { _ = close(number) }
  }
}

/// The numbers of descriptors that belong to somebody else.
public struct DescriptorNumbers: RandomAccessCollection {
  private var first: CInt?
  private var others: [CInt] = []

  public init() {}

  public init(_ numbers: [CInt]) {
    for number in numbers { append(number) }
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { first == nil ? 0 : 1 + others.count }

  public subscript(index: Int) -> CInt {
    if index == 0, let first { return first }
    return others[index - 1]
  }

  fileprivate mutating func append(_ number: CInt) {
    if first == nil { first = number } else { others.append(number) }
  }
}

/// The calls on descriptors of any kind.
public enum Files {
  /// Reads into `buffer`; 0 at the end of file. The corresponding C function is `read`.
  public static func read(_ fd: CInt, into buffer: UnsafeMutableRawBufferPointer) throws(Errno) -> Int {
    try valueOrErrno { systemRead(fd, buffer.baseAddress, buffer.count) }
  }

  /// Writes some of `bytes`; of none, nothing, where `write` would send an empty datagram. The corresponding C function is `writev`.
  public static func write(_ fd: CInt, _ bytes: UnsafeRawBufferPointer) throws(Errno) -> Int {
    var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
    return try valueOrErrno { writev(fd, &vector, 1) }
  }

  /// Writes all of `bytes`, however long it takes.
  public static func writeAll(_ fd: CInt, _ bytes: UnsafeRawBufferPointer) throws(Errno) {
    var rest = bytes
    while !rest.isEmpty {
      do {
        let count = try write(fd, rest)
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      } catch {
        guard error.rawValue == EAGAIN else { throw error }
        try wait(for: fd, CInt(POLLOUT))
      }
    }
  }

  /// Waits until one of `events` has come. The corresponding C function is `poll`.
  public static func wait(for fd: CInt, _ events: CInt) throws(Errno) {
    var entry = pollfd(fd: fd, events: Int16(truncatingIfNeeded: events), revents: 0)
    try valueOrErrno { poll(&entry, 1, -1) }
  }

  /// Opens a file, close-on-exec. The corresponding C function is `open`.
  public static func open(_ path: String, flags: CInt) throws(Errno) -> Descriptor {
    Descriptor(owning: try valueOrErrno { procket_open(path, flags | O_CLOEXEC) })
  }

  /// Another descriptor of the same open file, close-on-exec. The corresponding C function is `fcntl`.
  public static func duplicate(_ fd: CInt) throws(Errno) -> Descriptor {
    Descriptor(owning: try valueOrErrno { procket_fcntl(fd, F_DUPFD_CLOEXEC, 0) })
  }

  /// Makes relative paths mean those in a directory. The corresponding C function is `chdir`.
  public static func changeDirectory(to path: String) throws(Errno) {
    try valueOrErrno { chdir(path) }
  }

  /// The same as ``open(_:flags:)``, below a directory. The corresponding C function is `openat`.
  public static func open(_ name: String, in directory: CInt, flags: CInt) throws(Errno) -> Descriptor {
    Descriptor(owning: try valueOrErrno { procket_open_in(directory, name, flags | O_CLOEXEC) })
  }

  #if os(Linux)
    /// A descriptor that only names a file.
    public static let pathOnly = CInt(procket_path_only)
  #else
    public static let pathOnly = O_RDONLY
  #endif

  /// Whether there is a file, of whatever kind, or a link. The corresponding C function is `lstat`.
  public static func exists(_ path: String) throws(Errno) -> Bool {
    var information = stat()
    do {
      try valueOrErrno { lstat(path, &information) }
    } catch {
      if error.rawValue == ENOENT { return false }
      throw error
    }
    return true
  }

  /// Sets or clears `O_NONBLOCK`. The corresponding C function is `fcntl`.
  public static func setNonblocking(_ fd: CInt, _ on: Bool) throws(Errno) {
    let flags = try statusFlags(fd)
    let wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
    if wanted != flags { try valueOrErrno { procket_fcntl(fd, F_SETFL, wanted) } }
  }

  /// Runs a call that must not wait: where the descriptor is in blocking mode, that is off for so long. The mode belongs to the open
  /// file, so whoever shares it sees the same for a moment.
  @discardableResult
  public static func withoutBlocking<R: ~Copyable>(_ fd: CInt, _ call: () throws(Errno) -> R) throws(Errno) -> R {
    let flags = try statusFlags(fd)
    if flags & O_NONBLOCK != 0 { return try call() }
    try valueOrErrno { procket_fcntl(fd, F_SETFL, flags | O_NONBLOCK) }
    defer { _ = procket_fcntl(fd, F_SETFL, flags) }
    return try call()
  }

  private static func statusFlags(_ fd: CInt) throws(Errno) -> CInt {
    try valueOrErrno { procket_fcntl(fd, F_GETFL, 0) }
  }

  /// What kind of file it is: `S_IFMT`.
  public static func format(of fd: CInt) throws(Errno) -> mode_t {
    var information = stat()
    try valueOrErrno { fstat(fd, &information) }
    return information.st_mode & S_IFMT
  }

  public static func isCharacterDevice(_ fd: CInt) throws(Errno) -> Bool { try format(of: fd) == S_IFCHR }

  /// Controls a device. The kernel writes into `argument`. The corresponding C function is `ioctl`.
  public static func ioctl(_ fd: CInt, request: UInt64, argument: UnsafeMutableRawPointer?) throws(Errno) {
    try valueOrErrno { procket_ioctl(fd, UInt(truncatingIfNeeded: request), argument) }
  }
}

// The function of the C library whose name is also that of the method above.
private func systemRead(_ fd: CInt, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
  read(fd, buffer, count)
}
