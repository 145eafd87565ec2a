"""A hostile caller of a privileged opener: hostile.py SCENARIO OPENER USER DIRECTORY

Speaks docs/protocol.md by itself. Started as root, in a machine of procket_machine; what stands in as_user runs as USER, whom the
policy allows udp 53 and devices below race/. DIRECTORY belongs to root, DIRECTORY/home to USER. Exits with 0 when all held.
"""
import array
import contextlib
import ctypes
import errno
import fcntl
import os
import pwd
import random
import re
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import traceback

SCENARIO, OPENER, USER, DIRECTORY = sys.argv[1:5]
HOME = DIRECTORY + "/home"
WHO = pwd.getpwnam(USER)
SECRET = bytes(range(32))
UDP = 17
# An ICMP echo request.
ECHO = struct.pack(">BBHHH", 8, 0, 0x2a2b, 1, 1) + b"echo"


# Terms: the external format of Erlang.
def atom(name):
    return b"w" + bytes([len(name)]) + name.encode()


def integer(number):
    return b"b" + struct.pack(">i", number)


def binary(data):
    return b"m" + struct.pack(">I", len(data)) + data


def tuple_(*elements):
    return b"h" + bytes([len(elements)]) + b"".join(elements)


def list_(*elements):
    return b"l" + struct.pack(">I", len(elements)) + b"".join(elements) + b"j" if elements else b"j"


def map_(**values):
    return b"t" + struct.pack(">I", len(values)) + b"".join(atom(key) + value for key, value in values.items())


def frame(term):
    """As stdin and stdout have it."""
    return struct.pack(">H", len(term) + 1) + b"\x83" + term


def long_frame(term):
    """As a connection has it."""
    return struct.pack(">I", len(term) + 1) + b"\x83" + term


def rights(*numbers):
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers))]


def request(function, *arguments, number=1):
    return tuple_(integer(number), atom(function), list_(*arguments))


def socket_request(family=2, kind=2, protocol=UDP, port=53, interface=b"", namespace=b"", backlog=None):
    listens = {} if backlog is None else {"backlog": integer(backlog)}
    return map_(family=integer(family), type=integer(kind), protocol=integer(protocol), port=integer(port),
                interface=binary(interface), namespace=binary(namespace), **listens)


def device(name, namespace=b""):
    return map_(name=binary(name), namespace=binary(namespace))


def error(reason):
    return tuple_(integer(1), tuple_(atom("error"), atom(reason)))


def badarg(which):
    return tuple_(integer(1), tuple_(atom("error"), tuple_(atom("badarg"), which)))


OK = tuple_(integer(1), atom("ok"), b"a\x01")


def check(condition, *what):
    if not condition:
        raise AssertionError(what)


def become_user():
    os.setgroups([])
    os.setresgid(WHO.pw_gid, WHO.pw_gid, WHO.pw_gid)
    os.setresuid(WHO.pw_uid, WHO.pw_uid, WHO.pw_uid)


def as_user(body):
    """Runs body in a process of USER; its failure is ours."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            become_user()
            body()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    _, status = os.waitpid(child, 0)
    check(status == 0, "as user", status)


class Connection:
    """The node's end of a connection."""

    def __init__(self, end):
        self.socket = end
        self.socket.setblocking(True)
        self.got = bytearray()
        self.came = []

    def send(self, data, numbers=()):
        """Takes in what comes meanwhile: the other side waits for that."""
        rest, control = memoryview(data), rights(*numbers) if numbers else []
        while rest:
            readable, writable, _ = select.select([self.socket], [self.socket], [], 60)
            check(readable or writable, "takes nothing")
            if readable:
                self.take()
            if writable:
                rest = rest[self.socket.sendmsg([rest[:65536]], control, socket.MSG_DONTWAIT):]
                control = []

    def take(self):
        try:
            data, control, _, _ = self.socket.recvmsg(1 << 16, 4096)
        except ConnectionResetError:
            # It ended with a request unread.
            return False
        for level, kind, content in control:
            check((level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS))
            self.came += array.array("i", content).tolist()
        self.got += data
        return data != b""

    def receive(self, timeout=60):
        """The next answer; None at the end."""
        while True:
            end = 4 + struct.unpack(">I", self.got[:4])[0] if len(self.got) >= 4 else 4
            if len(self.got) >= end > 4:
                body = bytes(self.got[5:end])
                del self.got[:end]
                return body
            check(select.select([self.socket], [], [], timeout)[0], "no answer")
            if not self.take():
                return None

    def ask(self, function, *arguments, numbers=()):
        self.send(long_frame(request(function, *arguments)), numbers)
        return self.receive()

    def descriptors(self):
        """All that have come so far."""
        came, self.came = self.came, []
        return came

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Opener:
    """An opener, started and spoken to."""
    program, role = OPENER, "opener"

    def __init__(self, **options):
        self.directory = HOME + "/run%d" % random.randrange(1 << 30)
        os.mkdir(self.directory, 0o700)
        self.path = self.directory + "/s"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.connection = None
        self.process = self.start(**options)

    def start(self, **options):
        return subprocess.Popen([self.program, self.role], stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)

    def send(self, data):
        """To stdin."""
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def receive(self, timeout=20):
        """From stdout."""
        def exactly(count):
            data = b""
            while len(data) < count:
                check(select.select([self.process.stdout], [], [], timeout)[0], "no answer")
                more = os.read(self.process.stdout.fileno(), count - len(data))
                if not more:
                    return None
                data += more
            return data
        header = exactly(2)
        if header is None:
            return None
        body = exactly(struct.unpack(">H", header)[0])
        return None if body is None else body[1:]

    def ask_input(self, function, *arguments):
        self.send(frame(request(function, *arguments)))
        return self.receive()

    def ask(self, function, *arguments, numbers=()):
        return self.connection.ask(function, *arguments, numbers=numbers)

    def descriptors(self):
        return self.connection.descriptors()

    def attach(self, path=None):
        answer = self.ask_input("attach", binary((path or self.path).encode()), binary(SECRET), integer(0))
        if path is None:
            check(atom("ok") in answer, answer)
            end, _ = self.listener.accept()
            check(end.recv(32) == SECRET, "secret")
            self.connection = Connection(end)
        return answer

    def direct(self):
        """A new direct connection."""
        check(self.ask("direct") == OK)
        [number] = self.descriptors()
        return Connection(socket.socket(fileno=number))

    def status(self, name):
        with open("/proc/%d/status" % self.process.pid) as file:
            return re.search(r"^%s:[ \t]*(.*)$" % name, file.read(), re.M).group(1)

    def peak(self):
        """The most memory that it had, in MiB."""
        return int(self.status("VmHWM").split()[0]) // 1024

    def alive(self):
        return self.process.poll() is None

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            raise AssertionError("does not end")


def opens_what_is_allowed(opener):
    """Still does what it is there for, and nothing else."""
    if opener.connection is None:
        opener.attach()
    check(opener.ask("open", socket_request()) == OK, "udp 53")
    only_udp_53(opener.descriptors(), 1)
    check(opener.ask("open", socket_request(port=54)) == error("eacces"), "udp 54")
    check(opener.ask("open", socket_request(17, 3, 8, 0)) == error("eacces"), "packet")
    check(opener.ask("dev", device(b"private")) == error("eacces"), "device")


def only_udp_53(numbers, count=None):
    check(count is None or len(numbers) == count, numbers)
    for number in numbers:
        with socket.socket(fileno=number) as got:
            check((got.family, got.type & 15, got.getsockname()[1]) == (socket.AF_INET, 2, 53), got)


def snapshot():
    """What there is below DIRECTORY, but the test's own things."""
    found = {}
    for root, directories, files in os.walk(DIRECTORY):
        for name in directories + files:
            path = os.path.join(root, name)
            if not path.startswith(HOME + "/run"):
                information = os.lstat(path)
                found[path] = (information.st_mode, information.st_uid, information.st_size, information.st_mtime_ns)
    for path in [HOME, DIRECTORY + "/dev"]:
        found.pop(path, None)
    return found


def closed_stdio():
    def attack():
        for closed in [[0], [1], [2], [0, 1], [0, 1, 2]]:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                read, write = os.pipe()
                os.write(write, frame(request("open", socket_request())))
                os.dup2(read, 0)
                os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
                for number in [read, write] + closed:
                    os.close(number)
                os.execv(OPENER, [OPENER, "opener"])
            _, status = os.waitpid(child, 0)
            check(os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, 71), closed, status)
        # A name that is not the program's, and no name at all.
        for arguments in [[" ", "opener"], ["x" * 100000, "opener"], ["opener"]]:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.execv(OPENER, arguments)
            _, status = os.waitpid(child, 0)
            check(os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, 64), arguments[0][:5], status)
    as_user(attack)


def inherited_descriptors():
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    look = []
    log = log_of_root()

    def attack():
        opened = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(1000)]

        def lower():
            # A limit below what is open: what is above it has to be closed too.
            for number in opened:
                os.set_inheritable(number, True)
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        opener = Opener(close_fds=False, preexec_fn=lower)
        opens_what_is_allowed(opener)
        check(opener.status("FDSize") is not None)
        print("pid", opener.process.pid, flush=True)
        sys.stdin.readline()
        check(opener.end() == 0)
    # Root looks at what is open.
    read, write = os.pipe()
    read2, write2 = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 1)
        os.dup2(read2, 0)
        sys.stdin = os.fdopen(0)
        as_user(attack)
        os._exit(0)
    line = os.fdopen(read).readline()
    pid = line.split()[1]
    look = sorted(int(name) for name in os.listdir("/proc/%s/fd" % pid))
    links = [os.readlink("/proc/%s/fd/%d" % (pid, number)) for number in look]
    os.write(write2, b"go\n")
    _, status = os.waitpid(child, 0)
    check(status == 0, status)
    log.close()
    check(look[:3] == [0, 1, 2] and len(look) == 5 and all(link.startswith("socket:") for link in links[3:]), look, links)


