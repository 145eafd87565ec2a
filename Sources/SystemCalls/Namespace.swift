import CSystem

#if os(Linux)
  /// Network and other namespaces: namespaces(7).
  public enum Namespace {
    /// `CLONE_NEWNET`
    public static let network: CInt = 0x4000_0000

    /// Opens the file of a namespace; `einval` where it is another file. `straight`: through no symbolic link, else `eloop`.
    public static func open(_ path: String, straight: Bool = false) throws(Errno) -> Descriptor {
      // O_NONBLOCK: whatever stands there, opening it does not wait.
      let flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC
      let descriptor = Descriptor(
        owning: try valueOrErrno { straight ? procket_open_straight(path, flags) : procket_open(path, flags) })
      guard procket_is_namespace(descriptor.number) != 0 else { throw Errno(rawValue: EINVAL) }
      return descriptor
    }

    /// Enters a namespace. The corresponding C function is `setns`.
    public static func enter(_ namespace: borrowing Descriptor, type: CInt) throws(Errno) {
      let number = namespace.number
      try valueOrErrno { procket_setns(number, type) }
    }
  }
#endif
