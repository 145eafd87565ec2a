%% @doc Low-level sockets, served by a port program.
%%
%% A descriptor is a number, of type {@link fd()}, that is open in the BEAM. A program that opens one closes it, with {@link close/1}: a
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
%% <li>`{error, emfile}': the BEAM or the port process has no room for another descriptor;</li>
%% <li>`{error, enoent}', `{error, eacces}', `{error, enoexec}': the executable {@link progname/0} is not there, may not be executed, or is
%% for another system;</li>
%% <li>`{error, eproto}': it is of another version than the modules, or no port program of this project.</li>
%% </ul>
%% The cause of the last two, and of the end of a port process, is logged through `logger' with the domain `[procket]'.
%%
%% An argument of the wrong type or out of its range raises `badarg' or `function_clause'.
-module(procket).

-export([open/1, open/2, dev/1, dev/2]).
-export([open_socket/1, open_socket/2, listen_fds/0]).
-export([socket/3, close/1, bind/2, connect/2, listen/1, listen/2, accept/1, accept/2, getsockname/2]).
-export([recv/2, recvfrom/2, recvfrom/4, recvmsg/4, recvmsg/5, recvmmsg/5]).
-export([sendto/2, sendto/3, sendto/4, sendmsg/4, sendmsg/5, sendmmsg/3]).
-export([read/2, write/2, writev/2]).
-export([setsockopt/4, getsockopt/4, ioctl/3, set_sock_nonblock/1, setns/1, setns/2]).
-export([call/1]).
-export([alloc/1, buf/1, memcpy/2, free/1]).
-export([select/2, select_stop/1]).
-export([socket_level/0, socket_level/1, socket_optname/0, socket_optname/1, socket_protocol/0, socket_protocol/1]).
-export([family/1, sockaddr_common/2, unix_path_max/0, errno_id/1]).
-export([ntohl/1, ntohs/1, wordalign/1, wordalign/2]).
-export([progname/0, getopts/1, info/0]).

-export_type([uint16_t/0, uint64_t/0, int32_t/0, size_t/0, fd/0, posix/0]).
-export_type([protocol/0, type/0, family/0, open_opt/0]).
-export_type([constant/0, control/0, resource/0]).

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
-type family() :: unspec | inet | inet6 | netlink | packet | local | unix | file | atom() | 0..16#ffff.
-type constant() :: integer() | atom().
%% A number, or a name in upper case as the system headers have it: `'SOL_SOCKET''.
-type control() :: {Level :: integer(), Type :: integer(), Data :: binary()}.
%% A control message: cmsg(3).
-type resource() :: reference().
%% Memory of the port process, see {@link alloc/1}.
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

-define(is_fd(FD), (is_integer(FD) andalso FD >= 0)).
-define(is_size(N), (is_integer(N) andalso N >= 0)).

%% @equiv open(Port, [])
-spec open(inet:port_number()) -> {ok, fd()} | {error, posix()}.
open(Port) ->
    open(Port, []).

%% @doc Opens a socket with the rights of an opener, and binds it.
%%
%% A socket of family inet or inet6 and type stream or dgram is bound to `ip' (default: every address) and
%% `Port' (0: any free port), a raw one to `ip' where that is given. Others are not bound, but for a packet socket with an `interface'.
%% The descriptor is non-blocking and close-on-exec.
%%
%% Options; those that are not known are ignored, and the first of each counts:
%% <ul>
%% <li>`{protocol, P}': default tcp; for `{family, packet}' the EtherType in network order;</li>
%% <li>`{type, T}': default what the protocol implies (tcp: stream, udp: dgram, others: raw);</li>
%% <li>`{family, F}': default, and for `unspec', what `ip' implies, else inet (inet6 for icmp6);</li>
%% <li>`{ip, Address}': a tuple or a string;</li>
%% <li>`{interface, Name}': SO_BINDTODEVICE, see socket(7); of a packet socket: where it is bound, see packet(7). Where a
%% policy allows that interface alone, the socket has a filter that is locked: `docs/security.md';</li>
%% <li>`{dev, Name}': the device `/dev/Name' instead of a socket, as {@link dev/2} does, in the `namespace';</li>
%% <li>`{namespace, Path}': opens in this network namespace, see ip-netns(8);</li>
%% <li>`{backlog, N}': listens, see listen(2);</li>
%% <li>`{exec, [Prefix]}': prefixes of the opener's command, tried in turn: the next one only after eacces,
%% eperm or enoent. Default: `["", "sudo"]';</li>
%% <li>`{progname, Command}': the opener's executable, with arguments; default: {@link progname/0};</li>
%% <li>`{pipe, Path}': path of the Unix socket over which the descriptor comes; it is removed afterwards, and
%% the opener serves this call alone. Default: in a directory of its own.</li>
%% </ul>
%% An opener is kept for later calls where its command is a program alone, or one behind `sudo' or `doas'; one behind another prefix
%% serves one call. Blanks separate words in `exec' and `progname'; no shell is involved. A `sudo' or `doas' is given `-n', so that it never asks.
%%
%% Errors, among others of socket(2) and bind(2): `eacces' and `eperm' (no opener had the right), `eaddrinuse', `eaddrnotavail',
%% `enodev' (no such interface), `enoent' (no such program or namespace).
-spec open(inet:port_number(), [open_opt() | term()]) -> {ok, fd()} | {error, posix()}.
open(Port, Opts) when is_integer(Port), Port >= 0, Port =< 16#ffff, is_list(Opts) ->
    procket_open:socket(Port, Opts).