def environment():
    os.mkdir(DIRECTORY + "/roots", 0o700)
    before = snapshot()

    def attack():
        script = HOME + "/run-me"
        with open(script, "w") as file:
            file.write("#!/bin/sh\nid > %s/ran\n" % HOME)
        os.chmod(script, 0o755)
        for target in [HOME + "/out", DIRECTORY + "/roots/out", "/etc/out"]:
            hostile = {
                "LD_PRELOAD": script, "LD_AUDIT": script, "LD_LIBRARY_PATH": HOME, "LD_DEBUG": "all", "LD_DEBUG_OUTPUT": target,
                "LD_PROFILE_OUTPUT": target, "LD_BIND_NOW": "1",
                "GLIBC_TUNABLES": "glibc.malloc.check=3", "MALLOC_CHECK_": "3", "MALLOC_TRACE": target, "MALLOC_PERTURB_": "165",
                "MALLOC_ARENA_MAX": "0", "TMPDIR": HOME, "LOCPATH": HOME, "NLSPATH": HOME + "/%N", "GCONV_PATH": HOME,
                "HOSTALIASES": "/etc/shadow", "RESOLV_HOST_CONF": "/etc/shadow", "TZ": "/etc/shadow", "TZDIR": HOME,
                "SWIFT_BACKTRACE": "enable=yes,output-to=%s,swift-backtrace=%s" % (target, script), "SWIFT_ROOT": HOME,
                "SWIFT_DEBUG_HELP": "YES", "SWIFT_DEBUG_ENABLE_METADATA_ALLOCATION_ITERATION": "1",
                "SWIFT_DEBUG_ENABLE_MALLOC_SCRIBBLE": "1", "SWIFT_DETERMINISTIC_HASHING": "1", "HOME": HOME, "PATH": HOME,
                "A" * 60000: "B" * 60000,
            }
            opener = Opener(env=hostile, stderr=subprocess.PIPE)
            opens_what_is_allowed(opener)
            check(opener.end() == 0)
            check(opener.process.stderr.read() == b"", "said something")
            # What glibc's loader answers by itself: it may say something, or not start the program at all.
            for name in ["LD_PROFILE", "LD_TRACE_LOADED_OBJECTS", "LD_VERBOSE", "LD_WARN", "LD_SHOW_AUXV"]:
                subprocess.run([OPENER, "opener"], env={**hostile, name: "libc.so.6"}, stdin=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=20)
        os.remove(script)
    as_user(attack)
    after = snapshot()
    check(after == before, set(after.items()) ^ set(before.items()))


def forged_sudo():
    """A real user who is not root cannot say to be another."""
    def attack():
        for user in ["0", "4294967295", "-1", "x", str(WHO.pw_uid + 1)]:
            opener = Opener(env={"SUDO_UID": user, "SUDO_GID": user, "SUDO_USER": "root"})
            opens_what_is_allowed(opener)
            check(opener.status("Uid").split() == [str(WHO.pw_uid)] * 4, user)
            check(opener.end() == 0)
    as_user(attack)
    # Root can, and loses by it; a number that is none is refused.
    for user, status in [(str(WHO.pw_uid), 0), ("4294967295", 71), ("-1", 71), ("x", 71), ("", 71)]:
        with subprocess.Popen([OPENER, "opener"], stdin=subprocess.PIPE, env={"SUDO_UID": user, "SUDO_GID": user}) as process:
            if status == 0:
                time.sleep(0.5)
                with open("/proc/%d/status" % process.pid) as file:
                    check("Uid:\t%s\t%s\t%s\t%s" % ((user,) * 4) in file.read(), user)
            process.stdin.close()
            check(process.wait(20) == status, user)


class Prefixed(Opener):
    """An opener that runs as root, started by USER through a prefix that sets these variables. What it reads from is USER's."""

    def __init__(self, **variables):
        self.environment = variables
        os.seteuid(WHO.pw_uid)
        super().__init__()

    def start(self, **options):
        # A pipe belongs to whoever makes it.
        read, write = os.pipe()
        os.seteuid(0)
        process = subprocess.Popen([OPENER, "opener"], stdin=read, stdout=subprocess.PIPE, env=self.environment)
        os.close(read)
        process.stdin = os.fdopen(write, "wb")
        return process


class Started(Opener):
    """An opener of USER, started and seen by root."""

    def __init__(self):
        os.seteuid(WHO.pw_uid)
        super().__init__(preexec_fn=become_user)

    def start(self, **options):
        os.seteuid(0)
        return super().start(**options)


def prefixes():
    """Root's rights through doas, pkexec, su and others: the caller is still USER, or nobody is served."""
    user = str(WHO.pw_uid)
    path = DIRECTORY + "/roots"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(5)
    for variables in [{"DOAS_USER": USER}, {"PKEXEC_UID": user}, {"SUDO_UID": user, "SUDO_GID": user},
                      {"DOAS_USER": USER, "PKEXEC_UID": user}]:
        opener = Prefixed(**variables)
        check(opener.attach(path) == error("eacces"), variables)
        opens_what_is_allowed(opener)
        check(opener.status("Uid").split() == [user] * 4, variables)
        check(opener.status("Gid").split() == [str(WHO.pw_gid)] * 4, variables)
        check(opener.end() == 0)
    daemon = pwd.getpwnam("daemon")
    for variables in [
            # su, and others that nobody knows.
            {}, {"USER": "root", "LOGNAME": "root"},
            # What a prefix passes on of the caller's own, beside what it sets.
            {"DOAS_USER": USER, "SUDO_UID": "0", "SUDO_GID": "0"}, {"PKEXEC_UID": user, "DOAS_USER": "root"},
            # Nobody set it but the caller.
            {"SUDO_UID": "0", "SUDO_GID": "0"}, {"DOAS_USER": "root"}, {"PKEXEC_UID": "0"},
            {"DOAS_USER": "daemon"}, {"SUDO_UID": str(daemon.pw_uid), "SUDO_GID": str(daemon.pw_gid)},
            # No user.
            {"DOAS_USER": "nobody-here"}, {"DOAS_USER": ""}, {"DOAS_USER": user}, {"PKEXEC_UID": "x"}, {"PKEXEC_UID": "+0"},
            {"PKEXEC_UID": "4294967295"}, {"PKEXEC_UID": "3999999999"}]:
        opener = Prefixed(**variables)
        with contextlib.suppress(BrokenPipeError):
            answer = opener.attach(path)
            check(answer is None, variables, answer)
        check(opener.process.wait(20) == 71, variables)
    check(not select.select([listener], [], [], 0.5)[0], "connected to what only root can reach")
    # Root's own opener serves root.
    with subprocess.Popen([OPENER, "opener"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}) as process:
        process.stdin.write(frame(request("attach", binary(path.encode()), binary(SECRET), integer(0))))
        process.stdin.flush()
        connection, _ = listener.accept()
        check(connection.recv(100) == SECRET)
        process.stdin.close()


def secret_of_another_length():
    def attack():
        opener = Opener()
        for length in [0, 1, 31, 33, 256]:
            answer = opener.ask_input("attach", binary(opener.path.encode()), binary(bytes(length)), integer(0))
            check(answer == badarg(b"a\x02"), length, answer)
        check(not select.select([opener.listener], [], [], 0.2)[0], "connected")
        opens_what_is_allowed(opener)
        opener.end()
    as_user(attack)


def unreadable_directory():
    os.mkdir(DIRECTORY + "/deep")
    os.mkdir(DIRECTORY + "/deep/er")

    def attack():
        os.chdir(DIRECTORY + "/deep/er")
        print(".", flush=True)
        time.sleep(0.5)
        opener = Opener()
        opens_what_is_allowed(opener)
        check(opener.end() == 0)
        gone = HOME + "/gone"
        os.mkdir(gone)
        os.chdir(gone)
        os.rmdir(gone)
        opener = Opener()
        opens_what_is_allowed(opener)
        check(opener.end() == 0)
    threading.Timer(0.25, lambda: os.chmod(DIRECTORY + "/deep", 0)).start()
    as_user(attack)


def listen_as_root(path, mode):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, mode)
    listener.listen(64)
    return listener


def log_of_root():
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    os.chmod("/dev/log", 0o666)
    return log


def socket_of_another():
    """Whom it connects to is told nothing, if it is not its caller."""
    path = DIRECTORY + "/others"
    listener = listen_as_root(path, 0o666)

    def attack():
        opener = Opener()
        check(opener.attach(path) == error("eacces"))
        check(opener.ask_input("open", socket_request()) == error("enotconn"))
        opens_what_is_allowed(opener)
        check(opener.end() == 0)
    as_user(attack)
    connection, _ = listener.accept()
    check(connection.recv(100) == b"", "the secret was told")


