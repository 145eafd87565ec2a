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

    /// The network namespace of this thread. Without proc(5) it is asked of a socket, for which the kernel wants `CAP_NET_ADMIN`.
    public static func ownNetwork() throws(Errno) -> Descriptor {
      do throws(Errno) {
        return try open("/proc/thread-self/ns/net")
      } catch {
        guard error.rawValue == ENOENT else { throw error }
      }
      let socket = try Sockets.socket(family: AF_INET, type: Sockets.datagram, protocol: 0)
      let number = socket.number
      return Descriptor(owning: try valueOrErrno { procket_ioctl(number, UInt(procket_socket_namespace), nil) })
    }

    /// Enters a namespace. The corresponding C function is `setns`.
    public static func enter(_ namespace: borrowing Descriptor, type: CInt) throws(Errno) {
      try enter(namespace.number, type: type)
    }

    /// The same with a descriptor of others'; `einval` where it is of another file.
    public static func enter(_ fd: CInt, type: CInt) throws(Errno) {
      guard procket_is_namespace(fd) != 0 else { throw Errno(rawValue: EINVAL) }
      try valueOrErrno { procket_setns(fd, type) }
    }
  }
#endif
