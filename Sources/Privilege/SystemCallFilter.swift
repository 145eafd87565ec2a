import CSystem
import SystemCalls

/// What a process is there for. A new role is a case here and a list of system calls below.
public enum Role: String, CaseIterable, Sendable {
  case opener
  case worker
  case capture
}

#if os(Linux)
  /// The system calls that a process needs once it has been set up: seccomp(2). All others are refused by the kernel.
  public enum SystemCallFilter {
    /// A call that is let through, perhaps only with a certain argument.
    public struct Call: Sendable {
      enum Condition: Sendable {
        case always
        /// The lower half of an argument, counted from 0, is one of these.
        case oneOf([UInt32])
        /// None of these bits is set in it.
        case without(UInt32)
      }

      let number: CInt
      let argument: Int
      let condition: Condition

      init(_ number: CInt, argument: Int = 0, _ condition: Condition = .always) {
        self.number = number
        self.argument = argument
        self.condition = condition
      }
    }

    /// Lets only the calls of a role through from here on. There is no way back.
    public static func install(_ role: Role) throws(Errno) {
      try valueOrErrno { procket_no_new_privileges() }
      try install(program(for: role))
    }

    /// Refuses an opener, from here on, what only its start needs: it is connected, to its caller and to the log, and connects to nothing
    /// else. Nor does it send a datagram anywhere: the socket of the log takes no message with an address, which is behind a pointer, and
    /// there is another datagram socket of the family only where it `opensUnix`.
    static func refuseConnections(log: CInt, opensUnix: Bool) throws(Errno) {
      try install(programForConnected(log: log, opensUnix: opensUnix))
    }

    private static func install(_ program: [sock_filter]) throws(Errno) {
      try program.withUnsafeBufferPointer { (instructions) throws(Errno) in
        let base = instructions.baseAddress
        try valueOrErrno { procket_filter_system_calls(base, UInt16(clamping: instructions.count)) }
      }
    }

    static func calls(of role: Role) -> [Call] {
      switch role {
      case .opener: runtime + streams + sockets + opening
      case .worker: runtime + streams + sockets + plain([SYS_sendto]) + descriptors
      case .capture: runtime + streams + capturing
      }
    }

    /// `PROT_EXEC`: no memory becomes code.
    private static let executable: UInt32 = 4
    private static let newNetwork: UInt32 = 0x4000_0000

    /// What the C library and the Swift runtime do by themselves: memory, a lock, the time where the kernel's vDSO is not mapped, a
    /// message before a trap; and that the kernel goes on with a poll(2) after a stop.
    private static let runtime: [Call] =
      [Call(SYS_mmap, argument: 2, .without(executable))]
      + plain([
        SYS_brk, SYS_munmap, SYS_mremap, SYS_futex, SYS_clock_gettime, SYS_write, SYS_restart_syscall, SYS_exit_group,
      ])

    /// Requests and answers.
    private static let streams: [Call] =
      plain([
        SYS_read, SYS_writev, SYS_close, SYS_bind, SYS_setsockopt, SYS_getsockopt, SYS_getsockname,
      ]) + polling

    /// Sockets of its own, and the connections.
    private static let sockets: [Call] =
      [Call(SYS_socketpair, argument: 1, .oneOf([UInt32(Sockets.pairType)]))]
      + plain([
        SYS_fstatfs, SYS_socket, SYS_connect, SYS_listen, SYS_sendmsg, SYS_getpid, SYS_sched_yield,
        SYS_sched_getaffinity,
      ])

    /// What a file is. Which of these fstat(3) makes is the C library's.
    private static let status: [Call] = plain([SYS_fstat, SYS_newfstatat])

    /// The commands of fcntl(2) that are used: none that sends signals or locks.
    private static func controls(_ commands: [CInt]) -> Call {
      Call(SYS_fcntl, argument: 1, .oneOf(commands.map { UInt32($0) }))
    }

    /// `O_ACCMODE`, `O_CREAT`, `O_TRUNC` and `O_TMPFILE` without `O_DIRECTORY`.
    private static let writing = UInt32(O_ACCMODE | O_CREAT | O_TRUNC | 0o20_000_000)

    private static let opening: [Call] =
      [
        Call(SYS_setns, argument: 1, .oneOf([newNetwork])),
        // Index and name of an interface, and which namespace a socket is in.
        Call(
          SYS_ioctl, argument: 1,
          .oneOf([SIOCGIFINDEX, SIOCGIFNAME, CInt(procket_socket_namespace)].map { UInt32($0) })),
        // Devices are opened with openat2(2), whose flags are behind a pointer.
        Call(SYS_openat, argument: 2, .without(writing)), controls([F_GETFL, F_SETFL]),
        // To where its socket is connected: without an address.
        Call(SYS_sendto, argument: 5, .oneOf([0])),
        // Another filter, without flags.
        Call(SYS_seccomp, argument: 1, .oneOf([0])),
      ] + plain([SYS_openat2, SYS_capset]) + status

    /// A worker makes any call on descriptors for its caller. It opens no file: proc(5) has the memory of processes in some, its own
    /// and the BEAM's.
    private static let descriptors: [Call] =
      [controls([F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC])]
      + plain([
        SYS_accept4, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg, SYS_sendmmsg, SYS_ioctl, SYS_setns, SYS_dup3,
        SYS_epoll_create1, SYS_epoll_ctl, SYS_prlimit64, SYS_kcmp, SYS_chdir,
      ]) + watching

    /// Packets of one descriptor, and what its interface is.
    private static let capturing: [Call] =
      [
        // Batches, to stdout alone.
        Call(SYS_vmsplice, .oneOf([1])), controls([F_SETFD, F_GETFL, F_SETFL]),
        // What an interface is, and whether all batches were read.
        Call(
          SYS_ioctl, argument: 1,
          .oneOf([SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFMTU, SIOCGIFHWADDR, CInt(FIONREAD)].map { UInt32($0) })),
      ] + plain([SYS_recvmsg, SYS_recvmmsg, SYS_recvfrom, SYS_sendto, SYS_sendmmsg]) + status

    // aarch64 never had the older ones.
    #if arch(x86_64)
      private static let polling = plain([SYS_poll])
      private static let watching = plain([SYS_epoll_wait, SYS_readlink])
    #else
      private static let polling = plain([SYS_ppoll])
      private static let watching = plain([SYS_epoll_pwait, SYS_readlinkat])
    #endif

    private static func plain(_ numbers: [CInt]) -> [Call] { numbers.map { Call($0) } }

    /// What no version of a library does by itself: to try it is an attack, and ends the process.
    private static let deadly: [CInt] = [
      SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_setuid, SYS_setresuid,
      SYS_setreuid, SYS_setgid, SYS_setresgid, SYS_setregid, SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot,
      SYS_bpf, SYS_init_module, SYS_finit_module, SYS_kexec_load, SYS_unshare,
    ]
  }

  // The program: seccomp(2), "struct seccomp_data" is what it reads.
  extension SystemCallFilter {
    static func program(for role: Role) -> [sock_filter] {
      var program = [
        load(offset(of: \.arch)),
        jump(equal, architecture, ifTrue: 1, ifFalse: 0),
        finish(kill),
        load(offset(of: \.nr)),
      ]
      #if arch(x86_64)
        // Numbers of the x32 ABI.
        program += [jump(greaterOrEqual, 0x4000_0000, ifTrue: 0, ifFalse: 1), finish(kill)]
      #endif
      for number in deadly { program += [jump(equal, UInt32(number), ifTrue: 0, ifFalse: 1), finish(kill)] }
      for call in calls(of: role) {
        let allowed: [sock_filter]
        switch call.condition {
        case .always:
          allowed = [finish(allow)]
        case .oneOf(let values):
          allowed =
            [load(argument(call.argument))]
            + values.indices.map { index in
              let left = values.count - 1 - index
              return jump(equal, values[index], ifTrue: UInt8(left), ifFalse: left == 0 ? 1 : 0)
            } + [finish(allow), refuse]
        case .without(let bits):
          allowed = [load(argument(call.argument)), jump(anySet, bits, ifTrue: 1, ifFalse: 0), finish(allow), refuse]
        }
        program += [jump(equal, UInt32(call.number), ifTrue: 0, ifFalse: UInt8(allowed.count))] + allowed
      }
      return program + [refuse]
    }

    /// On top of that of an opener.
    static func programForConnected(log: CInt, opensUnix: Bool) -> [sock_filter] {
      var program = [load(offset(of: \.nr))]
      for number in [SYS_connect, SYS_seccomp] {
        program += [jump(equal, UInt32(number), ifTrue: 0, ifFalse: 1), refuse]
      }
      var refused: [(number: CInt, first: CInt)] = []
      if log >= 0 { refused.append((SYS_sendmsg, log)) }
      if !opensUnix { refused.append((SYS_socket, AF_UNIX)) }
      for (number, first) in refused {
        program += [
          jump(equal, UInt32(number), ifTrue: 0, ifFalse: 4), load(argument(0)),
          jump(equal, UInt32(first), ifTrue: 0, ifFalse: 1), refuse, finish(allow),
        ]
      }
      return program + [finish(allow)]
    }

    static let allow = UInt32(SECCOMP_RET_ALLOW)
    static let kill = UInt32(0x8000_0000)
    /// `ENOSYS`: a newer library that finds a call missing takes an older one.
    static let missing = UInt32(SECCOMP_RET_ERRNO) | UInt32(ENOSYS)
    private static var refuse: sock_filter { finish(missing) }

    #if arch(x86_64)
      static let architecture: UInt32 = 0xc000_003e
    #elseif arch(arm64)
      static let architecture: UInt32 = 0xc000_00b7
    #endif

    // Of linux/bpf_common.h: BPF_LD | BPF_W | BPF_ABS, BPF_JMP with BPF_JEQ, BPF_JGE, BPF_JSET, and BPF_RET.
    private static let equal: UInt16 = 0x15
    private static let greaterOrEqual: UInt16 = 0x35
    private static let anySet: UInt16 = 0x45

    private static func load(_ offset: Int) -> sock_filter { sock_filter(code: 0x20, jt: 0, jf: 0, k: UInt32(offset)) }

    private static func jump(_ code: UInt16, _ value: UInt32, ifTrue: UInt8, ifFalse: UInt8) -> sock_filter {
      sock_filter(code: code, jt: ifTrue, jf: ifFalse, k: value)
    }

    private static func finish(_ action: UInt32) -> sock_filter { sock_filter(code: 0x06, jt: 0, jf: 0, k: action) }

    private static func offset(of field: PartialKeyPath<seccomp_data>) -> Int {
      MemoryLayout<seccomp_data>.offset(of: field) ?? 0
    }

    /// The lower half; both architectures have that first.
    private static func argument(_ index: Int) -> Int { offset(of: \.args) + 8 * index }
  }
#else
  public enum SystemCallFilter {
    public static func install(_ role: Role) throws(Errno) {}
  }
#endif