def socket_race():
    """A path that changes between the caller's socket and a link to one that only root can reach."""
    os.mkdir(DIRECTORY + "/roots", 0o700)
    listener = listen_as_root(DIRECTORY + "/roots/s", 0o666)

    def attack():
        opener = Opener()
        path = opener.directory + "/race"
        opener.listener.listen(10000)
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for target in [DIRECTORY + "/roots/s", opener.path, "/dev/log"]:
                    with contextlib.suppress(FileNotFoundError):
                        os.symlink(target, path + ".new")
                        os.rename(path + ".new", path)
        thread = threading.Thread(target=swap)
        thread.start()
        answers = set()
        try:
            while len(answers) < 3 and not any(atom("ok") in answer for answer in answers):
                answers.add(opener.attach(path))
        finally:
            stop.set()
            thread.join()
        allowed = {error(reason) for reason in ["eacces", "enoent", "econnrefused", "eprototype", "eagain"]}
        check(all(answer in allowed or atom("ok") in answer for answer in answers), answers)
        opener.end()
    as_user(attack)
    check(not select.select([listener], [], [], 0.5)[0], "connected to what only root can reach")


def device_race():
    """A name that changes between a device and a link to another, a FIFO, a file."""
    directory = DIRECTORY + "/dev/race"
    os.mkdir(directory)
    os.mknod(directory + "/good", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.chmod(directory + "/good", 0o666)
    os.chmod(directory, 0o777)

    def attack():
        opener = Opener()
        opener.attach()
        os.mkfifo(directory + "/fifo")
        os.close(os.open(directory + "/file", os.O_CREAT | os.O_WRONLY))
        os.symlink("../private", directory + "/link")
        os.symlink("/etc/shadow", directory + "/shadow")
        os.symlink("..", directory + "/up")
        for name in [b"race/link", b"race/shadow"]:
            check(opener.ask("dev", device(name)) == error("eloop"), name)
        check(opener.ask("dev", device(b"race/up/private")) in (error("eacces"), error("eloop")))
        for name in [b"race/fifo", b"race/file"]:
            check(opener.ask("dev", device(name)) == error("enodev"), name)
        stop = threading.Event()

        def swap():
            names = ["good", "link", "fifo", "file", "shadow"]
            while not stop.is_set():
                for name in names:
                    # What stands under one name changes places with what stands under the other.
                    os.rename(directory + "/" + name, directory + "/x")
                    os.rename(directory + "/x", directory + "/" + name)
        thread = threading.Thread(target=swap)
        thread.start()
        seen = set()
        try:
            for _ in range(4000):
                answer = opener.ask("dev", device(b"race/x"))
                seen.add(answer)
                if answer == OK:
                    for number in opener.descriptors():
                        information = os.fstat(number)
                        os.close(number)
                        check(stat.S_ISCHR(information.st_mode) and information.st_rdev == os.makedev(1, 3), information)
        finally:
            stop.set()
            thread.join()
        check(seen <= {OK} | {error(reason) for reason in ["eloop", "enodev", "enoent", "eagain", "eacces"]}, seen)
        check(len(seen) > 1, seen)
        opener.end()
    as_user(attack)


def other_file_system():
    """What is mounted below /dev, such as /dev/shm, is no device, and whether there is something is not told."""
    os.mkdir("/dev/race")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/dev/race"], check=True)
    os.mknod("/dev/race/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mkdir("/dev/race/secret", 0o700)
    open("/dev/race/secret/there", "w").close()

    def attack():
        opener = Opener()
        opener.attach()
        for name in [b"race/null", b"race/secret/there", b"race/secret/missing", b"race/missing"]:
            answer = opener.ask("dev", device(name))
            check(answer == error("exdev" if name.count(b"/") == 1 else "eacces"), name, answer)
        check(opener.end() == 0)
    as_user(attack)


def nobody_reads_what_is_printed():
    """A full pipe keeps a process that prints: one with no rights."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(write, bytes(4096))
    for arguments in [["--help"], ["--version"], ["--explain"], ["--explain", "root", "udp 53"], ["--check-policy", "/nothing"], [], ["nothing"],
                      ["opener", "x"]]:
        process = subprocess.Popen([OPENER] + arguments, stdout=write, stderr=write, preexec_fn=become_user)
        try:
            deadline = time.monotonic() + 20
            waits = None
            while time.monotonic() < deadline:
                with open("/proc/%d/status" % process.pid) as file:
                    status = file.read()
                with open("/proc/%d/comm" % process.pid) as file:
                    name = file.read().strip()
                waits = re.search(r"^State:\s*(.)", status, re.M).group(1) == "S" and name != "python3"
                user = re.search(r"^Uid:\s*(.*)$", status, re.M).group(1).split()
                held = [int(re.search(r"^Cap%s:\s*(.*)$" % kind, status, re.M).group(1), 16) for kind in ("Prm", "Eff")]
                if waits and user == [str(WHO.pw_uid)] * 4 and held == [0, 0]:
                    break
                check(process.poll() is None, "ended", arguments)
                time.sleep(0.01)
            else:
                raise AssertionError((arguments, status))
        finally:
            process.kill()
            process.wait()


def random_frames():
    def attack():
        chance = random.Random(4711)
        opener = Opener()
        opener.attach()
        valid = [request("open", socket_request()), request("dev", device(b"net/tun")), request("capture", map_(type=integer(3))),
                 request("attach", binary(b"x"), binary(b"y"), integer(0))]
        for turn in range(20000):
            if turn % 4 < 2:
                body = bytes(chance.randrange(256) for _ in range(chance.randrange(40)))
            else:
                body = bytearray(b"\x83" + chance.choice(valid))
                for _ in range(chance.randrange(1, 4)):
                    body[chance.randrange(len(body))] = chance.randrange(256)
            if turn % 2:
                opener.send(struct.pack(">H", len(body)) + body)
                answer = opener.receive()
            else:
                opener.connection.send(struct.pack(">I", len(body)) + body)
                answer = opener.connection.receive()
            check(answer is not None, "ended", body)
            only_udp_53(opener.descriptors())
        check(opener.peak() < 60, opener.peak())
        opens_what_is_allowed(opener)
        check(opener.end() == 0)
    as_user(attack)


def huge_terms():
    def attack():
        opener = Opener()
        opener.attach()
        deep = b"h\x01" * 30000 + b"j"
        lists = b"l\x00\x00\x00\x01" * 10000 + b"j" * 10001
        maps = b"t\x00\x00\x00\x01a\x01" * 8000 + b"j"
        keys = b"t" + struct.pack(">I", 8000) + b"".join(atom("%04d" % n) + b"j" for n in range(8000))
        counts = [b"h\xff" + b"a\x01" * 255, b"i\xff\xff\xff\xff", b"l\xff\xff\xff\xffj", b"t\xff\xff\xff\xff", b"m\xff\xff\xff\xff",
                  b"o\xff\xff\xff\xff", b"n\xff" + b"\xff" * 256, b"d\xff\xff" + b"a" * 60000, b"k\xff\xff" + b"a" * 60000]
        for term in [deep, lists, maps, keys] + counts:
            for function in ["open", "dev", "capture", "attach"]:
                check(opener.ask(function, term) is not None, "ended", term[:4])
                check(opener.ask_input(function, term) is not None, "ended", term[:4])
        check(opener.peak() < 60, opener.peak())
        # An opener is asked for nothing that is longer.
        with opener.direct() as direct:
            direct.send(struct.pack(">I", 65536) + bytes(1000))
            with contextlib.suppress(ConnectionResetError):
                check(direct.receive() is None, "takes it")
        opens_what_is_allowed(opener)
        opener.end()
    as_user(attack)


class Flooded(Opener):
    """A worker or a capture that gets more than any caller of the API sends."""

    # The file as it was built: a worker of a setuid file is hidden, and cannot look at its own descriptors.
    program = os.path.dirname(OPENER) + "/priv/procket"

    def __init__(self, role):
        self.role = role
        super().__init__()
        self.number = 0
        self.attach()
        # What is told unasked.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def settle(self):
        """Until all that was sent is answered; what came, but for the mark."""
        self.number += 1
        self.connection.send(long_frame(request("counters", number=self.number)))
        answers = []
        while True:
            answer = self.connection.receive()
            if answer.startswith(b"h\x02" + integer(self.number)):
                return answers
            answers.append(answer)

    def flood(self, function, *arguments, fds=()):
        """Sends a request that may have 16 MiB; the start of its answer."""
        self.number += 1
        self.connection.send(long_frame(request(function, *arguments, number=self.number)), fds)
        answer = self.connection.receive()
        check(answer[2:].startswith(integer(self.number)), answer[:60])
        return answer[7:60]


def many(count, element):
    return b"l" + struct.pack(">I", count) + element * count + b"j"


LONGEST = (1 << 24) - 200


def error_of(name):
    return tuple_(atom("error"), atom(name))


def worker_memory():
    """Below 64 MiB without what alloc asks for, and below 192 MiB after all that can be asked for; a request for more has an answer."""
    def attack():
        # PR_SET_DUMPABLE: a worker looks whether what is waited for is still open here.
        check(ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0)
        worker = Flooded("worker")
        empty = binary(b"")
        call = tuple_(atom("x"), b"j", b"j")
        for function, arguments in [
                ("alloc", [many(LONGEST // len(empty), empty), b"j"]),
                ("alloc", [many(LONGEST // 14, tuple_(atom("ptr"), b"a\x00")), b"j"]),
                ("free", [many(LONGEST // 2, b"a\x01")]),
                ("batch", [many(LONGEST // len(call), call)]),
                ("batch", [list_(tuple_(atom("x"), b"j", many(LONGEST // 2, b"a\x00")))]),
                ("batch", [list_(tuple_(atom("batch"), list_(many(LONGEST // len(call), call)), b"j"))])]:
            answer = worker.flood(function, *arguments)
            check(error_of("e2big") in answer, function, answer)
            check(worker.peak() < 64, function, worker.peak())
        # Short requests, long answers.
        calls = many(60000, tuple_(atom("constants"), list_(atom("socket_optname")), b"j"))
        answer = worker.flood("batch", calls)
        check(error_of("emsgsize") in answer, answer)
        check(worker.peak() < 64, "answers", worker.peak())
        nested = tuple_(atom("batch"), list_(many(1000, tuple_(atom("constants"), list_(atom("socket_optname")), b"j"))), b"j")
        worker.flood("batch", many(5, nested))
        check(worker.peak() < 64, "nested", worker.peak())
        # With a descriptor.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            fds = [udp.fileno()]
            pair = tuple_(empty, empty)
            control = tuple_(b"a\x00", b"a\x00", empty)
            for function, arguments, reason in [
                    ("sendmmsg", [many(LONGEST // len(pair), pair), b"a\x00"], "e2big"),
                    ("sendmsg", [empty, b"a\x00", many(LONGEST // len(control), control), empty], "e2big"),
                    ("ioctl", [b"a\x00", binary(bytes(LONGEST - 100))], "enotty"),
                    ("getsockopt", [b"a\x01", b"a\x03", binary(bytes(LONGEST - 100))], None),
                    ("write", [binary(bytes(LONGEST - 100))], None)]:
                answer = worker.flood(function, *arguments, fds=fds)
                check(reason is None or error_of(reason) in answer, function, answer)
                check(worker.peak() < 64, function, worker.peak())
            # Waits.
            refused = 0
            for event in range(40):
                calls = [tuple_(atom("select"), list_(integer(fds[0]), atom("read"), tuple_(integer(event), integer(n), binary(bytes(500)))), list_(b"a\x00"))
                         for n in range(2000)]
                answer = worker.flood("batch", list_(*calls), fds=fds)
                refused += error_of("enomem") in answer
            check(refused > 0, "waits without end")
            check(worker.peak() < 64, "select", worker.peak())
        # Both connections at once, and answers that nobody reads yet.
        worker.flood("alloc", list_(tuple_(atom("ptr"), integer(15 << 20))), list_(integer(4000000)))
        with worker.direct() as direct:
            for end in [worker.connection, direct]:
                end.socket.sendall(long_frame(request("buf", integer(4000000))) * 3)
            for end in [direct, worker.connection]:
                for _ in range(3):
                    check(len(end.receive()) > 15 << 20)
        worker.flood("free", list_(integer(4000000)))
        check(worker.peak() < 64 + 15, "unread answers", worker.peak())
        # And now all that may be allocated: in blocks without bytes, which take memory too, then in large ones.
        handle = 1
        while True:
            handles = list_(*[integer(n) for n in range(handle, handle + 20000)])
            answer = worker.flood("alloc", many(20000, tuple_(atom("ptr"), b"a\x00")), handles)
            if error_of("enomem") in answer:
                break
            handle += 20000
            check(handle < 2000000, "blocks without end")
        check(worker.peak() < 128, "blocks", worker.peak())
        for start in range(1, handle, 20000):
            worker.flood("free", list_(*[integer(n) for n in range(start, start + 20000)]))
        check(atom("ok") in worker.flood("alloc", list_(tuple_(atom("ptr"), integer(60 << 20))), list_(integer(5000000))))
        check(error_of("enomem") in worker.flood("alloc", list_(tuple_(atom("ptr"), integer(5 << 20))), list_(integer(5000001))))
        check(error_of("emsgsize") in worker.flood("buf", integer(5000000)))
        worker.flood("batch", many(60000, tuple_(atom("constants"), list_(atom("socket_optname")), b"j")))
        check(worker.peak() < 192, "all", worker.peak())
        print(worker.peak())
        check(worker.end() == 0)
    as_user(attack)


def capture_memory():
    """A datagram socket that takes no more, and messages without end for it."""
    def attack():
        capture = Flooded("capture")
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        check(atom("ok") in capture.ask("descriptor", numbers=[its.fileno()]))
        options = {"ether_type": 0, "snapshot_length": 65535, "buffer": 65536, "credit": 1 << 20}
        check(atom("ok") in capture.ask("start", map_(**{key: integer(value) for key, value in options.items()})))
        check(error_of("e2big") in capture.flood("send", many(LONGEST // 5, binary(b""))))
        message = list_(*[binary(bytes(1000))] * 50)
        for number in range(1000, 2000):
            capture.connection.send(long_frame(request("send", message, number=number)))
            if number % 20 == 0:
                refused = any(atom("enobufs") in answer for answer in capture.settle())
                if refused:
                    break
        check(refused, "waits without end")
        check(capture.peak() < 64, capture.peak())
        print(capture.peak())
        check(capture.end() == 0)
    as_user(attack)


def other_commands():
    def attack():
        opener = Opener()
        opener.attach()
        for function in ["socket", "bind", "connect", "ioctl", "setns", "setsockopt", "read", "write", "sendmsg", "alloc", "memcpy",
                         "select", "constants", "open ", "", "OPEN"]:
            answer = opener.ask(function, integer(1))
            check(answer == tuple_(integer(1), tuple_(atom("error"), tuple_(atom("undef"), atom(function)))), function, answer)
        # A descriptor that is offered is not even taken.
        with open("/etc/passwd") as file:
            check(opener.ask("dev", device(b"private"), numbers=[file.fileno()]) == error("eacces"))
        # None crosses on stdin and stdout.
        for function in ["open", "dev", "capture", "direct"]:
            check(opener.ask_input(function) == error("enotconn"), function)
        bad = [b"", b"/etc/passwd", b"../etc/passwd", b"net/../../etc/passwd", b"race/../private", b"./private", b"a\0b", b"a b", b"x" * 300]
        for name in bad:
            answer = opener.ask("dev", device(name))
            check(answer == badarg(atom("name")), name, answer)
        for key, wrong in [
                ("port", socket_request(port=-1)), ("port", socket_request(port=65536)), ("family", socket_request(family=-1)),
                ("type", socket_request(kind=0x800)), ("type", socket_request(kind=-1)), ("protocol", socket_request(protocol=-1)),
                ("backlog", socket_request(backlog=-1)), ("interface", socket_request(interface=b"a/b")),
                ("interface", socket_request(interface=b"a\0")), ("namespace", socket_request(namespace=b"/a\0b")),
                ("namespace", socket_request(namespace=b"/\xff")), ("namespace", socket_request(namespace=b"/" + b"a" * 5000)),
                ("family", map_()), (None, tuple_()), (None, integer(1)), (None, tuple_(*[integer(1)] * 8))]:
            answer = opener.ask("open", wrong)
            check(answer == badarg(atom(key) if key else b"a\x01"), wrong[:40], answer)
        opens_what_is_allowed(opener)
        check(opener.end() == 0)
    as_user(attack)


def direct():
    """Another connection is no other way in."""
    def attack():
        opener = Opener()
        opener.attach()
        chance = random.Random(1234)
        with opener.direct() as end:
            check(end.ask("open", socket_request()) == OK)
            only_udp_53(end.descriptors(), 1)
            check(end.ask("open", socket_request(port=54)) == error("eacces"))
            check(atom("undef") in end.ask("ioctl", integer(1)))
            with open("/etc/passwd") as file:
                check(end.ask("dev", device(b"private"), numbers=[file.fileno()]) == error("eacces"))
            check(end.descriptors() == [])
        for _ in range(300):
            with opener.direct() as end:
                end.socket.setblocking(False)
                with contextlib.suppress(BrokenPipeError, BlockingIOError, ConnectionResetError):
                    for _ in range(20):
                        body = bytes(chance.randrange(256) for _ in range(chance.randrange(60)))
                        end.socket.send(body if chance.randrange(2) else struct.pack(">I", len(body)) + body)
                        end.socket.send(long_frame(request("open", socket_request(port=54))))
        # A length without an end, and answers that nobody reads.
        with opener.direct() as end:
            end.socket.send(b"\x7f\xff\xff\xff" + bytes(10000))
        with opener.direct() as end:
            end.socket.setblocking(False)
            with contextlib.suppress(BrokenPipeError, BlockingIOError):
                while True:
                    end.socket.send(long_frame(request("nothing" * 20)) * 100)
            check(opener.ask("open", socket_request(port=54)) == error("eacces"))
            check(opener.ask_input("reasons") == tuple_(integer(1), atom("ok")))
        check(opener.peak() < 60, opener.peak())
        check(opener.end() == 0)
        # A longer request than there is, on the connection that it stands on.
        opener = Opener()
        opener.attach()
        opener.connection.send(b"\x7f\xff\xff\xff")
        check(opener.process.wait(20) == 0)
        opener = Opener()
        opens_what_is_allowed(opener)
        check(opener.end() == 0)
    as_user(attack)


def stopped_reader():
    """Answers that nobody reads, descriptors that nobody takes: it waits, does not grow, and ends with its caller."""
    def fill(number, data):
        """Writes until no more is taken."""
        os.set_blocking(number, False)
        while select.select([], [number], [], 1)[1]:
            with contextlib.suppress(BlockingIOError):
                os.write(number, data)

    def attack():
        opener = Opener()
        opener.attach()
        fill(opener.process.stdin.fileno(), frame(request("nothing" * 20)) * 300)
        check(opener.alive() and opener.peak() < 60, opener.peak())
        opener.process.stdout.close()
        opener.end()

        opener = Opener()
        opener.attach()
        fill(opener.connection.socket.fileno(), long_frame(request("open", socket_request())) * 20)
        # Others do not wait for that.
        check(opener.ask_input("reasons") == tuple_(integer(1), atom("ok")))
        check(opener.alive() and opener.peak() < 60, opener.peak())
        opener.connection.socket.close()
        check(opener.process.wait(20) == 0)
    as_user(attack)


def caller_ends():
    def attack():
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.set_inheritable(write, False)
            opener = Opener()
            opener.attach()
            os.write(write, b"%d\n" % opener.process.pid)
            time.sleep(60)
        pid = int(os.read(read, 100))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with open("/proc/%d/stat" % pid) as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return
            except (FileNotFoundError, ProcessLookupError):
                return
            time.sleep(0.05)
        raise AssertionError("goes on without its caller")
    as_user(attack)


def little_room():
    """Limits that leave too little: it fails, and opens nothing that it should not."""
    def attack():
        for limit, values in [(resource.RLIMIT_NOFILE, [3, 4, 5, 6, 7]), (resource.RLIMIT_AS, [1 << 20, 40 << 20, 60 << 20]),
                              (resource.RLIMIT_STACK, [1 << 14, 1 << 16]), (resource.RLIMIT_FSIZE, [0]), (resource.RLIMIT_DATA, [1 << 20])]:
            for value in values:
                try:
                    opener = Opener(preexec_fn=lambda: resource.setrlimit(limit, (value, value)), stderr=subprocess.DEVNULL)
                except (OSError, subprocess.SubprocessError):
                    continue
                try:
                    opener.attach()
                    for wanted in [socket_request(port=54), socket_request(17, 3, 8, 0)]:
                        check(opener.ask("open", wanted) != OK, limit, value)
                except (AssertionError, BrokenPipeError, TypeError) as failure:
                    check("OK" not in str(failure))
                    check(opener.connection is None or opener.descriptors() == [], limit, value)
                with contextlib.suppress(BrokenPipeError):
                    opener.process.stdin.close()
                opener.process.kill()
                opener.process.wait()
    as_user(attack)


def no_descriptor_for_the_log():
    """However few descriptors it may have: what it refuses is in the log."""
    log = log_of_root()
    log.setblocking(False)

    def attack():
        for limit in range(4, 12):
            opener = Opener()
            opener.attach()
            # No more than poll(2) asks for.
            resource.prlimit(opener.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
            check(opener.ask("open", socket_request(port=54)) == error("eacces"), limit)
            line = log.recv(2000).decode()
            check(": refused: " in line and line.endswith('request="udp 54"'), limit, line)
            opener.end()
    as_user(attack)


def not_to_be_looked_into():
    def attack():
        opener = Opener()
        opener.attach()
        for name in ["mem", "environ", "maps", "fd", "auxv", "syscall"]:
            path = "/proc/%d/%s" % (opener.process.pid, name)
            try:
                os.listdir(path) if name == "fd" else open(path, "rb").read(1)
            except OSError as failure:
                check(failure.errno in (errno.EACCES, errno.EPERM), name, failure)
            else:
                raise AssertionError("can read " + path)
        check(opener.end() == 0)
    as_user(attack)


def policy_saved():
    """The policy is saved again and again, as editors do it, while a caller asks without a pause."""
    path = "/etc/procket/policy.conf"
    with open(path, "rb") as file:
        text = file.read()
    read, write = os.pipe()
    begin, start = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(write)
        # An opener that starts while there is no policy has given up its rights.
        os.read(begin, 1)
        turn = 0
        while not select.select([read], [], [], 0)[0]:
            turn += 1
            if turn % 2:
                # vim: the old file is the backup, and the new one is created.
                os.rename(path, path + "~")
                with open(path, "xb") as file:
                    file.write(text)
            else:
                # Others: written in its place, from the start.
                with open(path, "wb", buffering=0) as file:
                    file.write(text[:20])
                    file.write(text[20:])
            if turn % 10 == 0:
                # Another directory in its place, at no moment none: RENAME_EXCHANGE.
                os.mkdir("/etc/procket.new")
                with open("/etc/procket.new/policy.conf", "xb") as file:
                    file.write(text)
                check(ctypes.CDLL(None).renameat2(-100, b"/etc/procket.new", -100, b"/etc/procket", 2) == 0)
                shutil.rmtree("/etc/procket.new")
            time.sleep(0.0003)
        os._exit(0)

    def attack():
        opener = Opener()
        opener.attach()
        os.write(start, b"x")
        opened = set()
        forbidden = [("open", socket_request(port=54)), ("open", socket_request(17, 3, 8, 0)), ("dev", device(b"private"))]

        def ask(*what):
            """An opener ends when it can no longer open what the policy allows, as in another directory; another one is asked then."""
            nonlocal opener
            while True:
                with contextlib.suppress(BrokenPipeError):
                    answer = opener.ask(*what)
                    if answer is not None:
                        return answer
                check(opener.end() == 0)
                opener = Opener()
                opener.attach()
        for turn in range(30000):
            opened.add(ask("open", socket_request()))
            for number in opener.descriptors():
                os.close(number)
            answer = ask(*forbidden[turn % 3])
            check(answer == error("eacces"), forbidden[turn % 3], answer)
        # Both: where the policy was there, and where it was not.
        check(opened == {OK, error("eacces")}, opened)
        check(opener.end() == 0)
    try:
        as_user(attack)
    finally:
        os.write(start, b"x")
        os.write(write, b"x")
        _, status = os.waitpid(child, 0)
    check(status == 0, "saves", status)


def one_meaning():
    """Whatever is opened, in whatever spelling it is asked for, is what the policy allows: looked at from outside."""
    chance = random.Random(int(os.environ.get("SEED", "1")))
    cases = int(os.environ.get("CASES", "10000"))
    path = "/etc/procket/policy.conf"
    for name in ["eth0", "mgmt0"]:
        subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", name + "p"], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    subprocess.run(["ip", "link", "property", "add", "dev", "mgmt0", "altname", "another0"], check=True)
    spaces = {}
    for name in ["lab1", "lab2"]:
        place = DIRECTORY + "/" + name
        open(place, "w").close()
        subprocess.run(["unshare", "--net", "mount", "--bind", "/proc/self/ns/net", place], check=True)
        spaces[os.stat(place).st_ino] = place
    os.symlink(DIRECTORY + "/lab1", DIRECTORY + "/link")
    names = {"inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "unix": 1}
    types = {"stream": 1, "dgram": 2, "raw": 3, "seqpacket": 5}

    def rule():
        """A line as words: (allows, who, what, interface, namespace)."""
        number = chance.choice
        what = number([
            "any", "icmp", "icmp6", "udp *", "tcp *", "udp 53", "tcp 80", "udp 0-1023", "tcp 1-79,81", "raw *", "raw 1", "raw 6", "raw 58",
            "packet *", "packet 0x0800", "packet 3", "packet 0", "socket inet stream 0", "socket inet stream 262", "socket inet dgram 136",
            "socket inet dgram 17", "socket netlink dgram *", "socket netlink raw 15", "socket netlink * 0", "socket unix * *",
            "socket unix raw 1", "socket * raw *", "socket inet * *", "socket packet 10 *", "socket inet 10 *", "socket * dgram *"])
        return (number([True, True, True, False]), number([USER, "*", "@" + USER, "daemon", "@daemon"]), what,
                number(["", "", "*", "eth0", "mgmt0", "mgmt*", "another0", "lo", "?o"]),
                number(["", "", "*", DIRECTORY + "/lab1", DIRECTORY + "/lab?", DIRECTORY + "/link"]))

    def text(parts):
        allows, who, what, interface, namespace = parts
        return " ".join(["allow" if allows else "deny", who, what] + (["on", interface] if interface else [])
                        + (["in", namespace] if namespace else []))

    def like(pattern, name):
        translated = "".join("[^/]*" if c == "*" else "[^/]" if c == "?" else re.escape(c) for c in pattern)
        return pattern == "*" or re.fullmatch(translated, name) is not None

    def same(family, kind, protocol):
        """Kinds of sockets that the kernel makes of several numbers."""
        if (family, kind) == (2, 10):
            family = 17
        if family in (2, 10):
            protocol = {(1, 0): 6, (1, 262): 6, (2, 0): 17, (5, 0): 132}.get((kind, protocol), protocol)
        if (family, kind) == (16, 2):
            kind = 3
        if (family, kind) == (1, 3):
            kind = 2
        if (family, protocol) == (1, 1):
            protocol = 0
        return family, kind, protocol

    def concerns(what, seen):
        family, kind, protocol = same(*seen[:3])
        words = what.split()
        if words[0] in ("udp", "tcp"):
            ranges = [part.split("-") for part in words[1].replace("*", "0-65535").split(",")]
            return (family in (2, 10) and (kind, protocol) == ((2, 17) if words[0] == "udp" else (1, 6))
                    and any(int(part[0]) <= seen[3] <= int(part[-1]) for part in ranges))
        if words[0] in ("icmp", "icmp6"):
            return (family, kind, protocol) == ((2, 3, 1) if words[0] == "icmp" else (10, 3, 58))
        if words[0] == "raw":
            return family in (2, 10) and kind == 3 and words[1] in ("*", str(protocol))
        if words[0] == "packet":
            return family == 17 and kind in (2, 3, 10) and (words[1] == "*" or socket.htons(int(words[1], 0)) == protocol)
        if words[0] == "socket":
            wanted = [names.get(words[1], words[1]), types.get(words[2], words[2]), words[3]]
            numbers = [None if word == "*" else int(word) for word in wanted]
            if None not in numbers[:2]:
                given = -1 if numbers[2] is None else numbers[2]
                numbers = list(same(numbers[0], numbers[1], given))[:2] + [None if given == -1 else same(numbers[0], numbers[1], given)[2]]
            return all(number in (None, value) for number, value in zip(numbers, (family, kind, protocol)))
        return words[0] == "any"

    def decision(rules, seen):
        """The line that decides, and whether it allows."""
        for line, (allows, who, what, interface, namespace) in enumerate(rules, 1):
            if (who in (USER, "*", "@" + USER) and concerns(what, seen) and like(interface, seen[4]) and like(namespace, seen[5])):
                return line, allows
        return None, False

    def look(number):
        """What a descriptor is: family, type, protocol, port, interface, namespace; and whether its filter is locked."""
        space = fcntl.ioctl(number, 0x894c)  # SIOCGSKNS
        place = spaces.get(os.fstat(space).st_ino, "")
        os.close(space)
        with socket.socket(fileno=number) as got:
            family, kind, protocol = [got.getsockopt(socket.SOL_SOCKET, option) for option in (39, 3, 38)]
            port, interface = 0, ""
            locked = got.getsockopt(socket.SOL_SOCKET, 44) == 1
            if family == 17:
                interface, protocol, *_ = got.getsockname()
                protocol = socket.htons(protocol)
            elif family in (2, 10):
                interface = got.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).split(b"\0")[0].decode()
                port = got.getsockname()[1] if kind != 3 else 0
            return (family, kind, protocol, port, interface, place), locked

    def words_of(seen):
        family, kind, protocol, port, interface, place = seen
        family, kind, protocol = same(family, kind, protocol)
        if family in (2, 10) and (kind, protocol) in ((1, 6), (2, 17)):
            what = "%s %d" % ("tcp" if kind == 1 else "udp", port)
        else:
            what = "socket %d %d %d" % (family, kind, protocol)
        return what + (" on " + interface if interface else "") + (" in " + place if place else "")

    opened = refused = unclear = 0
    explained = {}
    while opened + refused + unclear < cases:
        rules = [rule() for _ in range(chance.randrange(1, 5))]
        if chance.randrange(5):
            rules.append((True, "*", "any", chance.choice(["*"] * 5 + ["mgmt0", "another0", ""]), chance.choice(["*"] * 4 + [""])))
        with open(path, "w") as file:
            file.write("".join(text(parts) + "\n" for parts in rules))
        explained.clear()
        opener = Started()
        opener.attach()
        for _ in range(50):
            family, kind, protocol, port = [chance.choice(numbers) for numbers in (
                [2, 2, 2, 10, 16, 17, 1, 38], [1, 2, 3, 3, 5, 6, 10, 2 | 0x10, 3 | 0x400],
                [0, 0, 1, 6, 17, 58, 132, 136, 255, 256, 262, 8, 8 + 65536, 0x0300, 0x0300 + 65536, 15, 32], [0, 0, 53, 80, 1024])]
            if chance.randrange(5):
                # What the kernel knows.
                kind, protocol = chance.choice({
                    2: [(1, 0), (1, 6), (1, 262), (2, 0), (2, 17), (3, 1), (3, 255), (2, 136), (10, 8)],
                    10: [(1, 0), (1, 6), (1, 262), (2, 0), (2, 17), (3, 58), (3, 6)], 16: [(2, 0), (3, 0), (2, 15), (3, 15)],
                    17: [(2, 8), (3, 8), (3, 0), (10, 0x0300)], 1: [(1, 0), (1, 1), (3, 0), (2, 1), (5, 0)]}.get(family, [(5, 0)]))
            if family not in (2, 10) or kind in (3, 10):
                port = chance.choice([0, 0, 0, 0, port])
            interface = chance.choice([b"", b"", b"lo", b"eth0", b"mgmt0"] + [b"mgmt0:", b"mgmt0:1", b"another0", b"nosuch0", b"a" * 16]
                                      * (chance.randrange(4) == 0)) if family in (2, 10, 17) or not chance.randrange(5) else b""
            namespace = chance.choice([b""] * 8 + [(DIRECTORY + name).encode() for name in
                                                   ["/lab1", "/lab1", "/lab2", "/link", "//lab1", "/./lab2", "/home/../lab1"]])
            answer = opener.ask("open", socket_request(family, kind, protocol, port, interface, namespace,
                                                       5 if chance.randrange(8) == 0 else None))
            case = (rules, family, kind, protocol, port, interface, namespace, answer)
            if answer == OK:
                [number] = opener.descriptors()
                seen, locked = look(number)
                opened += 1
                # A port of the kernel's choice was asked for as 0.
                seen = seen[:3] + (port if port == 0 else seen[3],) + seen[4:]
                check(seen[:1] == (17 if kind == 10 else family,) and seen[4] == interface.decode() and seen[3] == port, seen, case)
                check(seen[5] == namespace.decode(), seen, case)
                line, allows = decision(rules, seen)
                check(allows, seen, line, case)
                check(locked == (rules[line - 1][3] not in ("", "*")), locked, seen, line, case)
                words = words_of(seen)
                if words not in explained:
                    explained[words] = subprocess.run([OPENER, "--explain", USER, words], capture_output=True, text=True).stdout
                # One line, or one for each family.
                lines = explained[words].splitlines()
                said = lines[0] if len(lines) == 1 else [text for text in lines if text.startswith({2: "inet: ", 10: "inet6: "}[seen[0]])][0]
                check("is allowed by line %d of" % line in said, explained[words], seen, case)
            elif answer == error("eacces"):
                # ping_group_range refuses these by itself.
                pings = (family, kind, protocol) in ((2, 2, 1), (10, 2, 58))
                check(pings or not decision(rules, (family, kind, protocol, port, interface.decode(), namespace.decode()))[1], case)
                refused += 1
            else:
                unclear += 1
        opener.end()
    check(opened > cases // 20 and refused > cases // 20, opened, refused, unclear)
    print(opened, "opened,", refused, "refused,", unclear, "failed")


MAC = bytes([2, 0, 0, 0, 0, 2])


def make_pair():
    """va, which has an address, and vb: what goes out on the one comes in on the other."""
    for words in ["link add va address %s type veth peer name vb" % MAC.hex(":"), "addr add 10.9.0.1/24 dev va", "link set va up", "link set vb up"]:
        subprocess.run(["ip"] + words.split(), check=True)


def checksum(data):
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def datagram(port, data, to=bytes([10, 9, 0, 1])):
    """A frame that comes to MAC, and to 10.9.0.1 there."""
    udp = struct.pack(">HHHH", 9, port, 8 + len(data), 0) + data
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, bytes([10, 9, 0, 2]), to)
    return MAC + bytes([2, 0, 0, 0, 0, 1]) + b"\x08\x00" + head[:10] + struct.pack(">H", checksum(head)) + head[12:] + udp


def interface_by_index():
    """A socket on an interface follows the interface to another name, and not the name to another interface."""
    with open("/etc/procket/policy.conf", "w") as file:
        file.write("allow %s udp 1053 on va\n" % USER)
    make_pair()
    opener = Started()
    opener.attach()

    def opened():
        check(opener.ask("open", socket_request(port=1053, interface=b"va")) == OK)
        [number] = opener.descriptors()
        return socket.socket(fileno=number)

    def comes_in(got):
        """Sends on vb until something is there."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
            out.bind(("vb", 0))
            for _ in range(1000):
                out.send(datagram(1053, b"came"))
                if select.select([got], [], [], 0.02)[0]:
                    check(got.recv(100) == b"came")
                    return
        raise AssertionError("nothing comes")

    with opened() as old:
        comes_in(old)
        for words in ["link set va down", "link set va name vc", "link set vc up"]:
            subprocess.run(["ip"] + words.split(), check=True)
        comes_in(old)
        with contextlib.suppress(BlockingIOError):
            while True:
                old.recv(100)
        subprocess.run(["ip", "link", "del", "vc"], check=True)
        make_pair()
        with opened() as new:
            comes_in(new)
            with contextlib.suppress(BlockingIOError):
                check(old.recv(100) is None, "received on the new interface")
    check(opener.end() == 0)


def on_interface_holds():
    """A socket that a line with `on` allowed hears nothing of another interface, whatever its holder does with it."""
    with open("/etc/procket/policy.conf", "w") as file:
        file.write("".join("allow %s %s on %s\n" % (USER, what, interface) for interface in ["va", "l?"]
                           for what in ["udp *", "tcp *", "icmp", "raw *", "packet *", "socket inet dgram 136", "socket inet * sctp"]))
        file.write("allow %s udp *\nallow %s udp * on *\n" % (USER, USER))
    make_pair()

    # What comes in on va, again and again.
    read, write = os.pipe()
    sender = os.fork()
    if sender == 0:
        os.close(write)
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind(("vb", 0))
        while not select.select([read], [], [], 0.01)[0]:
            out.send(datagram(1053, b"came on va"))
        os._exit(0)

    def attack():
        opener = Opener()
        opener.attach()

        def opened(family, kind, protocol, port, interface, backlog=None):
            answer = opener.ask("open", socket_request(family, kind, protocol, port, interface, backlog=backlog))
            check(answer == OK, family, kind, protocol, port, interface, answer)
            [number] = opener.descriptors()
            return socket.socket(fileno=number)

        def received(got, wanted, unwanted):
            """Reads until the one is there, and never the other."""
            while True:
                check(select.select([got], [], [], 20)[0], "nothing comes", wanted)
                data = got.recv(65536)
                check(unwanted not in data, "came on another interface", data)
                if wanted in data:
                    return

        def through_lo(got):
            """A datagram on lo; when this returns, the socket has it or will never have it."""
            with socket.socket(type=socket.SOCK_DGRAM) as out, socket.socket(type=socket.SOCK_DGRAM) as control:
                control.bind(("127.0.0.1", 0))
                control.settimeout(20)
                for _ in range(20):
                    out.sendto(b"came on lo", ("127.0.0.1", 1053))
                    out.sendto(b"after it", control.getsockname())
                    control.recv(100)
            with contextlib.suppress(BlockingIOError):
                while True:
                    check(b"came on lo" not in got.recv(65536), "came on lo")

        def locked(got):
            for option, value in [(26, FILTER), (27, bytes(4)), (44, bytes(4))]:
                try:
                    got.setsockopt(socket.SOL_SOCKET, option, value)
                except PermissionError:
                    continue
                check(False, "not locked", option)

        everything = (ctypes.c_uint64 * 1)(struct.unpack("Q", struct.pack("HBBI", 6, 0, 0, 0xffffffff))[0])
        FILTER = struct.pack("HxxxxxxP", 1, ctypes.addressof(everything))
        udp, icmp, raw = (2, 2, 17, 1053), (2, 3, 1, 0), (2, 3, 17, 0)
        for kind in [udp, icmp, raw]:
            with opened(*kind, b"va") as got:
                locked(got)
                if kind != icmp:
                    received(got, b"came on va", b"came on lo")
                # What this host sends to itself.
                with socket.socket(type=socket.SOCK_DGRAM) as out:
                    out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"va")
                    out.sendto(b"came on lo", ("10.9.0.1", 1053))
                through_lo(got)
                # connect(2) to AF_UNSPEC.
                check(ctypes.CDLL(None).connect(got.fileno(), bytes(16), 16) == 0)
                if kind == icmp:
                    got.sendto(ECHO, ("127.0.0.1", 0))
                through_lo(got)
                with contextlib.suppress(BlockingIOError):
                    check(b"echo" not in got.recv(65536), "echo on lo")
                got.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
                if kind == icmp:
                    got.sendto(ECHO, ("127.0.0.1", 0))
                through_lo(got)
                with contextlib.suppress(BlockingIOError):
                    check(b"echo" not in got.recv(65536), "echo on lo")
        # Errors of what it sends are not what it receives.
        with opened(*udp, b"va") as got:
            check(ctypes.CDLL(None).connect(got.fileno(), bytes(16), 16) == 0)
            got.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
            got.sendto(b"sent", ("127.0.0.1", 9))
            check(select.select([got], [], [], 20)[0])
            check(got.recvmsg(100, 1000, 0x2000)[0] == b"sent")  # MSG_ERRQUEUE
        for kind in [2, 3]:
            for protocol in [0, socket.htons(0x0800), socket.htons(3)]:
                with opened(17, kind, protocol, 0, b"va") as got:
                    locked(got)
                    got.bind(("va", 3))
                    received(got, b"came on va", b"came on lo")
                    for interface in ["lo", ""]:
                        ctypes.CDLL(None).bind(got.fileno(), struct.pack("=HHi12x", 17, socket.htons(3), interface and 1 or 0), 20)
                        through_lo(got)
                    check(got.sendto(bytes(60), ("lo", 3)) == 60)
        # With a filter of its own.
        def instructions(*all_):
            return b"".join(struct.pack("HBBI", *one) for one in all_)

        def capture(interface, program, kind=3):
            return opener.ask("capture", map_(type=integer(kind), interface=binary(interface), filter=binary(program)))
        accept, load, rejected = (6, 0, 0, 0xffff), (0, 0, 0, 0), error("einval")
        # The second asks of the accumulator, which is 0 where a program begins.
        for program, passes in [(instructions(accept), True), (instructions((0x15, 0, 1, 0), accept, (6, 0, 0, 0)), True),
                                (instructions(*[load] * 4091, accept), True), (instructions((6, 0, 0, 0)), False)]:
            answer = capture(b"va", program)
            if len(program) > 20000 and answer == error("enomem"):
                # Before Linux 6.8, if net.core.optmem_max is as it was made.
                continue
            check(answer == OK, len(program), answer)
            [number] = opener.descriptors()
            with socket.socket(fileno=number) as got:
                locked(got)
                got.bind(("va", 3))
                if passes:
                    received(got, b"came on va", b"came on lo")
                got.bind(("lo", 3))
                through_lo(got)
        for program in [b"x", bytes(7), instructions((0xffff, 0, 0, 0)), instructions(load), instructions((0x05, 0, 0, 9), accept),
                        instructions(*[load] * 4092, accept)]:
            check(capture(b"va", program) == rejected, len(program))
        check(capture(b"", b"") == error("eacces") and capture(b"vb", b"") == error("eacces"))
        check(capture(b"lo:", b"") == rejected and capture(b"lx", b"") == error("enodev"))
        for kind, interface in [(1, b"va"), (10, b"va"), (3, b"v/a"), (3, b"v a"), (3, b"va\0")]:
            check(b"badarg" in capture(interface, b"", kind), kind, interface)
        # Not even in the moment in which it is opened.
        with socket.socket(type=socket.SOCK_DGRAM) as out:
            for kind, protocol in [(3, 17)] * 50 + [(17, socket.htons(3))] * 50:
                stop = threading.Event()

                def flood():
                    while not stop.is_set():
                        out.sendto(b"came on lo", ("127.0.0.1", 1053))
                thread = threading.Thread(target=flood)
                thread.start()
                try:
                    got = opened(*((2, 3, 17, 0) if kind == 3 else (17, 3, protocol, 0)), b"va")
                finally:
                    stop.set()
                    thread.join()
                with got, contextlib.suppress(BlockingIOError):
                    while True:
                        check(b"came on lo" not in got.recv(65536), "came on lo while it was opened")
        # What is allowed goes on: datagrams, pings, and connections of a listener, which are locked as it is.
        with opened(2, 2, 17, 1054, b"lo") as got, socket.socket(type=socket.SOCK_DGRAM) as out:
            out.sendto(b"on lo", ("127.0.0.1", 1054))
            received(got, b"on lo", b"came on va")
        with opened(2, 3, 1, 0, b"lo") as got:
            got.sendto(ECHO, ("127.0.0.1", 0))
            received(got, b"echo", b"came on va")
        with opened(17, 3, socket.htons(0x0800), 0, b"lo") as got, socket.socket(type=socket.SOCK_DGRAM) as out:
            out.sendto(b"on lo", ("127.0.0.1", 1054))
            received(got, b"on lo", b"came on va")
        for family, address in [(2, "127.0.0.1"), (10, "::1")]:
            with opened(family, 1, 6, 1055, b"lo", 5) as got, socket.socket(family) as out:
                locked(got)
                out.settimeout(20)
                out.connect((address, 1055))
                check(select.select([got], [], [], 20)[0])
                connection, _ = got.accept()
                locked(connection)
                out.sendall(b"to it")
                connection.settimeout(20)
                check(connection.recv(100) == b"to it")
                connection.sendall(b"from it")
                check(out.recv(100) == b"from it")
                connection.close()
        with socket.create_server(("127.0.0.1", 0)) as server, opened(2, 1, 6, 0, b"lo") as got:
            got.settimeout(20)
            got.connect(server.getsockname())
            connection, _ = server.accept()
            connection.sendall(b"answer")
            check(got.recv(100) == b"answer")
            connection.close()
        # A protocol whose connections are sockets of their own has no filter that would hold.
        for kind, protocol in [(1, 262), (1, 132), (5, 132), (5, 0)]:
            check(opener.ask("open", socket_request(2, kind, protocol, 1056, b"lo")) == error("enotsup"), "MPTCP, SCTP", kind, protocol)
        # No line with an interface decided, or one with any.
        for interface in [b"", b"vb"]:
            with opened(2, 2, 17, 1057, interface) as got:
                check(got.getsockopt(socket.SOL_SOCKET, 44) == 0, interface)
                got.setsockopt(socket.SOL_SOCKET, 26, FILTER)
        check(opener.end() == 0)
    try:
        as_user(attack)
    finally:
        os.write(write, b"x")
        os.waitpid(sender, 0)


class Faulty(Opener):
    """An opener whose code belongs to an attacker: a debugger in the place of a fault has it make system calls. Its caller is USER."""
    NUMBERS = {"sendto": 44, "sendmsg": 46, "connect": 42, "socket": 41, "socketpair": 53, "capset": 126, "openat": 257, "close": 3,
               "seccomp": 317, "openat2": 437, "bind": 49}
    # The numbers of ptrace(2), and those of registers in struct user_regs_struct.
    ATTACH, DETACH, STEP, GET, SET = 16, 17, 9, 12, 13
    ARGUMENTS, RAX, ORIG_RAX, RIP, RSP = [14, 13, 12, 7, 9, 8], 10, 15, 16, 19

    def __init__(self, before=become_user):
        self.as_caller = before
        os.seteuid(WHO.pw_uid)
        super().__init__()
        self.attach()

    def start(self):
        os.seteuid(0)
        return super().start(preexec_fn=self.as_caller)

    def seize(self):
        """From now on it does nothing but what call() has it do."""
        self.trace(self.ATTACH)
        os.waitpid(self.process.pid, 0)
        self.before = self.registers()
        self.memory = os.open("/proc/%d/mem" % self.process.pid, os.O_RDWR)
        # Below the red zone of the stack.
        self.free = self.before[self.RSP] - 8192

    def trace(self, what, data=None):
        libc = ctypes.CDLL(None, use_errno=True)
        result = libc.ptrace(ctypes.c_long(what), ctypes.c_long(self.process.pid), None, data)
        check(result == 0, "ptrace", what, ctypes.get_errno())

    def registers(self):
        registers = (ctypes.c_ulonglong * 27)()
        self.trace(self.GET, registers)
        return list(registers)

    def place(self, data):
        """Where data is in its memory."""
        address = self.free
        os.pwrite(self.memory, data, address)
        self.free += (len(data) + 15) // 16 * 16
        return address

    def call(self, name, *arguments):
        """What the kernel says; bytes are a pointer to them."""
        self.free = self.before[self.RSP] - 8192
        registers = list(self.before)
        # It was stopped in poll(2): the instruction before is the one that calls the kernel.
        registers[self.RIP] -= 2
        registers[self.RAX] = self.NUMBERS[name]
        registers[self.ORIG_RAX] = (1 << 64) - 1
        for position, argument in zip(self.ARGUMENTS, arguments):
            if isinstance(argument, list):
                argument = b"".join(struct.pack("Q", self.place(x) if isinstance(x, bytes) else x) for x in argument)
            if isinstance(argument, bytes):
                argument = self.place(argument)
            registers[position] = argument % (1 << 64)
        self.trace(self.SET, (ctypes.c_ulonglong * 27)(*registers))
        self.trace(self.STEP)
        _, status = os.waitpid(self.process.pid, 0)
        check(os.WIFSTOPPED(status), name, status)
        return ctypes.c_longlong(self.registers()[self.RAX]).value

    def release(self):
        os.close(self.memory)
        self.trace(self.SET, (ctypes.c_ulonglong * 27)(*self.before))
        self.trace(self.DETACH)

    def raise_all(self):
        """Has all rights that it kept take effect; their set."""
        kept = int(self.status("CapPrm"), 16)
        sets = struct.pack("IIIIII", kept & 0xffffffff, kept & 0xffffffff, 0, kept >> 32, kept >> 32, 0)
        check(self.call("capset", struct.pack("Ii", 0x20080522, 0), sets) == 0, "capset")
        check(int(self.status("CapEff"), 16) == kept)
        return kept

    def open(self, path, flags):
        """With the call that serves devices."""
        return self.call("openat2", -100, path.encode() + b"\0", struct.pack("QQQ", flags, 0, 0), 24)


def unix(path):
    return struct.pack("H", 1) + path.encode() + (b"" if path[:1] == "\0" else b"\0")


def write_policy(text):
    shutil.rmtree("/etc/procket", ignore_errors=True)
    if text is not None:
        os.mkdir("/etc/procket", 0o755)
        with open("/etc/procket/policy.conf", "x") as file:
            file.write(text)


# A setuid opener keeps CAP_DAC_OVERRIDE under each of these; the first is the built-in one.
FAULTY = [None, "allow %s device net/tun\n" % USER, "allow %s any on * in *\n" % USER]
DAC_OVERRIDE = 1 << 1


def without_landlock():
    """The caller, and for what it executes a kernel without landlock_create_ruleset(2)."""
    instructions = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x50000 | errno.ENOSYS), (0x06, 0, 0, 0x7fff0000)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *words) for words in instructions))
    structure = struct.pack("HxxxxxxQ", len(instructions), ctypes.addressof(program))
    # PR_SET_SECCOMP; root need not set no_new_privs, which would take the mode of the file away.
    check(ctypes.CDLL(None).prctl(22, 2, structure) == 0, "seccomp")
    become_user()


