import CSystem

/// Names of the system's headers and their numbers.
public struct ConstantTable: Sendable {
  private let prefixes: [StaticString]

  /// The constants whose names start with one of these; those of an earlier prefix come first. A name belongs to the last prefix that it has.
  fileprivate init(_ prefixes: [StaticString]) { self.prefixes = prefixes }

  public var count: Int {
    var count = 0
    visit { _, _ in count += 1 }
    return count
  }

  public func visit(_ body: (_ name: String, _ value: Int64) -> Void) {
    for index in prefixes.indices {
      for list in Constants.lists {
        for constant in list where prefix(of: constant.name) == index {
          body(String(cString: constant.name), constant.value)
        }
      }
    }
  }

  /// The number of a name, or nil.
  public func value(of name: String) -> Int64? {
    for list in Constants.lists {
      for constant in list where strcmp(constant.name, name) == 0 && prefix(of: constant.name) != nil {
        return constant.value
      }
    }
    return nil
  }

  /// Which of the prefixes a name has; a name with none is not of this table.
  private func prefix(of name: UnsafePointer<CChar>) -> Int? {
    prefixes.lastIndex { prefix in
      let name = UnsafeRawPointer(name)
      return prefix.withUTF8Buffer { utf8 in
        // A name that is shorter ends with a NUL, which no prefix has.
        utf8.indices.allSatisfy { name.load(fromByteOffset: $0, as: UInt8.self) == utf8[$0] }
      }
    }
  }
}

public enum Constants {
  /// Levels of socket options.
  public static let levels = ConstantTable(["SOL_", "IPPROTO_"])
  /// Options, and what else the headers name after the same protocols.
  public static let optionNames = ConstantTable([
    "SO_", "IP_", "IPV6_", "TCP_", "UDP_", "UDPLITE_", "PACKET_", "ICMP", "MCAST_", "NETLINK_", "SCM_", "CAN_RAW_",
    "SCTP_", "DCCP_",
    "TLS_", "ALG_SET_", "VSOCK_", "TIPC_", "RDS_", "XDP_", "LLC_OPT_", "MPTCP_",
    // These begin as the options of every socket do, and are others.
    "SO_EE_", "SO_VM_",
  ])
  public static let protocols = ConstantTable(["IPPROTO_"])

  /// The number of an address family: `inet`, `netlink`, …
  public static func family(_ name: String) -> CInt? {
    var count = 0
    for family in UnsafeBufferPointer(start: procket_families(&count), count: count)
    where strcmp(family.name, name) == 0 {
      return CInt(family.value)
    }
    return nil
  }

  fileprivate static var lists: [UnsafeBufferPointer<procket_constant>] {
    var libc = 0
    var kernel = 0
    return [
      UnsafeBufferPointer(start: procket_constants_libc(&libc), count: libc),
      UnsafeBufferPointer(start: procket_constants_kernel(&kernel), count: kernel),
    ]
  }
}