%% @equiv open_socket(Port, [])
-spec open_socket(inet:port_number()) -> {ok, socket:socket()} | {error, posix() | {invalid, term()}}.
open_socket(Port) ->
    open_socket(Port, []).

%% @doc The same as {@link open/2}, but what it opens is a socket of OTP's module `socket'.
%%
%% It belongs to the calling process: `socket:close/1' closes it, and so does the end of that process. No descriptor is left to close.
%% Whether a stream listens is up to the option `backlog', or to `socket:listen/1'.
%%
%% OTP takes every family; one that it has no name for is a number in `socket:info/1', and its addresses are
%% `#{family => Number, addr => Binary}'. The option `dev' raises `badarg'. `{error, {invalid, _}}': OTP cannot tell on this system what
%% the descriptor is.
%%
%% ```
%% {ok, Socket} = procket:open_socket(53, [{protocol, udp}]),
%% {ok, #{port := 53}} = socket:sockname(Socket),
%% ok = socket:close(Socket).
%% '''
-spec open_socket(inet:port_number(), [open_opt() | term()]) ->
    {ok, socket:socket()} | {error, posix() | {invalid, term()}}.
open_socket(Port, Opts) ->
    case proplists:lookup(dev, Opts) of
        none -> ok;
        Device -> procket_error:badarg({option, Device})
    end,
    case open(Port, Opts) of
        {ok, FD} -> procket_fd:into_socket(FD);
        {error, _} = Error -> Error
    end.

%% @doc The descriptors that a service manager passed when it started this node, with their names: sd_listen_fds(3), systemd.socket(5).
%%
%% They are bound already, and a stream listens. They stay open until {@link close/1}, and each call gives the same ones. Programs that
%% the node starts do not get them. The list is empty when none was passed, or they were passed to another process
%% (`LISTEN_PID' is not this one). A name is what the socket unit says with `FileDescriptorName', or `"unknown"'.
%%
%% Errors: `einval', `LISTEN_FDS' is no number, or `LISTEN_FDNAMES' has not as many names; `ebadf', a descriptor is not open.
%%
%% ```
%% [] = procket:listen_fds().
%% '''
-spec listen_fds() -> [{Name :: string(), fd()}] | {error, einval | ebadf}.
listen_fds() ->
    procket_node:passed().

%% @equiv dev(Name, [])
-spec dev(string()) -> {ok, fd()} | {error, posix()}.
dev(Name) ->
    dev(Name, []).

%% @doc Opens a character device below `/dev' for reading and writing, with the rights of an opener.
%%
%% Where `/dev/Name' does not exist, the first of `/dev/Name0' to `/dev/Name254' that is not busy.
%% The options `exec', `progname' and `pipe' are those of {@link open/2}, and `{namespace, Path}' opens in this network namespace, where the
%% device that is made with a TUN descriptor then is. Errors: those of open(2); `enodev': no character device.
%%
%% ```
%% {ok, FD} = procket:dev("net/tun").
%% '''
-spec dev(string(), [open_opt() | term()]) -> {ok, fd()} | {error, posix()}.
dev(Name, Opts) when is_list(Opts) ->
    procket_open:device(Name, Opts).

%% @doc Makes a socket with the rights of the BEAM's user: socket(2). Where these do not suffice, with those of the BEAM itself, which may have
%% capabilities of its file.
%%
%% Errors: `eacces', `eperm', the user has no right to it, as to a raw one; `eafnosupport', `eprotonosupport', `esocktnosupport', the kernel has none such.
%%
%% ```
%% {ok, FD} = procket:socket(inet, dgram, udp).
%% '''
-spec socket(family(), type(), protocol()) -> {ok, fd()} | {error, posix()}.
socket(Family, Type, Protocol) ->
    {socket, Numbers, [], _} = Request = procket_calls:socket(Family, Type, Protocol),
    procket_node:socket(run(Request), list_to_tuple(Numbers)).

%% @doc Closes a descriptor of the BEAM, whatever it is: close(2). Error: `ebadf', there is no such descriptor.
%%
%% ```
%% {ok, FD} = procket:socket(inet, dgram, udp),
%% ok = procket:close(FD),
%% {error, ebadf} = procket:close(FD).
%% '''
-spec close(fd()) -> ok | {error, posix()}.
close(FD) when ?is_fd(FD) ->
    %% Looked up before: once it is closed, its number may be that of another.
    {Events, Sockets} = {procket_select:events(FD), gen_raw_server:sockets(FD)},
    Result = procket_fd:close(FD),
    procket_select:closed(FD, Events),
    gen_raw_server:closed(FD, Sockets),
    Result.

%% @doc Binds a socket to a native `struct sockaddr': bind(2).
%%
%% The path of a Unix socket may be relative: to the node's working directory. What is made there has the mode that the node's umask leaves.
%%
%% Errors: `eacces', a low port, and neither the user nor the BEAM has a right to it; `eaddrinuse'; `eaddrnotavail', no interface has the address; `einval', it is bound already.
%%
%% ```
%% {ok, FD} = procket:socket(inet, dgram, udp),
%% ok = procket:bind(FD, <<(procket:sockaddr_common(2, 16))/binary, 0:16, 127,0,0,1, 0:64>>).
%% '''
-spec bind(fd(), Sockaddr :: binary()) -> ok | {error, posix()}.
bind(FD, Sockaddr) ->
    procket_node:bind(run(procket_calls:bind(FD, Sockaddr)), FD, Sockaddr).

%% @doc Connects to a native `struct sockaddr': connect(2). An empty binary is a NULL address.
%%
%% `{error, einprogress}': the connection is being made, also where the descriptor is in blocking mode;
%% {@link select/2} for writing tells when it is done, and {@link getsockopt/4} of `SO_ERROR' how.
%%
%% Errors of an attempt: `econnrefused', nobody listens; `enetunreach', `ehostunreach', there is no way there.
%%
%% ```
%% {ok, FD} = procket:socket(inet, dgram, udp),
%% ok = procket:connect(FD, <<(procket:sockaddr_common(2, 16))/binary, 53:16, 127,0,0,1, 0:64>>),
%% ok = procket:sendto(FD, <<"hello">>).
%% '''
-spec connect(fd(), Sockaddr :: binary()) -> ok | {error, posix()}.
connect(FD, Sockaddr) ->
    run(procket_calls:connect(FD, Sockaddr)).

