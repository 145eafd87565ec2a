#if os(Linux)
  import SystemCalls
  import Testing

  /// The filters, in force: what the kernel says to a process that has one.
  @Suite struct FilterTests {
    private func result(_ role: String, _ call: String) throws -> (text: String, status: CInt) {
      let process = try PortProcess([role, call], program: "filter-probe")
      return (try process.text(), try process.end())
    }

    @Test(arguments: [
      ("opener", "memory", "ok"), ("opener", "open", "enoent"), ("opener", "setns-network", "ebadf"),
      ("worker", "memory", "ok"), ("worker", "accept4", "ebadf"), ("worker", "ioctl", "ebadf"),
      ("worker", "setns", "ebadf"),
      // A path of a Unix socket is behind a pointer: no filter bounds it. An opener that is connected makes no call of the kind.
      ("opener", "connect", "enoent"), ("opener", "connect-again", "enosys"), ("worker", "connect", "enoent"),
      ("capture", "connect", "enosys"),
      ("opener", "device", "ok"), ("opener", "flags", "ok"), ("worker", "flags", "ok"),
      ("worker", "open", "enosys"), ("worker", "open-write", "enosys"), ("worker", "memory-file", "enosys"),
      ("opener", "memory-file", "enosys"), ("capture", "memory-file", "enosys"),
      ("opener", "open-write", "enosys"), ("opener", "create", "enosys"), ("opener", "owner", "enosys"),
      ("worker", "owner", "enosys"), ("capture", "open", "enosys"), ("capture", "ioctl", "enosys"),
      ("opener", "code", "enosys"), ("opener", "unlink", "enosys"), ("opener", "kill", "enosys"),
      ("opener", "spawn", "enosys"),
      ("opener", "accept4", "enosys"), ("opener", "accept", "enosys"), ("opener", "ioctl", "enosys"),
      ("opener", "setns", "enosys"),
      ("worker", "code", "enosys"), ("worker", "unlink", "enosys"), ("worker", "kill", "enosys"),
      ("worker", "spawn", "enosys"),
    ]) func answers(_ role: String, _ call: String, _ expected: String) throws {
      let (text, status) = try result(role, call)
      #expect(text == expected && status == 0)
    }

    /// What Landlock adds, where the kernel has it: root itself opens nothing for writing but below /dev, and makes no file.
    @Test(arguments: ["file", "create-beneath"]) func landlock(_ call: String) throws {
      guard try result("worker", "landlock").text == "ok" else { return }
      let (text, status) = try result("opener", call)
      #expect(text == "eacces" && status == 0)
    }

    /// SIGSYS
    @Test(arguments: ["opener", "worker"], ["execve", "setuid"]) func kills(_ role: String, _ call: String) throws {
      let (text, status) = try result(role, call)
      #expect(text == "" && status == -31)
    }
  }
#endif
