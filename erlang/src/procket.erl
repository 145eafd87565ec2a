%% @doc Low-level sockets, served by a port program.
%%
%% A descriptor is a number, of type {@link fd()}, that is open in the BEAM. Who opens one closes it, with {@link close/1}: a
%% `gen_udp' or `gen_tcp' socket that was made of it with the option `{fd, FD}' does not.
%%
%% Nothing has to be started first: the first call starts the application.
%%
%% ```
%% {ok, FD} = procket:open(53, [{protocol, udp}]),
%% {ok, Socket} = gen_udp:open(0, [{fd, FD}, binary]).
%% '''
%%
%% Functions return `{error, posix()}' for what the system refuses, and besides:
%% <ul>
%% <li>`{error, epipe}': the port process ended during the call; the next call starts another;</li>
%% <li>`{error, etimedout}': it gave no answer within the application's `timeout' (milliseconds, default 5000);</li>
%% <li>`{error, emfile}': the BEAM or the port process has no room for another descriptor.</li>
%% </ul>
%% An argument of the wrong type or out of its range raises `badarg' or `function_clause'.
-module(procket).

-export([open/1, open/2, dev/1, dev/2]).
-export([socket/3, close/1, bind/2, listen/1, listen/2, getsockname/2]).
-export([family/1, sockaddr_common/2, unix_path_max/0, errno_id/1]).
-export([progname/0, getopts/1]).

-export_type([uint16_t/0, uint64_t/0, int32_t/0, size_t/0, fd/0, posix/0]).
-export_type([protocol/0, type/0, family/0, open_opt/0]).

-type uint16_t() :: 0..16#ffff.
-type uint64_t() :: 0..16#ffffffffffffffff.
-type int32_t() :: -16#80000000..16#7fffffff.
-type size_t() :: non_neg_integer().
%% A number of bytes.
-type fd() :: non_neg_integer().
%% A descriptor of the BEAM.
-type posix() :: atom().
%% The name of an errno in lower case: `eacces', `eagain', …; see errno(3).
-type protocol() ::
    ip | icmp | tcp | udp | ipv6 | icmp6 | 'ipv6-icmp' | raw | non_neg_integer().
-type type() :: stream | dgram | raw | seqpacket | non_neg_integer().
-type family() :: unspec | inet | inet6 | netlink | packet | local | unix | file | atom() | non_neg_integer().
-type open_opt() ::
    {protocol, protocol()}
    | {type, type()}
    | {family, family()}
    | {ip, inet:ip_address() | string()}
    | {interface, string()}
    | {dev, string()}
    | {namespace, file:filename()}
    | {backlog, non_neg_integer()}
    | {progname, string()}
    | {exec, [string()]}
    | {pipe, file:filename()}.

