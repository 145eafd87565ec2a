"""Sockets on interfaces that have ports, or stand on others: interfaces.py SCENARIO OPENER USER DIRECTORY, as hostile.py.

What comes in is sent on the other ends of two pairs, a0 and b0, a1 and b1. The last line is `skipped: REASON` where the kernel has no
interface of a kind.
"""
from hostile import *

# linux/if_ether.h, in the order of the network.
ALL, IP = socket.htons(3), socket.htons(0x0800)
KINDS = {"udp": (2, 2, UDP, 1053), "raw": (2, 3, UDP, 0), "packet": (17, 3, ALL, 0), "packet of IP": (17, 3, IP, 0)}


def ip(*lines):
    for line in lines:
        subprocess.run(["ip"] + line.split(), check=True)


def make(line):
    """Makes an interface, unless the kernel has none of that kind."""
    made = subprocess.run(["ip"] + line.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode != 0:
        print("skipped: ip", line + ":", made.stdout.strip())
        sys.exit()


def address(number):
    return bytes([2, 0, 0, 0, 0, number])


def pairs():
    """Each a has an address of its own, and none of IP."""
    for number in range(2):
        ip("link add a%d address %s type veth peer name b%d" % (number, address(16 + number).hex(":"), number),
           "link set a%d up" % number, "link set b%d up" % number)


class Source:
    """A way in: a datagram to 10.9.LAST.1, which `host` has, is sent on `end` to a MAC."""

    def __init__(self, end, last, host, mac, tag=b""):
        self.last, self.mac, self.tag = last, mac, tag
        self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.out.bind((end, 0))
        # Of root's own: it gets what is sent last.
        self.fence = socket.socket(type=socket.SOCK_DGRAM)
        self.fence.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, host.encode())
        self.fence.bind(("", 0))
        self.fence_port = self.fence.getsockname()[1]
        # Until all is up.
        for _ in range(1000):
            self.put(self.fence_port, b"up")
            if select.select([self.fence], [], [], 0.02)[0]:
                return
        raise AssertionError("nothing comes in", end, host)

    def put(self, port, data):
        frame_ = datagram(port, data, bytes([10, 9, self.last, 1]))
        self.out.send(self.mac + frame_[6:12] + self.tag + frame_[12:])

    def send(self, data):
        """Afterwards whoever receives it has it: one processor keeps the order."""
        number = b"%d" % random.randrange(1 << 30)
        self.put(1053, data)
        self.put(self.fence_port, number)
        self.fence.settimeout(20)
        while self.fence.recv(100) != number:
            pass


def drain(got):
    data = b""
    with contextlib.suppress(BlockingIOError):
        while True:
            data += got.recv(65536) + b"|"
    return data


def heard(got, sources):
    """The names of those that a socket receives from."""
    names = set()
    drain(got)
    for name, source in sources.items():
        source.send(b"from " + name.encode())
        if b"from " + name.encode() in drain(got):
            names.add(name)
    return names


def bind_to(got, family, interface):
    """As its holder may try; whether it worked does not matter."""
    with contextlib.suppress(OSError):
        if family == 17:
            got.bind((interface, 3))
        else:
            ctypes.CDLL(None).connect(got.fileno(), bytes(16), 16)
            got.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())


def check_interfaces(sources, expected, comes_in):
    """`expected`: what a socket of a kind on an interface receives. `comes_in`: what any socket on it may receive, however it is bound."""
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    with open("/etc/procket/policy.conf", "w") as file:
        file.write("".join("allow %s %s on %s\n" % (USER, what, interface) for interface in comes_in for what in ["udp *", "raw *", "packet *"]))
    opener = Started()
    opener.attach()
    found, others = {}, [interface for _, interface in socket.if_nameindex()]
    for kind, interface in expected:
        family, type_, protocol, port = KINDS[kind]
        check(opener.ask("open", socket_request(family, type_, protocol, port, interface.encode())) == OK, kind, interface)
        [number] = opener.descriptors()
        with socket.socket(fileno=number) as got:
            found[kind, interface] = heard(got, sources)
            for other in others:
                bind_to(got, family, other)
                more = heard(got, sources) - comes_in[interface]
                check(not more, kind, "on", interface, "bound to", other, "receives from", more)
    check(found == expected, "\n".join("%s: %s, not %s" % (key, found[key], expected[key]) for key in expected if found[key] != expected[key]))
    check(opener.end() == 0)