%% @equiv listen(FD, 128)
-spec listen(fd()) -> ok | {error, posix()}.
listen(FD) ->
    run(procket_calls:listen(FD)).

%% @doc Listens for connections: listen(2).
%% `Backlog': how many connections may wait to be accepted. Errors: `eaddrinuse', another socket listens there; `enotsup', the socket is no stream.
%%
%% ```
%% {ok, FD} = procket:socket(inet, stream, tcp),
%% ok = procket:listen(FD, 5).
%% '''
-spec listen(fd(), Backlog :: int32_t()) -> ok | {error, posix()}.
listen(FD, Backlog) ->
    run(procket_calls:listen(FD, Backlog)).

%% @doc Accepts a connection: accept(2). The new descriptor is non-blocking and close-on-exec.
%% `{error, eagain}': nobody has connected.
%%
%% `{error, einval}': the socket does not listen.
%%
%% ```
%% {ok, Listener} = procket:open(0, [{protocol, tcp}, {backlog, 5}]),
%% {error, eagain} = procket:accept(Listener).
%% '''
-spec accept(fd()) -> {ok, fd()} | {error, posix()}.
accept(FD) ->
    run(procket_calls:accept(FD)).

%% @doc Accepts a connection, with the peer's address: accept(2).
%%
%% `Salen' is the room for the address in bytes; a longer one is cut and padded with zeroes to its whole length. With 0 none is asked for.
%% Errors as of {@link accept/1}.
%%
%% ```
%% {ok, Listener} = procket:open(0, [{protocol, tcp}, {backlog, 5}]),
%% {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(Listener, <<0:128>>),
%% {ok, _} = gen_tcp:connect("localhost", Port, []),
%% {ok, _FD, <<_:16, _PeerPort:16, 127,0,0,1, _/binary>>} = procket:accept(Listener, 16).
%% '''
-spec accept(fd(), Salen :: size_t()) -> {ok, fd(), Sockaddr :: binary()} | {error, posix()}.
accept(FD, Salen) ->
    run(procket_calls:accept(FD, Salen)).

%% @doc The address that a socket is bound to, as a native `struct sockaddr': getsockname(2).
%%
%% The size of `Sockaddr' bounds what is fetched; a longer address is cut and padded with zeroes to its whole length.
%%
%% `{error, enotsock}': the descriptor is no socket.
%%
%% ```
%% {ok, FD} = procket:open(53, [{protocol, udp}, {ip, "127.0.0.1"}]),
%% {ok, <<_Family:16, 53:16, 127,0,0,1, _/binary>>} = procket:getsockname(FD, <<0:128>>).
%% '''
-spec getsockname(fd(), Sockaddr :: binary()) -> {ok, binary()} | {error, posix()}.
getsockname(FD, Sockaddr) ->
    run(procket_calls:getsockname(FD, Sockaddr)).

%% @doc The same as {@link recvfrom/2}.
-spec recv(fd(), Size :: size_t()) -> {ok, binary()} | {error, posix()}.
recv(FD, Size) ->
    run(procket_calls:recv(FD, Size)).

%% @doc Receives at most `Size' bytes: recv(2). Nothing there: `{error, eagain}'; end of a stream: `{ok, <<>>}'.
%%
%% Other errors: `econnrefused', a datagram that was sent before found nobody; `enotconn', the stream is not connected; `econnreset'; `enotsock'.
%%
%% ```
%% {ok, <<"hello">>} = procket:recvfrom(FD, 65535),
%% {error, eagain} = procket:recvfrom(FD, 65535).
%% '''
-spec recvfrom(fd(), Size :: size_t()) -> {ok, binary()} | {error, posix()}.
recvfrom(FD, Size) ->
    run(procket_calls:recvfrom(FD, Size)).

