#if os(Linux)
  import CSystem
  import SystemCalls
  import Testing

  @testable import Privilege

  /// The programs, run by an interpreter of the few instructions that they have. The kernel runs them in the tests of Erlang.
  @Suite struct SystemCallFilterTests {
    private func run(
      _ role: Role, _ number: CInt, _ arguments: [UInt64] = [], architecture: UInt32 = SystemCallFilter.architecture
    ) -> UInt32? {
      run(SystemCallFilter.program(for: role), number, arguments, architecture: architecture)
    }

    private func run(
      _ program: [sock_filter], _ number: CInt, _ arguments: [UInt64] = [],
      architecture: UInt32 = SystemCallFilter.architecture
    ) -> UInt32? {
      var data = seccomp_data()
      data.nr = number
      data.arch = architecture
      withUnsafeMutableBytes(of: &data.args) { args in
        for (index, value) in arguments.enumerated() {
          args.storeBytes(of: value, toByteOffset: 8 * index, as: UInt64.self)
        }
      }
      var (position, accumulator) = (0, UInt32(0))
      while position < program.count {
        let instruction = program[position]
        position += 1
        let taken: Bool
        switch instruction.code {
        case 0x20:
          accumulator = withUnsafeBytes(of: data) { $0.load(fromByteOffset: Int(instruction.k), as: UInt32.self) }
          continue
        case 0x06: return instruction.k
        case 0x15: taken = accumulator == instruction.k
        case 0x35: taken = accumulator >= instruction.k
        case 0x45: taken = accumulator & instruction.k != 0
        default: return nil
        }
        position += Int(taken ? instruction.jt : instruction.jf)
      }
      return nil
    }

    @Test(arguments: Role.allCases) func whatEveryRoleNeeds(_ role: Role) {
      for number in [
        SYS_read, SYS_writev, SYS_close, SYS_brk, SYS_futex, SYS_exit_group, SYS_munmap,
      ] {
        #expect(run(role, number) == SystemCallFilter.allow)
      }
    }

    @Test(arguments: Role.allCases) func whatNobodyNeeds(_ role: Role) {
      for number in [SYS_execve, SYS_execveat, SYS_ptrace, SYS_setresuid, SYS_mount, SYS_bpf, SYS_unshare] {
        #expect(run(role, number) == SystemCallFilter.kill)
      }
      for number in [
        SYS_clone, SYS_clone3, SYS_kill, SYS_unlinkat, SYS_renameat, SYS_fchmodat, SYS_io_uring_setup, 9999,
      ] {
        #expect(run(role, CInt(number)) == SystemCallFilter.missing)
      }
    }

    @Test(arguments: Role.allCases) func anotherArchitecture(_ role: Role) {
      #expect(run(role, SYS_read, architecture: 0x4000_0003) == SystemCallFilter.kill)
      #if arch(x86_64)
        #expect(run(role, SYS_read | 0x4000_0000) == SystemCallFilter.kill)
        #expect(run(role, -1) == SystemCallFilter.kill)
      #endif
    }

    @Test(arguments: Role.allCases) func memoryNeverBecomesCode(_ role: Role) {
      #expect(run(role, SYS_mmap, [0, 4096, 3]) == SystemCallFilter.allow)
      #expect(run(role, SYS_mmap, [0, 4096, 7]) == SystemCallFilter.missing)
      #expect(run(role, SYS_mmap, [0, 4096, 4]) == SystemCallFilter.missing)
      #expect(run(role, SYS_mprotect, [0, 4096, 1]) == SystemCallFilter.missing)
    }

    @Test func anOpenerOnlyOpens() {
      #expect(run(.opener, SYS_setns, [5, 0x4000_0000]) == SystemCallFilter.allow)
      #expect(run(.opener, SYS_setns, [5, 0x1000_0000]) == SystemCallFilter.missing)
      #expect(run(.opener, SYS_setns, [5, 0]) == SystemCallFilter.missing)
      #expect(run(.opener, SYS_ioctl, [5, UInt64(SIOCGIFINDEX)]) == SystemCallFilter.allow)
      #expect(run(.opener, SYS_ioctl, [5, UInt64(procket_socket_namespace)]) == SystemCallFilter.allow)
      #expect(run(.opener, SYS_ioctl, [5, UInt64(SIOCGIFNAME)]) == SystemCallFilter.allow)
      #expect(run(.opener, SYS_ioctl, [5, UInt64(SIOCGIFADDR)]) == SystemCallFilter.missing)
      #expect(run(.opener, SYS_capset) == SystemCallFilter.allow)
      for number in [SYS_recvmsg, SYS_recvfrom, SYS_accept4, SYS_dup3, SYS_epoll_ctl] {
        #expect(run(.opener, number) == SystemCallFilter.missing)
        #expect(run(.worker, number) == SystemCallFilter.allow)
      }
      #expect(run(.worker, SYS_capset) == SystemCallFilter.missing)
    }

    @Test func anOpenerOpensNoFileForWriting() {
      #expect(run(.opener, SYS_openat, [0, 0, UInt64(O_RDONLY | O_CLOEXEC | O_DIRECTORY)]) == SystemCallFilter.allow)
      for flags in [O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, 0o20_200_000] {
        #expect(run(.opener, SYS_openat, [0, 0, UInt64(flags)]) == SystemCallFilter.missing)
      }
    }

    /// The address is behind a pointer; how long it is, is not.
    @Test func anOpenerSendsToWhereItIsConnected() {
      #expect(run(.opener, SYS_sendto, [3, 4096, 1, 0, 0, 0]) == SystemCallFilter.allow)
      #expect(run(.opener, SYS_sendto, [3, 4096, 1, 0, 8192, 110]) == SystemCallFilter.missing)
      #expect(run(.worker, SYS_sendto, [3, 4096, 1, 0, 8192, 110]) == SystemCallFilter.allow)
      for role in [Role.opener, .worker] {
        #expect(run(role, SYS_socketpair, [1, UInt64(Sockets.pairType)]) == SystemCallFilter.allow)
        #expect(run(role, SYS_socketpair, [1, UInt64(Sockets.datagram)]) == SystemCallFilter.missing)
      }
    }

    @Test(arguments: [-1, 3] as [CInt], [false, true]) func aConnectedOpenerConnectsToNothing(
      _ log: CInt, _ opensUnix: Bool
    ) {
      let program = SystemCallFilter.programForConnected(log: log, opensUnix: opensUnix)
      let (allow, missing) = (SystemCallFilter.allow, SystemCallFilter.missing)
      for number in [SYS_connect, SYS_seccomp] { #expect(run(program, number, [5, 4096, 110]) == missing) }
      #expect(run(program, SYS_sendmsg, [3, 4096]) == (log == 3 ? missing : allow))
      #expect(run(program, SYS_sendmsg, [4, 4096]) == allow)
      #expect(run(program, SYS_socket, [UInt64(AF_UNIX), 2]) == (opensUnix ? allow : missing))
      #expect(run(program, SYS_socket, [UInt64(AF_INET), 2]) == allow)
      for number in [SYS_read, SYS_openat2, SYS_bind] { #expect(run(program, number) == allow) }
    }

    @Test func anotherFilterHasNoFlags() {
      #expect(run(.opener, SYS_seccomp, [1, 0, 4096]) == SystemCallFilter.allow)
      #expect(run(.opener, SYS_seccomp, [1, 8, 4096]) == SystemCallFilter.missing)
      for role in [Role.worker, .capture] { #expect(run(role, SYS_seccomp, [1, 0, 4096]) == SystemCallFilter.missing) }
    }

    @Test(arguments: Role.allCases) func controlsNoSignals(_ role: Role) {
      for command in [F_GETFL, F_SETFL] {
        #expect(run(role, SYS_fcntl, [3, UInt64(command)]) == SystemCallFilter.allow)
      }
      for command in [F_SETOWN, 10, 15, F_SETLK, F_DUPFD] {
        #expect(run(role, SYS_fcntl, [3, UInt64(command)]) == SystemCallFilter.missing)
      }
    }

    @Test func noCallThatTheRoleDoesNotMake() {
      for number in [
        SYS_getpeername, SYS_shutdown, SYS_memfd_create, SYS_ftruncate, SYS_pread64, SYS_pwrite64, SYS_preadv,
        SYS_pwritev, SYS_lseek, SYS_dup, SYS_eventfd2,
      ] {
        for role in Role.allCases { #expect(run(role, number) == SystemCallFilter.missing) }
      }
      for number in [SYS_openat, SYS_socket, SYS_connect, SYS_listen, SYS_socketpair] {
        #expect(run(.capture, number) == SystemCallFilter.missing)
      }
      #expect(run(.capture, SYS_ioctl, [3, 0x5401]) == SystemCallFilter.missing)
      #expect(run(.capture, SYS_ioctl, [3, UInt64(SIOCGIFINDEX)]) == SystemCallFilter.allow)
    }

    /// /proc/self/mem would be memory that becomes code; other files below /proc are memory and environments of others.
    @Test func aWorkerOpensNoFile() {
      for number in [SYS_openat, SYS_openat2, SYS_open_by_handle_at, SYS_pidfd_getfd] {
        #expect(run(.worker, CInt(number)) == SystemCallFilter.missing)
      }
      for number in [SYS_process_vm_readv, SYS_process_vm_writev] {
        #expect(run(.worker, number) == SystemCallFilter.kill)
      }
    }

    /// For relative paths, for a descriptor of the same open file, and to ask without proc(5) whether a descriptor is still the same.
    @Test func aWorkerAlone() {
      for role in Role.allCases {
        let expected = role == .worker ? SystemCallFilter.allow : SystemCallFilter.missing
        for number in [SYS_chdir, SYS_kcmp] { #expect(run(role, number) == expected) }
        #expect(run(role, SYS_fcntl, [3, UInt64(F_DUPFD_CLOEXEC)]) == expected)
      }
    }

    @Test func aCaptureSharesMemoryWithItsReaderAlone() {
      #expect(run(.capture, SYS_vmsplice, [1, 0, 1, 0]) == SystemCallFilter.allow)
      #expect(run(.capture, SYS_vmsplice, [4, 0, 1, 0]) == SystemCallFilter.missing)
      for role in [Role.opener, .worker] { #expect(run(role, SYS_vmsplice, [1, 0, 1, 0]) == SystemCallFilter.missing) }
    }
  }
#endif
