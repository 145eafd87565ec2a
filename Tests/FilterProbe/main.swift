import CSystem
import Privilege
import SystemCalls

// Takes on the filter of a role and makes one call; its errno in words. Used by the tests of the port program.

guard CommandLine.arguments.count == 3, let role = Role(rawValue: CommandLine.arguments[1]) else { exit(64) }
let hasLandlock = procket_landlock_version() > 0
do {
  let privileges = try Privileges.reduced(to: Caller())
  if role == .opener { try privileges.boundFiles() }
  try SystemCallFilter.install(role)
  if CommandLine.arguments[2] == "connect-again" { try privileges.refuseConnections() }
} catch {
  exit(71)
}
/// Opens for writing, with the call that serves devices.
func beneath(_ directory: String, _ name: String, _ flags: CInt = 0) {
  let start = procket_open(directory, O_RDONLY)
  errno = 0
  _ = procket_open_beneath(start, name, O_RDWR | flags)
}

errno = hasLandlock ? 0 : ENOTSUP
if CommandLine.arguments[2] != "landlock" { errno = 0 }
switch CommandLine.arguments[2] {
case "execve":
  var arguments: [UnsafeMutablePointer<CChar>?] = [nil]
  execv("/bin/true", &arguments)
case "setuid": setuid(getuid())
case "unlink": unlink("/nonexistent/file")
case "kill": kill(getpid(), 0)
case "spawn":
  var child: pid_t = 0
  var arguments: [UnsafeMutablePointer<CChar>?] = [nil]
  errno = posix_spawn(&child, "/bin/true", nil, nil, &arguments, nil)
case "code": mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | 0x20, -1, 0)
case "memory": mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | 0x20, -1, 0)
case "open": _ = procket_open("/nonexistent/file", O_RDONLY)
case "open-write": _ = procket_open("/dev/null", O_RDWR)
case "memory-file": _ = procket_open("/proc/self/mem", O_RDWR)
case "create": _ = procket_open("/tmp/procket-filter-probe", O_WRONLY | O_CREAT)
case "landlock": break
case "device": beneath("/dev", "null")
case "file": beneath("/etc", "passwd")
case "create-beneath": beneath("/tmp", "procket-filter-probe", O_CREAT)
case "owner": _ = procket_fcntl(0, F_SETOWN, getpid())
case "flags": _ = procket_fcntl(0, F_GETFL, 0)
case "accept": accept(-1, nil, nil)
case "accept4": _ = procket_accept(-1, nil, nil)
case "connect", "connect-again":
  do { _ = try Sockets.connect(toPath: "/nonexistent/socket".utf8) } catch { errno = error.rawValue }
case "ioctl": _ = procket_ioctl(-1, 0x5401, nil)
case "setns": _ = procket_setns(-1, 0)
case "setns-network": _ = procket_setns(-1, 0x4000_0000)
default: exit(64)
}
let result = [UInt8]((errno == 0 ? "ok" : Errno.current.name).utf8)
result.withUnsafeBytes { _ = try? Files.writeAll(1, $0) }