%% @doc Receives at most `Size' bytes, with the address they came from: recvfrom(2).
%%
%% `Flags' are the `MSG_*' of `sys/socket.h'; `MSG_DONTWAIT' is always added. With `MSG_TRUNC' a datagram longer than `Size'
%% gives a binary of the datagram's whole length: what did not fit is zeroes. `Salen' as in {@link accept/2}.
%% Errors as of {@link recvfrom/2}.
%%
%% ```
%% MSG_PEEK = 2,
%% {ok, <<"he">>, _Sockaddr} = procket:recvfrom(FD, 2, MSG_PEEK, 16),
%% {ok, <<"hello">>, <<>>} = procket:recvfrom(FD, 65535, 0, 0).
%% '''
-spec recvfrom(fd(), Size :: size_t(), Flags :: int32_t(), Salen :: size_t()) ->
    {ok, binary(), Sockaddr :: binary()} | {error, posix()}.
recvfrom(FD, Size, Flags, Salen) ->
    run(procket_calls:recvfrom(FD, Size, Flags, Salen)).

%% @doc Receives at most `Size' bytes and their control messages: recvmsg(2), cmsg(3).
%%
%% `CtrlSize' is the room for control messages in bytes. `MsgFlags' are those of `struct msghdr': `MSG_TRUNC', `MSG_CTRUNC', ….
%% The data of an `SCM_RIGHTS' message are descriptors that are now open in the BEAM, native 32-bit integers: the caller closes them.
%% Errors as of {@link recvfrom/2}.
%%
%% ```
%% {ok, Server} = procket:open(0, [{protocol, udp}, {ip, "127.0.0.1"}]),
%% ok = procket:setsockopt(Server, 'IPPROTO_IP', 'IP_PKTINFO', <<1:32/native>>),
%% {ok, Address} = procket:getsockname(Server, <<0:128>>),
%% ok = procket:sendto(Server, <<"hello">>, 0, Address),
%% {ok, <<"hello">>, _Flags, [{0, 8, <<_Interface:32, 127,0,0,1, _/binary>>}]} = procket:recvmsg(Server, 65535, 0, 64).
%% '''
-spec recvmsg(fd(), Size :: size_t(), Flags :: int32_t(), CtrlSize :: size_t()) ->
    {ok, binary(), MsgFlags :: int32_t(), [control()]} | {error, posix()}.
recvmsg(FD, Size, Flags, CtrlSize) ->
    run(procket_calls:recvmsg(FD, Size, Flags, CtrlSize)).

%% @doc The same with the address that the message came from; `Salen' as in {@link accept/2}.
-spec recvmsg(fd(), Size :: size_t(), Flags :: int32_t(), CtrlSize :: size_t(), Salen :: size_t()) ->
    {ok, binary(), MsgFlags :: int32_t(), [control()], Sockaddr :: binary()} | {error, posix()}.
recvmsg(FD, Size, Flags, CtrlSize, Salen) ->
    run(procket_calls:recvmsg(FD, Size, Flags, CtrlSize, Salen)).

%% @doc Receives several datagrams in one go, at most `Count' of at most `Size' bytes each, with the addresses they came from: recvmmsg(2).
%%
%% As many as are there, one at least; none there: `{error, eagain}'. No more than 1024 come at once, nor than fit into 8 MiB (`Count' times `Size').
%% `Flags' and `Salen' as in {@link recvfrom/4}.
%%
%% ```
%% {ok, [{<<"hello">>, Sockaddr} | _]} = procket:recvmmsg(FD, 64, 1500, 0, 16).
%% '''
-spec recvmmsg(fd(), Count :: pos_integer(), Size :: size_t(), Flags :: int32_t(), Salen :: size_t()) ->
    {ok, [{binary(), Sockaddr :: binary()}]} | {error, posix()}.
recvmmsg(FD, Count, Size, Flags, Salen) ->
    run(procket_calls:recvmmsg(FD, Count, Size, Flags, Salen)).

%% @equiv sendto(FD, Data, 0)
-spec sendto(fd(), Data :: binary()) -> ok | {ok, Sent :: size_t()} | {error, posix()}.
sendto(FD, Data) ->
    run(procket_calls:sendto(FD, Data)).