@contextlib.contextmanager
def faulty(policy, before=become_user):
    """An opener under a policy, its code an attacker's and its rights raised."""
    write_policy(policy)
    opener = Faulty(before)
    try:
        opener.seize()
        check(opener.raise_all() & DAC_OVERRIDE, policy, "has no right that counts")
        yield opener
        opener.release()
        check(opener.end() == 0)
    finally:
        opener.process.kill()


def fault_connects():
    """It connects to no socket of root's: a container engine's would run what it likes."""
    os.mkdir(DIRECTORY + "/roots", 0o700)
    names = [DIRECTORY + "/roots/s", "\0procket of root"]
    listeners = [listen_as_root(DIRECTORY + "/roots/s", 0o600), socket.socket(socket.AF_UNIX)]
    listeners[1].bind(names[1])
    listeners[1].listen(64)
    log = log_of_root()
    for policy in FAULTY:
        with faulty(policy) as opener:
            for name in names:
                address = unix(name)
                own = opener.call("socket", 1, 1, 0)
                # Whatever it has open; the descriptors of stdio are pipes.
                for number in {own if own >= 0 else 3, 3, 4, 5}:
                    check(opener.call("connect", number, address, len(address)) < 0, policy, name, number)
            # Nor does it take a filter of its own.
            check(opener.call("seccomp", 1, 0, struct.pack("Q", 0) * 2) < 0, policy)
        check(not select.select(listeners, [], [], 0)[0], policy, "connected to what only root can reach")
    log.close()


