import SystemCalls

extension Privileges {
  /// Opens something in a network namespace, and goes back to its own; with an empty path, here.
  ///
  /// `straight`: a policy allowed the path, so it is that of what is entered, and no symbolic link leads elsewhere.
  borrowing func inside(
    _ path: String, straight: Bool, _ open: () throws(Errno) -> Descriptor
  ) throws(Errno) -> Descriptor {
    if path.isEmpty { return try open() }
    #if os(Linux)
      if straight, !(path.utf8.first == UInt8(ascii: "/") && Names.isStraight(path.utf8.dropFirst())) {
        throw Errno(rawValue: EINVAL)
      }
      // Opened with the caller's rights: what the caller may not read, it may not name.
      let there = try openNamespace(path, straight: straight)
      let here = try raised(.netAdmin) { () throws(Errno) in try Namespace.ownNetwork() }
      try raised(.sysAdmin) { () throws(Errno) in try Namespace.enter(there, type: Namespace.network) }
      let result = Result { () throws(Errno) in try open().release() }
      do {
        try raised(.sysAdmin) { () throws(Errno) in try Namespace.enter(here, type: Namespace.network) }
      } catch {
        // In a namespace that is not its own this process is of no use to anyone.
        _exit(70)
      }
      return Descriptor(owning: try result.get())
    #else
      throw Errno(rawValue: ENOTSUP)
    #endif
  }

  #if os(Linux)
    private borrowing func openNamespace(_ path: String, straight: Bool) throws(Errno) -> Descriptor {
      do throws(Errno) {
        return try Namespace.open(path, straight: straight)
      } catch {
        if error.rawValue == EACCES { noticeNewNamespaces() }
        throw error
      }
    }
  #endif
}