%% @equiv sendto(FD, Data, Flags, <<>>)
-spec sendto(fd(), Data :: binary(), Flags :: int32_t()) -> ok | {ok, Sent :: size_t()} | {error, posix()}.
sendto(FD, Data, Flags) ->
    run(procket_calls:sendto(FD, Data, Flags)).

%% @doc Sends to a native `struct sockaddr', or with an empty one to where the socket is connected: sendto(2).
%%
%% `{ok, Sent}': only so many bytes of a stream were taken. `MSG_DONTWAIT' and `MSG_NOSIGNAL' are always added to `Flags'.
%%
%% Errors: `eagain', the buffer is full; `emsgsize', a datagram is too long; `edestaddrreq', `enotconn', there is no address; `enetunreach'; `econnrefused', an earlier datagram found nobody;
%% `epipe', the peer has closed; `eacces', a broadcast address without `SO_BROADCAST'.
%%
%% ```
%% ok = procket:sendto(FD, <<"hello">>, 0, Sockaddr).
%% '''
-spec sendto(fd(), Data :: binary(), Flags :: int32_t(), Sockaddr :: binary()) ->
    ok | {ok, Sent :: size_t()} | {error, posix()}.
sendto(FD, Data, Flags, Sockaddr) ->
    run(procket_calls:sendto(FD, Data, Flags, Sockaddr)).

%% @equiv sendmsg(FD, Data, Flags, Ctrl, <<>>)
-spec sendmsg(fd(), Data :: binary(), Flags :: int32_t(), Ctrl :: [control()]) ->
    ok | {ok, Sent :: size_t()} | {error, posix()}.
sendmsg(FD, Data, Flags, Ctrl) ->
    run(procket_calls:sendmsg(FD, Data, Flags, Ctrl)).

%% @doc Sends with control messages: sendmsg(2), cmsg(3).
%%
%% The data of an `SCM_RIGHTS' message name descriptors of the BEAM, native 32-bit integers. `{error, ebadf}': one is not open.
%% `einval': the kernel does not know such a message. Others as of {@link sendto/4}.
%%
%% ```
%% IP_TTL = 2,
%% ok = procket:sendmsg(FD, <<"hello">>, 0, [{0, IP_TTL, <<1:32/native>>}], Sockaddr).
%% '''
-spec sendmsg(fd(), Data :: binary(), Flags :: int32_t(), Ctrl :: [control()], Sockaddr :: binary()) ->
    ok | {ok, Sent :: size_t()} | {error, posix()}.
sendmsg(FD, Data, Flags, Ctrl, Sockaddr) ->
    run(procket_calls:sendmsg(FD, Data, Flags, Ctrl, Sockaddr)).

%% @doc Sends several datagrams in one go, each to its native `struct sockaddr', or with an empty one to where the socket is connected: sendmmsg(2).
%%
%% `{ok, Sent}': so many of them, the first ones. An error is that of the first; one that comes later is seen when the rest is sent.
%% No more than 1024 go at once, nor than 8 MiB.
%%
%% ```
%% {ok, 2} = procket:sendmmsg(FD, [{<<"one">>, Sockaddr}, {<<"two">>, Sockaddr}], 0).
%% '''
-spec sendmmsg(fd(), [{binary(), Sockaddr :: binary()}], Flags :: int32_t()) -> {ok, Sent :: size_t()} | {error, posix()}.
sendmmsg(FD, Messages, Flags) ->
    run(procket_calls:sendmmsg(FD, Messages, Flags)).

%% @doc Reads at most `Length' bytes: read(2). End of file: `{ok, <<>>}'; nothing there: `{error, eagain}'.
%% `{error, eio}', `{error, ebadfd}': the device has failed, or is not set up.
%%
%% ```
%% {ok, FD} = procket:dev("zero"),
%% {ok, <<0,0,0,0>>} = procket:read(FD, 4).
%% '''
-spec read(fd(), Length :: size_t()) -> {ok, binary()} | {error, posix()}.
read(FD, Length) ->
    run(procket_calls:read(FD, Length)).

%% @doc Writes: write(2). `{ok, Written}': only so many bytes were taken. Of nothing, nothing is written: also not an empty datagram.
%% A list is written as {@link writev/2} writes it.
%%
%% Errors: `eagain'; `epipe', nobody reads any more; `einval', the device does not take it; `eio'.
%%
%% ```
%% {ok, FD} = procket:dev("null"),
%% ok = procket:write(FD, <<"hello">>),
%% {ok, <<>>} = procket:read(FD, 5).
%% '''
-spec write(fd(), Data :: binary() | [binary()]) -> ok | {ok, Written :: size_t()} | {error, posix()}.
write(FD, Data) ->
    run(procket_calls:write(FD, Data)).

%% @doc Writes several binaries in one go, as one datagram where the descriptor has datagrams: writev(2).
%% Errors as of {@link write/2}. An empty list raises `badarg'.
%%
%% ```
%% {ok, FD} = procket:dev("null"),
%% ok = procket:writev(FD, [<<"hel">>, <<"lo">>]).
%% '''
-spec writev(fd(), Data :: [binary()]) -> ok | {ok, Written :: size_t()} | {error, posix()}.
writev(FD, Data) ->
    run(procket_calls:writev(FD, Data)).