def kernel_without_landlock():
    """Without Landlock an opener does the same, whatever is newer than it; and connects to nothing."""
    os.mkdir(DIRECTORY + "/roots", 0o700)
    listener = listen_as_root(DIRECTORY + "/roots/s", 0o600)
    write_policy(FAULTY[1] + "allow %s udp 53\nallow %s device race/*\n" % (USER, USER))
    opener = Faulty(without_landlock)
    os.mkdir("/dev/race")
    os.mknod("/dev/race/new", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    os.rename("/etc/procket", "/etc/procket.old")
    shutil.copytree("/etc/procket.old", "/etc/procket")
    for name in [b"net/tun", b"race/new"]:
        check(opener.ask("dev", device(name)) == OK, name)
    for number in opener.descriptors():
        os.close(number)
    opens_what_is_allowed(opener)
    check(opener.end() == 0)
    with faulty(FAULTY[1], without_landlock) as opener:
        check(opener.open("/etc/shadow", os.O_RDONLY) >= 0, "there is Landlock")
        address = unix(DIRECTORY + "/roots/s")
        check(opener.call("connect", opener.call("socket", 1, 1, 0), address, len(address)) == -errno.ENOSYS)
    check(not select.select([listener], [], [], 0)[0], "connected to what only root can reach")


def fault_sends():
    """Nor does it send a datagram to one, unless the policy has it open Unix sockets."""
    os.mkdir(DIRECTORY + "/roots", 0o700)
    path = DIRECTORY + "/roots/d"
    names = [path, "\0procket of root"]
    receivers = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in names]
    for receiver, name in zip(receivers, names):
        receiver.bind(name)
    os.chmod(path, 0o600)
    log = log_of_root()
    for policy in FAULTY[:2]:
        with faulty(policy) as opener:
            numbers = {3, 4, 5} | {opener.call("socket", 1, kind, 0) for kind in (2, 3)}
            pair = opener.place(bytes(8))
            if opener.call("socketpair", 1, 2, 0, pair) == 0:
                numbers |= set(struct.unpack("ii", os.pread(opener.memory, 8, pair)))
            for name in names:
                address = unix(name)
                for number in {number for number in numbers if number >= 0}:
                    opener.call("sendto", number, b"fault", 5, 0x4040, address, len(address))
                    vector = struct.pack("QQ", opener.place(b"fault" + bytes(11)), 5)
                    kept = opener.place(address), opener.place(vector)
                    header = struct.pack("QIIQQQQQ", kept[0], len(address), 0, kept[1], 1, 0, 0, 0)
                    opener.before[opener.RSP] -= 4096
                    opener.call("sendmsg", number, header, 0x4040)
                    opener.before[opener.RSP] += 4096
        check(not select.select(receivers, [], [], 0)[0], policy, "sent to what only root can reach")
    log.close()