def on_bridge():
    pairs()
    make("link add br0 address %s type bridge" % MAC.hex(":"))
    ip("link set a0 master br0", "link set a1 master br0", "addr add 10.9.0.1/24 dev br0", "link set br0 up")
    both, first = {"a0", "a1"}, {"a0"}
    check_interfaces(
        {"a0": Source("b0", 0, "br0", MAC), "a1": Source("b1", 0, "br0", MAC)},
        {("udp", "br0"): both, ("raw", "br0"): both, ("packet", "br0"): both, ("packet of IP", "br0"): both,
         # The bridge takes what comes in on its port, before anybody who asks for one protocol.
         ("udp", "a0"): set(), ("raw", "a0"): set(), ("packet", "a0"): first, ("packet of IP", "a0"): set()},
        {"br0": both, "a0": first})


def on_macvlan():
    pairs()
    make("link add link a0 name m0 address %s type macvlan" % MAC.hex(":"))
    ip("addr add 10.9.0.1/24 dev m0", "addr add 10.9.1.1/24 dev a0", "link set m0 up")
    check_interfaces(
        {"m0": Source("b0", 0, "m0", MAC), "a0": Source("b0", 1, "a0", address(16))},
        {("udp", "m0"): {"m0"}, ("raw", "m0"): {"m0"}, ("packet", "m0"): {"m0"}, ("packet of IP", "m0"): {"m0"},
         ("udp", "a0"): {"a0"}, ("raw", "a0"): {"a0"}, ("packet", "a0"): {"a0", "m0"}, ("packet of IP", "a0"): {"a0"}},
        {"m0": {"m0"}, "a0": {"a0", "m0"}})


def on_vlan():
    pairs()
    make("link add link a0 name v5 type vlan id 5")
    ip("addr add 10.9.0.1/24 dev v5", "addr add 10.9.1.1/24 dev a0", "link set v5 up")
    check_interfaces(
        {"v5": Source("b0", 0, "v5", address(16), b"\x81\x00\x00\x05"), "a0": Source("b0", 1, "a0", address(16))},
        {("udp", "v5"): {"v5"}, ("raw", "v5"): {"v5"}, ("packet", "v5"): {"v5"}, ("packet of IP", "v5"): {"v5"},
         ("udp", "a0"): {"a0"}, ("raw", "a0"): {"a0"}, ("packet", "a0"): {"a0", "v5"}, ("packet of IP", "a0"): {"a0"}},
        {"v5": {"v5"}, "a0": {"a0", "v5"}})


def on_bond():
    pairs()
    make("link add bond0 address %s type bond mode balance-rr miimon 10" % MAC.hex(":"))
    ip("link set a0 down", "link set a1 down", "link set a0 master bond0", "link set a1 master bond0", "addr add 10.9.0.1/24 dev bond0",
       "link set bond0 up")
    both, first = {"a0", "a1"}, {"a0"}
    check_interfaces(
        {"a0": Source("b0", 0, "bond0", MAC), "a1": Source("b1", 0, "bond0", MAC)},
        {("udp", "bond0"): both, ("raw", "bond0"): both, ("packet", "bond0"): both, ("packet of IP", "bond0"): both,
         ("udp", "a0"): set(), ("raw", "a0"): set(), ("packet", "a0"): first, ("packet of IP", "a0"): set()},
        {"bond0": both, "a0": first})


def on_vrf():
    pairs()
    make("link add vrf0 type vrf table 10")
    ip("link set vrf0 up", "link set a0 master vrf0", "link set a1 master vrf0", "addr add 10.9.0.1/24 dev a0", "addr add 10.9.1.1/24 dev a1")
    both, first = {"a0", "a1"}, {"a0"}
    check_interfaces(
        {"a0": Source("b0", 0, "vrf0", address(16)), "a1": Source("b1", 1, "vrf0", address(17))},
        {("udp", "vrf0"): both, ("raw", "vrf0"): both, ("packet", "vrf0"): both, ("packet of IP", "vrf0"): set(),
         ("udp", "a0"): set(), ("raw", "a0"): set(), ("packet", "a0"): first, ("packet of IP", "a0"): first},
        {"vrf0": both, "a0": first})


run(globals())
