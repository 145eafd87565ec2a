%% Programs as they are written for the published API, after its documentation and what it is used for: each is a few lines, and works as
%% it stands.
-module(idioms_SUITE).
-include_lib("stdlib/include/assert.hrl").
-include_lib("procket/include/procket.hrl").
-include_lib("procket/include/ioctl.hrl").
-include_lib("procket/include/packet.hrl").
-include_lib("procket/include/bpf.hrl").
-compile([export_all, nowarn_export_all]).

-define(TUNSETIFF, ?IOW($T, 202, 4)).
-define(IFF_TAP, 16#0002).
-define(IFF_NO_PI, 16#1000).
-define(IPV6_RECVPKTINFO, 49).

all() ->
    [
        echo, echo_of_inet6, echo_through_sudo, ping, ping6, sniff, sniff_through_a_port, pktinfo_echo, one_port_on_two_interfaces, exact_write,
        option_without_value, structure_with_pointers, unix_server, filtered_packets, filtered_stream, monitor, traceroute, tap_in_namespace
    ].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(echo_through_sudo, Config) -> procket_test:need("sudo", Config);
init_per_testcase(_, Config) -> Config.

end_per_testcase(_, _Config) ->
    ok.

%% The examples of the documentation

echo(_Config) ->
    echo([{protocol, tcp}, {family, inet}, {type, stream}], inet, {127, 0, 0, 1}, fun echo_tcp/4),
    echo([{protocol, udp}, {family, inet}, {type, dgram}], inet, {127, 0, 0, 1}, fun echo_udp/4).

echo_of_inet6(_Config) ->
    echo([{protocol, tcp}, {type, stream}, {family, inet6}], inet6, {0, 0, 0, 0, 0, 0, 0, 1}, fun echo_tcp/4),
    echo([{protocol, udp}, {type, dgram}, {family, inet6}], inet6, {0, 0, 0, 0, 0, 0, 0, 1}, fun echo_udp/4).

echo_through_sudo(_Config) ->
    echo([{progname, "sudo " ++ procket:progname()}, {protocol, udp}, {type, dgram}], inet, {127, 0, 0, 1}, fun echo_udp/4),
    echo([{exec, ["sudo"]}, {protocol, udp}, {type, dgram}], inet, {127, 0, 0, 1}, fun echo_udp/4).

echo(Options, Family, IP, Exchange) ->
    Port = procket_test:free_port(proplists:get_value(protocol, Options)),
    {ok, FD} = procket:open(Port, Options),
    Exchange(FD, Family, IP, Port),
    ok = procket:close(FD).

echo_tcp(FD, Family, IP, Port) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, Family, {fd, FD}]),
    {ok, Client} = gen_tcp:connect(IP, Port, [binary, Family, {active, false}]),
    {ok, Server} = gen_tcp:accept(Listener),
    ok = gen_tcp:send(Client, <<"hello">>),
    receive {tcp, Server, Data} -> ok = gen_tcp:send(Server, Data) end,
    ?assertEqual({ok, <<"hello">>}, gen_tcp:recv(Client, 5)),
    lists:foreach(fun gen_tcp:close/1, [Client, Server, Listener]).

echo_udp(FD, Family, IP, Port) ->
    {ok, Server} = gen_udp:open(0, [binary, Family, {fd, FD}]),
    {ok, Client} = gen_udp:open(0, [binary, Family, {active, false}]),
    ok = gen_udp:send(Client, IP, Port, <<"hello">>),
    receive {udp, Server, From, FromPort, Data} -> ok = gen_udp:send(Server, From, FromPort, Data) end,
    ?assertMatch({ok, {IP, Port, <<"hello">>}}, gen_udp:recv(Client, 0)),
    lists:foreach(fun gen_udp:close/1, [Client, Server]).

ping(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, icmp}, {type, raw}, {family, inet}]),
    {ok, Socket} = gen_udp:open(0, [binary, {fd, FD}]),
    ok = gen_udp:send(Socket, {127, 0, 0, 1}, 0, echo_request(8)),
    %% Loopback brings the request too.
    receive {udp, Socket, {127, 0, 0, 1}, _, <<_:20/bytes, 0, 0, _:16, 4711:16, 1:16, Payload/binary>>} -> ?assertEqual(<<"payload">>, Payload) end,
    ok = gen_udp:close(Socket),
    ok = procket:close(FD).

