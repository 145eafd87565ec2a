#if os(Linux)
  import CSystem
  import SystemCalls

  /// Root's rights, one by one: capabilities(7).
  public struct Capabilities: OptionSet, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    private init(_ number: CInt) { rawValue = 1 << UInt64(number) }

    /// To bind to low ports.
    public static let netBindService = Capabilities(CAP_NET_BIND_SERVICE)
    /// For raw and packet sockets, and to bind to an interface.
    public static let netRaw = Capabilities(CAP_NET_RAW)
    /// For some families of sockets, for some devices, for a filter on a TCP socket, and to find the way back from a namespace.
    public static let netAdmin = Capabilities(CAP_NET_ADMIN)
    /// To enter a namespace.
    public static let sysAdmin = Capabilities(CAP_SYS_ADMIN)
    /// To open a device in spite of its mode.
    public static let dacOverride = Capabilities(CAP_DAC_OVERRIDE)
    /// To read a policy that is not for everyone.
    public static let dacReadSearch = Capabilities(CAP_DAC_READ_SEARCH)

    /// All that opening needs.
    static let opening: Capabilities = [netBindService, netRaw, netAdmin, sysAdmin, dacOverride, dacReadSearch]

    /// What this process can have.
    static func permitted() throws(Errno) -> Capabilities {
      var sets = procket_capabilities()
      try valueOrErrno { procket_get_capabilities(&sets) }
      return Capabilities(rawValue: sets.permitted)
    }

    static func set(permitted: Capabilities, effective: Capabilities) throws(Errno) {
      var sets = procket_capabilities(effective: effective.rawValue, permitted: permitted.rawValue, inheritable: 0)
      try valueOrErrno { procket_set_capabilities(&sets) }
    }
  }

  extension Surroundings {
    /// Empties all sets of capabilities, for good, and ends with `eperm` where one stays. The bounding set stays where it cannot be
    /// emptied: it bounds nothing but an execve(2) that the filter kills.
    public static func forgetCapabilities() throws(Errno) {
      try valueOrErrno { procket_bound_capabilities() }
      try Capabilities.set(permitted: [], effective: [])
      var sets = procket_capabilities()
      try valueOrErrno { procket_get_capabilities(&sets) }
      guard sets.permitted | sets.effective | sets.inheritable == 0 else { throw Errno(rawValue: EPERM) }
    }
  }
#else
  extension Surroundings {
    public static func forgetCapabilities() throws(Errno) {}
  }

  /// Elsewhere there is only all or nothing: each of these stands for it.
  public struct Capabilities: OptionSet, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    public static let netBindService = Capabilities(rawValue: 1)
    public static let netRaw = netBindService
    public static let netAdmin = netBindService
    public static let sysAdmin = netBindService
    public static let dacOverride = netBindService
    public static let dacReadSearch = netBindService
  }
#endif
