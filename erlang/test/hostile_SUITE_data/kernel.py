"""A kernel that does not do what an opener asks of it as it starts: kernel.py SCENARIO OPENER USER DIRECTORY, as hostile.py.

strace(1) makes single calls fail, or do nothing. The last line is `skipped: REASON` where no process can be traced.
"""
from hostile import *

LANDLOCK = ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"]
LOWERING = ["setgroups", "setresgid", "setresuid", "capget", "capset", "prctl", "prlimit64", "chdir", "seccomp"] + LANDLOCK
TRACE = DIRECTORY + "/trace"
ALL_CAPABILITIES = "@arg2=" + "ff" * 24


class Traced(Opener):
    """An opener of USER with faults: `NAME:FAULT:when=N` as in strace(1). With `prefixed` it is one behind sudo, which may be given open
    descriptors.
    """

    def __init__(self, *faults, prefixed=False, inherited=()):
        self.faults, self.prefixed, self.inherited = faults, prefixed, inherited
        os.seteuid(WHO.pw_uid)
        super().__init__()

    def start(self, **options):
        os.seteuid(0)
        # The tracer is its grandchild.
        words = ["strace", "-D", "-o", TRACE, "-e", "trace=" + ",".join(LOWERING + ["getuid", "geteuid", "getgid", "getegid"])]
        # The other calls run untraced where nothing has to become setuid.
        words += ["-f", "--seccomp-bpf"] if self.prefixed else ["-u", USER]
        for fault in self.faults:
            words += ["-e", "inject=" + fault]
        environment = {"SUDO_UID": str(WHO.pw_uid), "SUDO_GID": str(WHO.pw_gid)} if self.prefixed else {}
        return subprocess.Popen(words + [OPENER, "opener"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                                extra_groups=[0, 1], pass_fds=self.inherited)

    def ends(self, *what):
        """Before it has answered."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(frame(request("attach", binary(self.path.encode()), binary(SECRET), integer(0))))
            self.process.stdin.flush()
        check(self.receive() is None, "answers", what)
        # A call that strace has fail is number -1 for the kernel, for which the filter of an opener that has one kills it.
        check(self.process.wait(20) in (71, -signal.SIGSYS), what, self.process.returncode)

    def serves(self, *what):
        """With the rights of USER, and no others but what it may raise."""
        opens_what_is_allowed(self)
        for name, wanted in [("Uid", str(WHO.pw_uid)), ("Gid", str(WHO.pw_gid)), ("CapEff", "0" * 16), ("CapInh", "0" * 16),
                             ("CapAmb", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")]:
            check(set(self.status(name).split()) == {wanted}, name, self.status(name), what)
        check(set(self.status("Groups").split()) <= {str(WHO.pw_gid)}, self.status("Groups"), what)
        check(self.end() == 0, what)


def calls(opener):
    """Those that a started opener has made, in order: its name, which one of that name it is, and how strace writes it."""
    opener.attach()
    found, counts = [], {}
    with open(TRACE) as file:
        for line in file:
            # With -f there is a process before it.
            line = line.lstrip(" 0123456789")
            name = line.split("(")[0]
            counts[name] = counts.get(name, 0) + 1
            found.append((name, counts[name], line))
    check({"setgroups", "setresuid", "capset", "seccomp"} <= set(counts), counts)
    check(opener.end() == 0)
    return found


def need_tracing():
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if tried.returncode != 0:
        print("skipped: no process can be traced here:", tried.stdout.strip().splitlines()[-1:])
        sys.exit()


def kernel_refuses():
    """Each call that lowers its rights fails in its turn."""
    need_tracing()
    for prefixed in [False, True]:
        for name, number, line in calls(Traced(prefixed=prefixed)):
            if name not in LOWERING or "RLIMIT_STACK" in line or re.search(r"PR_CAPBSET_DROP, (?!CAP_KILL)", line):
                continue
            opener = Traced("%s:error=EPERM:when=%d" % (name, number), prefixed=prefixed)
            # The bounding set bounds nothing but an execve; without a prefix, the groups are the caller's own.
            if "PR_CAPBSET_DROP" in line or name == "setgroups" and not prefixed:
                opener.serves(line)
            else:
                opener.ends(line)


def kernel_differs():
    """A call that lowers its rights does nothing, or the kernel reports others than were set."""
    need_tracing()
    for prefixed in [False, True]:
        found = calls(Traced(prefixed=prefixed))
        # Without a prefix the group is the caller's from the beginning.
        for name in ["setgroups", "setresuid", "capset"] + ["setresgid"] * prefixed:
            for number in [number for other, number, _ in found if other == name]:
                Traced("%s:retval=0:when=%d" % (name, number), prefixed=prefixed).ends(name, number)
        for name in ["getuid", "geteuid", "getgid", "getegid"]:
            last = max(number for other, number, _ in found if other == name)
            Traced("%s:retval=1:when=%d" % (name, last), prefixed=prefixed).ends(name, last)
        # The first only says what it has.
        for number in [number for other, number, _ in found if other == "capget"][1:]:
            Traced("capget:poke_exit=%s:when=%d" % (ALL_CAPABILITIES, number), prefixed=prefixed).ends("capget", number)


def kernel_keeps_a_right():
    """A capability that it has raised for a call cannot be lowered again."""
    need_tracing()
    started = sum(name == "capset" for name, _, _ in calls(Traced()))
    for number, status in [(started + 1, None), (started + 2, 70)]:
        opener = Traced("capset:poke_enter=%s:when=%d" % (ALL_CAPABILITIES, number))
        opener.attach()
        answer = opener.ask("open", socket_request())
        check(opener.descriptors() == [], number, answer)
        if status is None:
            # It could not be raised.
            check(answer == error("eperm"), answer)
            opens_what_is_allowed(opener)
            check(opener.end() == 0)
        else:
            check(answer is None, answer)
            check(opener.process.wait(20) == status)


def kernel_without_close_range():
    need_tracing()
    low = os.open("/etc/passwd", os.O_RDONLY)
    high = fcntl.fcntl(low, fcntl.F_DUPFD, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 2)
    opener = Traced("close_range:error=ENOSYS", prefixed=True, inherited=[low, high])
    opener.attach()
    directory = "/proc/%d/fd/" % opener.process.pid
    found = {number: os.readlink(directory + number) for number in os.listdir(directory)}
    check(not any("passwd" in path for path in found.values()), found)
    opener.serves()


run(globals())