-define(BACKLOG, 128).
-define(is_fd(FD), (is_integer(FD) andalso FD >= 0)).
-define(is_int32(N), (is_integer(N) andalso N >= -16#80000000 andalso N =< 16#7fffffff)).

%% @equiv open(Port, [])
-spec open(inet:port_number()) -> {ok, fd()} | {error, posix()}.
open(Port) ->
    open(Port, []).

%% @doc Opens a socket with the rights of an opener, and binds it.
%%
%% A socket of family inet or inet6 and type stream or dgram is bound to `ip' (default: every address) and
%% `Port' (0: any free port). Others are not bound, but for a packet socket with an `interface'.
%% The descriptor is non-blocking and close-on-exec.
%%
%% Options; those that are not known are ignored, and the first of each counts:
%% <ul>
%% <li>`{protocol, P}': default tcp; for `{family, packet}' the EtherType in network order;</li>
%% <li>`{type, T}': default what the protocol implies (tcp: stream, udp: dgram, others: raw);</li>
%% <li>`{family, F}': default what `ip' implies, else inet (inet6 for icmp6);</li>
%% <li>`{ip, Address}': a tuple or a string;</li>
%% <li>`{interface, Name}': SO_BINDTODEVICE, see socket(7); of a packet socket: where it is bound, see packet(7);</li>
%% <li>`{dev, Name}': the device `/dev/Name' instead of a socket, as {@link dev/2} does;</li>
%% <li>`{namespace, Path}': opens in this network namespace, see ip-netns(8);</li>
%% <li>`{backlog, N}': listens, see listen(2);</li>
%% <li>`{exec, [Prefix]}': prefixes of the opener's command, tried in turn: the next one only after eacces,
%% eperm or enoent. Default: `["", "sudo"]';</li>
%% <li>`{progname, Command}': the opener's executable, with arguments; default: {@link progname/0};</li>
%% <li>`{pipe, Path}': path of the Unix socket over which the descriptor comes; it is removed afterwards, and
%% the opener serves this call alone. Default: in a directory of its own.</li>
%% </ul>
%% Blanks separate words in `exec' and `progname'; no shell is involved. A `sudo' or `doas' is given `-n', so that it never asks.
%%
%% Errors, among others of socket(2) and bind(2): `eacces' and `eperm' (no opener had the right), `eaddrinuse', `eaddrnotavail',
%% `enodev' (no such interface), `enoent' (no such program or namespace).
-spec open(inet:port_number(), [open_opt() | term()]) -> {ok, fd()} | {error, posix()}.
open(Port, Opts) when is_integer(Port), Port >= 0, Port =< 16#ffff, is_list(Opts) ->
    procket_open:socket(Port, Opts).

%% @equiv dev(Name, [])
-spec dev(string()) -> {ok, fd()} | {error, posix()}.
dev(Name) ->
    dev(Name, []).

%% @doc Opens a character device below `/dev' for reading and writing, with the rights of an opener.
%%
%% Where `/dev/Name' does not exist, the first of `/dev/Name0' to `/dev/Name254' that is not busy.
%% The options `exec', `progname' and `pipe' are those of {@link open/2}. Errors: those of open(2); `enodev': no character device.
%%
%% ```
%% {ok, FD} = procket:dev("net/tun").
%% '''
-spec dev(string(), [open_opt() | term()]) -> {ok, fd()} | {error, posix()}.
dev(Name, Opts) when is_list(Opts) ->
    procket_open:device(Name, Opts).

%% @doc Makes a socket with the rights of the BEAM's user: socket(2).
-spec socket(family(), type(), protocol()) -> {ok, fd()} | {error, posix()}.
socket(Family, Type, Protocol) ->
    {F, T, P} = procket_open:socket_numbers(Family, Type, Protocol),
    case procket_call:worker_fds(socket, [F, T, P]) of
        {ok, [FD]} -> {ok, FD};
        {Error, []} -> Error;
        {error, _} = Error -> Error
    end.

%% @doc Closes a descriptor of the BEAM, whatever it is: close(2). Error: `ebadf', there is no such descriptor.
-spec close(fd()) -> ok | {error, posix()}.
close(FD) when ?is_fd(FD) ->
    procket_fd:close(FD).

%% @doc Binds a socket to a native `struct sockaddr': bind(2).
-spec bind(fd(), Sockaddr :: binary()) -> ok | {error, posix()}.
bind(FD, Sockaddr) when ?is_fd(FD), is_binary(Sockaddr) ->
    procket_call:worker(bind, [Sockaddr], [FD]).

%% @equiv listen(FD, 128)
-spec listen(fd()) -> ok | {error, posix()}.
listen(FD) ->
    listen(FD, ?BACKLOG).

%% @doc Listens for connections: listen(2).
-spec listen(fd(), Backlog :: int32_t()) -> ok | {error, posix()}.
listen(FD, Backlog) when ?is_fd(FD), ?is_int32(Backlog) ->
    procket_call:worker(listen, [Backlog], [FD]).

%% @doc The address that a socket is bound to, as a native `struct sockaddr': getsockname(2).
%%
%% The size of `Sockaddr' bounds what is fetched; a longer address is cut and padded with zeroes to its whole length.
-spec getsockname(fd(), Sockaddr :: binary()) -> {ok, binary()} | {error, posix()}.
getsockname(FD, Sockaddr) when ?is_fd(FD), is_binary(Sockaddr) ->
    procket_call:worker(getsockname, [byte_size(Sockaddr)], [FD]).

%% @doc The number of an address family on this platform, from `sys/socket.h'. A number stays as it is.
-spec family(family()) -> non_neg_integer().
family(Name) ->
    procket_platform:family(Name).

%% @doc How a `struct sockaddr' of `Length' bytes begins.
%%
%% ```
%% Sockaddr = <<(procket:sockaddr_common(procket:family(inet), 16))/binary, 53:16, 127,0,0,1, 0:64>>.
%% '''
-spec sockaddr_common(Family :: 0..16#ffff, Length :: 0..255) -> <<_:16>>.
sockaddr_common(Family, Length) ->
    procket_platform:sockaddr_common(Family, Length).

%% @doc The size of `sun_path' in `struct sockaddr_un', in bytes: unix(7).
-spec unix_path_max() -> 104 | 108.
unix_path_max() ->
    procket_platform:unix_path_max().

%% @doc The name of an errno: `errno_id(13)' is `eacces' on Linux. `unknown' where the system defines none.
-spec errno_id(non_neg_integer()) -> posix().
errno_id(Errno) when is_integer(Errno), Errno >= 0 ->
    {ok, Name} = procket_call:worker(errno_id, [Errno]),
    Name.

%% @doc The path of the port program: the application environment's `port_executable', or `priv/procket'.
-spec progname() -> file:filename().
progname() ->
    procket_command:progname().

%% @doc The commands of the openers that {@link open/2} would try with these options, in turn. For debugging.
%%
%% ```
%% ["/usr/lib/procket opener"] = procket:getopts([{progname, "/usr/lib/procket"}, {exec, [""]}]).
%% '''
-spec getopts([open_opt() | term()]) -> [string()].
getopts(Opts) ->
    [procket_command:to_string(Command) || Command <- procket_open:commands(Opts)].