%% @doc Sets a socket option: setsockopt(2).
%%
%% `{error, unsupported}': this system's headers have no such name. A `Value' with pointers in it is made with {@link alloc/1}.
%%
%% Other errors: `enoprotoopt', the socket has no such option; `einval', the value is not one; `eperm', the user has no right to it.
%%
%% ```
%% ok = procket:setsockopt(FD, 'SOL_SOCKET', 'SO_REUSEADDR', <<1:32/native>>).
%% '''
-spec setsockopt(fd(), Level :: constant(), Opt :: constant(), Value :: binary()) ->
    ok | {error, posix() | unsupported}.
setsockopt(FD, Level, Opt, Value) ->
    run(procket_calls:setsockopt(FD, Level, Opt, Value)).

%% @doc A socket option's value, of at most the size of `Value': getsockopt(2).
%%
%% Errors as of {@link setsockopt/4}.
%%
%% ```
%% {ok, <<2:32/native>>} = procket:getsockopt(FD, 'SOL_SOCKET', 'SO_TYPE', <<0:32>>).
%% '''
-spec getsockopt(fd(), Level :: constant(), Opt :: constant(), Value :: binary()) ->
    {ok, binary()} | {error, posix() | unsupported}.
getsockopt(FD, Level, Opt, Value) ->
    run(procket_calls:getsockopt(FD, Level, Opt, Value)).

%% @doc Controls a device: ioctl(2). The structure as the kernel left it; an integer is passed by value and gives an empty binary.
%%
%% Errors: `enotty', the descriptor knows no such request; `enodev', there is no such interface; `eperm', the user has no right to it; `einval'; `efault', an address in the structure is wrong.
%%
%% ```
%% SIOCGIFINDEX = 16#8933,
%% {ok, <<_:16/binary, Index:32/native, _/binary>>} = procket:ioctl(FD, SIOCGIFINDEX, <<"lo", 0:(38 * 8)>>).
%% '''
-spec ioctl(fd(), Request :: integer(), Arg :: binary() | integer()) -> {ok, binary()} | {error, posix()}.
ioctl(FD, Request, Arg) ->
    run(procket_calls:ioctl(FD, Request, Arg)).

%% @doc Sets `O_NONBLOCK': fcntl(2).
%%
%% ```
%% ok = procket:set_sock_nonblock(FD),
%% {error, ebadf} = procket:set_sock_nonblock(1000000).
%% '''
-spec set_sock_nonblock(fd()) -> ok | {error, posix()}.
set_sock_nonblock(FD) ->
    run(procket_calls:set_sock_nonblock(FD)).

%% @equiv setns(Path, 0)
-spec setns(file:filename()) -> ok | {error, posix()}.
setns(Path) ->
    run(procket_calls:setns(Path)).

%% @doc Enters a namespace: setns(2). It is the worker that enters: {@link socket/3} makes its sockets there from now on, for
%% every caller, until the worker ends. A relative path is one in the node's working directory. `NsType' is 0 or a `CLONE_NEW*' of `sched.h'. {@link open/2} with `{namespace, Path}' needs no such change.
%% Errors: `enoent', no such file; `einval', it is no namespace, or not of that type; `eperm', the BEAM's user may not enter it.
%%
%% ```
%% ok = procket:setns("/proc/" ++ os:getpid() ++ "/ns/net", 0).
%% '''
-spec setns(file:filename(), NsType :: int32_t()) -> ok | {error, posix()}.
setns(Path, NsType) ->
    run(procket_calls:setns(Path, NsType)).

run(Request) ->
    procket_calls:run(Request).

%% @doc Makes several calls in one exchange with the port program, one after the other; the result of each, as it would be alone.
%%
%% Each is the name of a function of this module and its arguments: of those that act on descriptors with the rights of the BEAM's user, from
%% {@link socket/3} to {@link setns/2}; another raises `badarg'. All are made, also where one before has failed.
%% `{error, posix()}': none was made. Descriptors that the calls bring are 253 at most; a call that brings more is `{error, emfile}'.
%%
%% ```
%% {ok, FD} = procket:socket(inet, stream, tcp),
%% [ok, ok, ok] = procket:call([
%%     {setsockopt, [FD, 'SOL_SOCKET', 'SO_REUSEADDR', <<1:32/native>>]},
%%     {bind, [FD, Sockaddr]},
%%     {listen, [FD]}
%% ]).
%% '''
-spec call([{Function :: atom(), Args :: [term()]}]) -> [Result :: term()] | {error, posix()}.
call(Calls) when is_list(Calls) ->
    run(procket_calls:batch(Calls)).

%% @doc A structure with pointers in it, for {@link ioctl/3} and {@link setsockopt/4}.
%%
%% Each `{ptr, Size}' becomes a pointer to `Size' zero bytes, each `{ptr, Binary}' one to a copy of it; there is a resource for each, in
%% order. The memory is the worker's. {@link free/1} frees it, and so does the end of the calling process, even if another process holds
%% the resource. `{error, enomem}': more than 64 MiB in all.
%%
%% ```
%% {ok, Struct, [Filter]} = procket:alloc([<<Length:16/native, 0:48>>, {ptr, Instructions}]).
%% '''
-spec alloc([binary() | {ptr, size_t() | binary()}]) -> {ok, Struct :: binary(), [resource()]} | {error, posix()}.
alloc(Items) ->
    procket_memory:alloc(Items).

%% @doc What the memory of a resource holds. `{error, enomem}': it has been freed, or the worker has ended.
-spec buf(resource()) -> {ok, binary()} | {error, posix()}.
buf(Resource) when is_reference(Resource) ->
    procket_memory:buf(Resource).

