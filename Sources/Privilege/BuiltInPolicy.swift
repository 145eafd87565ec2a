extension Policy {
  /// What counts on a machine without a policy: whoever may run the opener may open what it is there for, sockets and network devices.
  public static let builtInText = """
    # Sockets, on any interface and in any namespace.
    allow  *  tcp *                 on *  in *
    allow  *  udp *                 on *  in *
    allow  *  icmp                  on *  in *
    allow  *  icmp6                 on *  in *
    allow  *  raw *                 on *  in *
    allow  *  packet *              on *  in *
    allow  *  socket netlink raw *  on *  in *
    # Network devices, in any namespace, and no others.
    allow  *  device net/tun                 in *
    allow  *  device tun*                    in *
    allow  *  device tap*                    in *
    allow  *  device bpf*                    in *

    """

  static let builtIn: Policy = {
    do {
      return try Policy(Array(builtInText.utf8), accounts: Accounts(users: [], groups: []))
    } catch {
      return Policy(rules: [])
    }
  }()
}