ping6(_Config) ->
    [
        begin
            {ok, FD} = procket:open(0, [{protocol, Protocol}, {type, raw}, {family, inet6}]),
            {ok, Socket} = gen_udp:open(0, [binary, {fd, FD}, inet6]),
            ok = gen_udp:send(Socket, {0, 0, 0, 0, 0, 0, 0, 1}, 0, echo_request(128)),
            receive {udp, Socket, _, _, <<129, 0, _:16, 4711:16, 1:16, Payload/binary>>} -> ?assertEqual(<<"payload">>, Payload) end,
            ok = gen_udp:close(Socket),
            ok = procket:close(FD)
        end
     || Protocol <- ['ipv6-icmp', icmp6]
    ].

echo_request(Type) ->
    Sum = packet:makesum(<<Type, 0, 0:16, 4711:16, 1:16, "payload", 0>>),
    <<Type, 0, Sum:16, 4711:16, 1:16, "payload">>.

sniff(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, 16#0008}, {type, raw}, {family, packet}]),
    ok = packet:bind(FD, packet:ifindex(FD, "lo")),
    ?assertEqual({error, eagain}, procket:recvfrom(FD, 2048)),
    send("sniffed"),
    socket_test:await(FD, read),
    {ok, <<_:12/bytes, ?ETH_P_IP:16, 4:4, _/bits>>} = procket:recvfrom(FD, 2048),
    ok = procket:close(FD).

%% Each read(2) of such a port is a packet, in a namespace as well.
sniff_through_a_port(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Namespace = {namespace, "/var/run/netns/" ++ Name},
        {ok, FD} = procket:open(0, [Namespace, {protocol, 16#0008}, {type, raw}, {family, packet}]),
        ok = packet:bind(FD, packet:ifindex(FD, "lo")),
        Port = erlang:open_port({fd, FD, FD}, [binary, stream]),
        {ok, Sender} = procket:open(0, [Namespace, {protocol, udp}]),
        ok = procket:sendto(Sender, <<"through">>, 0, procket_test:sockaddr(9, {127, 0, 0, 1})),
        receive {Port, {data, <<_:12/bytes, ?ETH_P_IP:16, _/binary>>}} -> ok end,
        true = erlang:port_close(Port),
        [ok = procket:close(Open) || Open <- [FD, Sender]]
    end).

%% What comes back with a message, its destination, goes into the answer as its source.
pktinfo_echo(_Config) ->
    Port = procket_test:free_port(udp),
    {ok, FD} = procket:socket(inet6, dgram, udp),
    ok = procket:setsockopt(FD, 41, ?IPV6_RECVPKTINFO, <<1:32>>),
    ok = procket:bind(FD, list_to_binary([procket:sockaddr_common(inet6, 28), <<Port:16, 0:(24 * 8)>>])),
    {ok, Client} = gen_udp:open(0, [binary, inet6, {active, false}]),
    ok = gen_udp:send(Client, {0, 0, 0, 0, 0, 0, 0, 1}, Port, <<"hello">>),
    socket_test:await(FD, read),
    {ok, <<"hello">>, 0, [{41, 50, _}] = Control, From} = procket:recvmsg(FD, 512, 0, 512, 28),
    ok = procket:sendmsg(FD, <<"hello">>, 0, Control, From),
    ?assertMatch({ok, {{0, 0, 0, 0, 0, 0, 0, 1}, Port, <<"hello">>}}, gen_udp:recv(Client, 0)),
    ok = gen_udp:close(Client),
    ok = procket:close(FD).

one_port_on_two_interfaces(_Config) ->
    procket_test:with_netns(fun(Name) ->
        _ = procket_test:sh_ok(["ip -n ", Name, " link add br0 type veth peer name br1"]),
        Options = [{namespace, "/run/netns/" ++ Name}, {protocol, udp}, {type, dgram}],
        FDs = [element(2, {ok, _} = procket:open(53, [{interface, Interface} | Options])) || Interface <- ["br0", "br1"]],
        ?assertEqual({error, eaddrinuse}, procket:open(53, [{interface, "br0"} | Options])),
        lists:foreach(fun procket:close/1, FDs)
    end).

exact_write(_Config) ->
    socket_test:with_stream(fun(FD, Peer) ->
        Data = rand:bytes(9_000_000),
        spawn_link(fun() -> write_exact(FD, Data) end),
        ?assert({ok, Data} =:= gen_tcp:recv(Peer, byte_size(Data)))
    end).

write_exact(FD, Data) ->
    case procket:write(FD, Data) of
        ok ->
            ok;
        {ok, N} ->
            <<_:N/bytes, Rest/binary>> = Data,
            write_exact(FD, Rest);
        {error, eagain} ->
            socket_test:await(FD, write),
            write_exact(FD, Data)
    end.

option_without_value(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({ok, <<>>}, procket:getsockopt(FD, 'SOL_SOCKET', 'SO_TYPE', <<>>)),
    ?assertEqual({error, unsupported}, procket:setsockopt(FD, 'SOL_SOCKET', 'SO_NOT_THERE', <<1:32/native>>)),
    ?assertEqual(ok, procket:setsockopt(FD, 'IPPROTO_IP', 'IP_TTL', <<7:32/native>>)),
    ok = procket:close(FD).

%% A structure with a pointer to instructions, and what the memory holds afterwards.
structure_with_pointers(_Config) ->
    Insn = [
        ?BPF_STMT(?BPF_LD + ?BPF_H + ?BPF_ABS, 12), ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, ?ETH_P_IP, 0, 1),
        ?BPF_STMT(?BPF_RET + ?BPF_K, 16#ffffffff), ?BPF_STMT(?BPF_RET + ?BPF_K, 0)
    ],
    {ok, Code, [Res]} = procket:alloc([<<(length(Insn)):2/native-unsigned-integer-unit:8, 0:48>>, {ptr, list_to_binary(Insn)}]),
    {ok, FD} = packet:socket(),
    ok = procket:setsockopt(FD, ?SOL_SOCKET, ?SO_ATTACH_FILTER, Code),
    ?assertEqual({ok, list_to_binary(Insn)}, procket:buf(Res)),
    ok = procket:close(FD).

%% What others do with it

%% As unixsock does.
unix_server(_Config) ->
    Path = list_to_binary("/tmp/procket-idioms-" ++ os:getpid()),
    {ok, Listener} = listen(Path),
    try
        {ok, Client} = procket:socket(?PF_LOCAL, ?SOCK_STREAM, 0),
        ok = procket:connect(Client, sockaddr_un(Path)),
        {ok, Server} = procket:accept(Listener),
        ok = procket:sendmsg(Client, <<"fd">>, 0, [{?SOL_SOCKET, 1, <<Listener:32/native>>}]),
        {ok, <<"fd">>, _, [{?SOL_SOCKET, 1, <<Passed:32/native>>}]} = procket:recvmsg(Server, 16, 0, 64),
        ?assertEqual(procket:getsockname(Listener, <<0:880>>), procket:getsockname(Passed, <<0:880>>)),
        [ok = procket:close(FD) || FD <- [Client, Server, Passed, Listener]]
    after
        file:delete(Path)
    end,
    ?assertEqual({error, enametoolong}, listen(binary:copy(<<"a">>, ?UNIX_PATH_MAX))).

listen(Path) when byte_size(Path) < ?UNIX_PATH_MAX ->
    {ok, FD} = procket:socket(?PF_LOCAL, ?SOCK_STREAM, 0),
    ok = procket:bind(FD, sockaddr_un(Path)),
    ok = procket:listen(FD, ?BACKLOG),
    {ok, FD};
listen(_Path) ->
    {error, enametoolong}.

sockaddr_un(Path) ->
    <<(procket:sockaddr_common(?PF_LOCAL, byte_size(Path)))/binary, Path/binary, 0:((procket:unix_path_max() - byte_size(Path)) * 8)>>.

%% As lsf and epcap_compile do.
filtered_packets(_Config) ->
    {ok, FD} = packet:socket(),
    ok = packet:bind(FD, packet:ifindex(FD, "lo")),
    %% The first word behind the headers of Ethernet, IPv4 and UDP.
    {ok, _} = packet:filter(FD, [
        ?BPF_STMT(?BPF_LD + ?BPF_W + ?BPF_ABS, 42), ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, 16#77616e74, 0, 1),
        ?BPF_STMT(?BPF_RET + ?BPF_K, 16#ffff), ?BPF_STMT(?BPF_RET + ?BPF_K, 0)
    ]),
    send("noise"),
    send("wanted"),
    socket_test:await(FD, read),
    {ok, <<_:42/bytes, "wanted">>} = procket:recv(FD, 1500),
    ?assertEqual({error, eagain}, procket:recv(FD, 1500)),
    ok = procket:close(FD).

filtered_stream(_Config) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    {ok, Server} = gen_tcp:accept(Listener),
    {ok, FD} = inet:getfd(Client),
    {ok, _} = packet:filter(FD, [?BPF_STMT(?BPF_RET + ?BPF_K, 0)]),
    ok = gen_tcp:send(Server, <<"dropped">>),
    ?assertEqual({error, timeout}, gen_tcp:recv(Client, 0, 100)),
    ok = packet:unfilter(FD),
    ?assertEqual({ok, <<"dropped">>}, gen_tcp:recv(Client, 0)),
    lists:foreach(fun gen_tcp:close/1, [Client, Server, Listener]).

%% As wierl does: every protocol, of one interface.
monitor(_Config) ->
    procket_test:with_netns(fun(_Name) ->
        {ok, FD} = packet:socket(16#0003),
        Ifindex = packet:ifindex(FD, "lo"),
        ok = packet:bind(FD, Ifindex),
        ?assertEqual(<<"lo">>, packet:ifname(FD, Ifindex)),
        Frame = <<0:96, 16#88b5:16, "of no protocol", 0:256>>,
        ok = packet:send(FD, Ifindex, Frame),
        socket_test:await(FD, read),
        ?assertEqual({ok, Frame}, procket:recvfrom(FD, 65535)),
        ok = procket:close(FD)
    end).

%% As tracert does: the answers to what was sent come to a raw socket of its own address.
traceroute(_Config) ->
    {ok, Icmp} = procket:open(0, [{protocol, icmp}, {ip, {127, 0, 0, 1}}, {type, raw}, {family, inet}]),
    {ok, Probe} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}, {type, dgram}, {family, inet}]),
    ok = procket:setsockopt(Probe, 'IPPROTO_IP', 'IP_TTL', <<1:32/native>>),
    Port = procket_test:free_port(udp),
    ok = procket:sendto(Probe, <<"probe">>, 0, procket_test:sockaddr(Port, {127, 0, 0, 1})),
    socket_test:await(Icmp, read),
    %% Port unreachable, with the header of what it is about.
    {ok, <<_:20/bytes, 3, 3, _:48, _:20/bytes, _:16, Port:16, _/binary>>, <<2:16/native, _:16, 127, 0, 0, 1, _/binary>>} = procket:recvfrom(Icmp, 1500, 0, 16),
    [ok = procket:close(FD) || FD <- [Icmp, Probe]].

%% As tunctl does, with the namespace among the options.
tap_in_namespace(_Config) ->
    procket_test:with_netns(fun(Name) ->
        {ok, FD} = procket:dev("net/tun", [tap, no_pi, {namespace, "/run/netns/" ++ Name}]),
        {ok, Dev} = procket:ioctl(FD, ?TUNSETIFF, <<"idiom0", 0:(10 * 8), (?IFF_TAP bor ?IFF_NO_PI):2/native-signed-integer-unit:8, 0:(14 * 8)>>),
        ?assertEqual(<<"idiom0">>, hd(binary:split(Dev, <<0>>))),
        _ = procket_test:sh_ok(["ip -n ", Name, " link set idiom0 up"]),
        Port = erlang:open_port({fd, FD, FD}, [stream, binary]),
        {ok, Sniffer} = procket:open(0, [{namespace, "/run/netns/" ++ Name}, {protocol, 16#b588}, {type, raw}, {family, packet}]),
        Frame = <<16#ffffffffffff:48, 2, 0:40, 16#88b5:16, 0:368>>,
        true = erlang:port_command(Port, Frame),
        socket_test:await(Sniffer, read),
        ?assertEqual({ok, Frame}, procket:recv(Sniffer, 2000)),
        true = erlang:port_close(Port),
        [ok = procket:close(Open) || Open <- [FD, Sniffer]]
    end).

send(Data) ->
    {ok, Socket} = gen_udp:open(0),
    ok = gen_udp:send(Socket, {127, 0, 0, 1}, 9, Data),
    ok = gen_udp:close(Socket).