%% @doc Writes to the start of the memory of a resource. Raises `badarg' when `Data' is longer than that memory.
%% `{error, enomem}' as of {@link buf/1}.
%%
%% ```
%% {ok, _Pointer, [Memory]} = procket:alloc([{ptr, 8}]),
%% ok = procket:memcpy(Memory, <<"hello">>),
%% {ok, <<"hello", 0, 0, 0>>} = procket:buf(Memory).
%% '''
-spec memcpy(resource(), Data :: binary()) -> ok | {error, posix()}.
memcpy(Resource, Data) when is_reference(Resource), is_binary(Data) ->
    procket_memory:memcpy(Resource, Data).

%% @doc Frees the memory of a resource. Structures that point to it must not be used any more.
%% `{error, enomem}': it has been freed already.
%%
%% ```
%% {ok, _Pointer, [Memory]} = procket:alloc([{ptr, 8}]),
%% ok = procket:free(Memory),
%% {error, enomem} = procket:buf(Memory).
%% '''
-spec free(resource()) -> ok | {error, posix()}.
free(Resource) when is_reference(Resource) ->
    procket_memory:free(Resource).

%% @doc Asks for one message to the calling process when a descriptor becomes readable or writable.
%%
%% The message is `{procket, FD, ready, read | write}', or `{procket, FD, error, Reason}': `ebadf', the descriptor was closed; `epipe', the worker
%% ended. Asking again before it has come changes nothing. `{error, eperm}': the descriptor cannot be waited for, as that of a regular file; see epoll(7).
%%
%% ```
%% ok = procket:select(FD, read),
%% receive {procket, FD, ready, read} -> procket:recv(FD, 65535) end.
%% '''
-spec select(fd(), read | write) -> ok | {error, posix()}.
select(FD, Mode) when ?is_fd(FD), (Mode =:= read orelse Mode =:= write) ->
    procket_select:select(FD, Mode).

%% @doc Takes back what the calling process has asked for with {@link select/2}. No message about `FD' comes after it has returned.
%%
%% ```
%% ok = procket:select(FD, read),
%% ok = procket:select_stop(FD).
%% '''
-spec select_stop(fd()) -> ok.
select_stop(FD) when ?is_fd(FD) ->
    procket_select:stop(FD).

%% @doc The levels of socket options that this system's headers define.
-spec socket_level() -> [{Name :: atom(), integer()}].
socket_level() ->
    procket_names:constants(socket_level).

%% @doc The number of a level, or the name of a number.
%%
%% ```
%% 1 = procket:socket_level('SOL_SOCKET'),
%% 'SOL_SOCKET' = procket:socket_level(1).
%% '''
-spec socket_level(constant()) -> constant() | undefined.
socket_level(Constant) ->
    procket_names:constant(socket_level, Constant).

%% @doc The socket options, and what else shares their prefixes, that this system's headers define.
%%
%% ```
%% Number = procket:socket_optname('SO_REUSEADDR').
%% '''
-spec socket_optname() -> [{Name :: atom(), integer()}].
socket_optname() ->
    procket_names:constants(socket_optname).

%% @doc The number of an option, or a name of a number: many options share one, `SO_*' come first.
%%
%% ```
%% 'SO_REUSEADDR' = procket:socket_optname(2),
%% undefined = procket:socket_optname('SO_NONSENSE').
%% '''
-spec socket_optname(constant()) -> constant() | undefined.
socket_optname(Constant) ->
    procket_names:constant(socket_optname, Constant).

%% @doc The protocols that this system's headers define.
-spec socket_protocol() -> [{Name :: atom(), integer()}].
socket_protocol() ->
    procket_names:constants(socket_protocol).

%% @doc The number of a protocol, or the name of a number.
%%
%% ```
%% 17 = procket:socket_protocol('IPPROTO_UDP').
%% '''
-spec socket_protocol(constant()) -> constant() | undefined.
socket_protocol(Constant) ->
    procket_names:constant(socket_protocol, Constant).