def fault_opens():
    """It opens no disk, no memory, and no device but those that the policy has it open; nor another file in /etc than it reads."""
    os.mknod("/dev/disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    os.mknod("/dev/tap-disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    os.mkdir("/dev/net/kept", 0o700)
    os.mknod("/dev/net/kept/private", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    secret = DIRECTORY + "/secret"
    with open(secret, "x") as file:
        file.write("of root")
    os.chmod(secret, 0o600)
    for policy in FAULTY:
        with faulty(policy) as opener:
            check(opener.open("/dev/net/tun", os.O_RDWR) >= 0, policy)
            devices = ["/dev/disk", "/dev/tap-disk", "/dev/net/kept/private", "/dev/private"]
            if policy == FAULTY[2]:
                for path in devices[2:]:
                    check(opener.open(path, os.O_RDWR) >= 0, policy, path)
                del devices[2:]
            # A line about namespaces everywhere has it read what may be one.
            secrets = [secret] if policy == FAULTY[1] else []
            for path in devices + secrets + ["/etc/shadow", "/dev", "/", DIRECTORY]:
                for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
                    expected = (-errno.EACCES, -errno.EISDIR) if os.path.isdir(path) and flags else (-errno.EACCES,)
                    check(opener.open(path, flags) in expected, policy, path, flags)
            check(opener.call("openat", -100, b"/etc/shadow\0", os.O_RDONLY) == -errno.EACCES, policy)
            check(opener.open("/etc/passwd", os.O_RDONLY) >= 0, policy)
            check(opener.open("/etc/passwd", os.O_WRONLY) < 0, policy)
            check(opener.open("/etc/group", os.O_RDONLY) >= 0, policy)
            if policy is not None:
                check(opener.open("/etc/procket/policy.conf", os.O_RDONLY) >= 0, policy)


def run(scenarios):
    os.umask(0o022)
    scenarios[SCENARIO]()
    print("held")


if __name__ == "__main__":
    run(globals())