%% @doc The number of an address family on this platform, from `sys/socket.h'. A number stays as it is.
%%
%% ```
%% 2 = procket:family(inet),
%% 77 = procket:family(77).
%% '''
-spec family(family()) -> non_neg_integer().
family(Name) ->
    procket_names:family(Name).

%% @doc How a `struct sockaddr' of `Length' bytes begins.
%%
%% ```
%% Sockaddr = <<(procket:sockaddr_common(inet, 16))/binary, 53:16, 127,0,0,1, 0:64>>.
%% '''
-spec sockaddr_common(family(), Length :: 0..255) -> <<_:16>>.
sockaddr_common(Family, Length) ->
    procket_names:sockaddr_common(Family, Length).

%% @doc The size of `sun_path' in `struct sockaddr_un', in bytes: unix(7).
%%
%% ```
%% Path = "/run/served.sock",
%% Padding = procket:unix_path_max() - length(Path),
%% Sockaddr = <<(procket:sockaddr_common(procket:family(unix), 110))/binary, (list_to_binary(Path))/binary, 0:(Padding * 8)>>.
%% '''
-spec unix_path_max() -> 104 | 108.
unix_path_max() ->
    procket_names:unix_path_max().

%% @doc The name of an errno: `errno_id(13)' is `eacces' on Linux. `unknown' where the system defines none.
%%
%% ```
%% eacces = procket:errno_id(13).
%% '''
-spec errno_id(non_neg_integer()) -> posix().
errno_id(Errno) when is_integer(Errno), Errno >= 0 ->
    procket_names:errno(Errno).

%% @doc The path of the port program: the application environment's `port_executable', or `priv/procket'.
%%
%% ```
%% "procket" = filename:basename(procket:progname()).
%% '''
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

%% @doc The port processes that run, and what they have done so far, for operators of a node; none is started for it.
%%
%% <ul>
%% <li>`role': worker, opener or capture; `command', an opener's; `socket', the one of {@link gen_raw} that a capture serves;</li>
%% <li>`refusals', of an opener: why requests were refused, and how often, since the application started;</li>
%% <li>`os_pid'; `user', the user identifier that it runs as; `capabilities', those that it may raise: capabilities(7);</li>
%% <li>`calls', `errors' (calls that failed, also with `eagain'), `received' and `sent' (bytes of requests, and of answers and packets);</li>
%% <li>`spin', of a worker or opener: for how long it polls, in microseconds; `polled' and `slept': how often a request came while it did, and how often
%% after it slept;</li>
%% <li>`packets', of a capture: the counters of {@link gen_raw:stats/1}.</li>
%% </ul>
%%
%% All are asked at once, and those that say nothing within two seconds, because they are stopped or have too much to do, are there with the first three lines alone.
%%
%% ```
%% eacces = procket:errno_id(13),
%% [Calls] = [Calls || #{role := worker, calls := Calls} <- procket:info()].
%% '''
-spec info() -> [procket_info:info()].
info() ->
    procket_info:all().

%% @doc From network to host byte order: byteorder(3).
%%
%% A binary is read as an integer in network order, which is converted: the result is what a native integer in that memory is.
%%
%% ```
%% <<Number:32/native>> = <<127,0,0,1>>,
%% 16#7f000001 = procket:ntohl(Number),
%% 77 = procket:ntohl(<<77:32/native>>).
%% '''
-spec ntohl(non_neg_integer() | <<_:32>>) -> non_neg_integer().
ntohl(<<N:32/native>>) -> N;
ntohl(N) when is_integer(N), N >= 0, N =< 16#ffffffff -> swapped(<<N:32/native>>).

%% @doc From network to host byte order: byteorder(3).
%%
%% A binary of 4 bytes is read as an integer in network order, which is converted. One of 2 bytes is a number in network order.
%%
%% ```
%% 53 = procket:ntohs(<<53:16>>),
%% 53 = procket:ntohs(procket:ntohs(53)).
%% '''
-spec ntohs(uint16_t() | <<_:16>> | <<_:32>>) -> uint16_t().
ntohs(<<N:16>>) -> N;
ntohs(<<N:32>>) -> ntohs(N);
ntohs(N) when is_integer(N), N >= 0, N =< 16#ffff -> swapped(<<N:16/native>>).

swapped(Bytes) -> binary:decode_unsigned(Bytes).

%% @doc The bytes of padding from an offset to a machine word.
%%
%% ```
%% 3 = procket:wordalign(5, 8).
%% '''
-spec wordalign(Offset :: size_t()) -> size_t().
wordalign(Offset) ->
    wordalign(Offset, erlang:system_info({wordsize, external})).

%% @doc The bytes of padding from an offset to a multiple of `Align'.
-spec wordalign(Offset :: size_t(), Align :: pos_integer()) -> size_t().
wordalign(Offset, Align) when ?is_size(Offset), is_integer(Align), Align > 0 ->
    (Align - Offset rem Align) rem Align.
