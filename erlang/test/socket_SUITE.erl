%% What procket opens, as OTP's own modules take it: socket, gen_tcp, gen_udp, ssl.
-module(socket_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        udp, udp6, tcp, raw_icmp, packet_by_number, netlink_by_number, close_closes_everything, goes_with_its_owner, not_a_socket,
        refused_opening_leaves_nothing, gen_tcp_with_ip_binds_again, tls, http
    ].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

udp(_Config) ->
    exchange(inet, {127, 0, 0, 1}).

udp6(_Config) ->
    exchange(inet6, {0, 0, 0, 0, 0, 0, 0, 1}).

exchange(Family, IP) ->
    {ok, Socket} = procket:open_socket(0, [{protocol, udp}, {ip, IP}]),
    ?assertMatch(#{domain := Family, type := dgram, protocol := udp}, socket:info(Socket)),
    {ok, #{port := Port, addr := IP}} = socket:sockname(Socket),
    {ok, Client} = gen_udp:open(0, [Family]),
    ok = gen_udp:send(Client, IP, Port, <<"hello">>),
    {ok, {From, <<"hello">>}} = socket:recvfrom(Socket, 0, 5000),
    ok = socket:sendto(Socket, <<"back">>, From),
    receive {udp, Client, IP, Port, "back"} -> ok after 30_000 -> error(nothing_came) end,
    ok = gen_udp:close(Client),
    ok = socket:close(Socket).

tcp(_Config) ->
    {ok, Listener} = procket:open_socket(0, [{protocol, tcp}, {ip, {127, 0, 0, 1}}, {backlog, 5}]),
    ?assertMatch(#{domain := inet, type := stream, protocol := tcp}, socket:info(Listener)),
    {ok, #{port := Port}} = socket:sockname(Listener),
    {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, [{active, false}]),
    {ok, Server} = socket:accept(Listener, 5000),
    ok = socket:send(Server, <<"hello">>),
    ?assertEqual({ok, "hello"}, gen_tcp:recv(Client, 5, 5000)),
    ok = gen_tcp:close(Client),
    lists:foreach(fun socket:close/1, [Server, Listener]).

raw_icmp(_Config) ->
    {ok, Socket} = procket:open_socket(0, [{protocol, icmp}]),
    ?assertMatch(#{domain := inet, type := raw, protocol := icmp}, socket:info(Socket)),
    Sum = packet:makesum(<<8, 0, 0:16, 7:16, 1:16>>),
    ok = socket:sendto(Socket, <<8, 0, Sum:16, 7:16, 1:16>>, #{family => inet, port => 0, addr => {127, 0, 0, 1}}),
    ?assertMatch({ok, {#{addr := {127, 0, 0, 1}}, <<16#45, _/binary>>}}, socket:recvfrom(Socket, 0, 5000)),
    ok = socket:close(Socket).

packet_by_number(_Config) ->
    {ok, Socket} = procket:open_socket(0, [{family, packet}, {type, raw}, {protocol, 16#0008}, {interface, "lo"}]),
    ?assertMatch(#{domain := 17, type := raw}, socket:info(Socket)),
    {ok, Client} = gen_udp:open(0),
    ok = gen_udp:send(Client, {127, 0, 0, 1}, 9, <<"hello">>),
    {ok, Frame} = socket:recv(Socket, 0, 5000),
    ?assertMatch(<<0:96, 16#0800:16, 16#45, _/binary>>, Frame),
    ok = gen_udp:close(Client),
    ok = socket:close(Socket).

%% RTM_GETLINK of loopback, from NETLINK_ROUTE.
netlink_by_number(_Config) ->
    {ok, Socket} = procket:open_socket(0, [{family, netlink}, {type, raw}, {protocol, 0}]),
    ?assertMatch(#{domain := 16}, socket:info(Socket)),
    ok = socket:send(Socket, <<32:32/native, 18:16/native, 1:16/native, 7:32/native, 0:32, 0, 0, 0:16, 1:32/native, 0:64>>),
    ?assertMatch({ok, <<_:32, 16:16/native, _:16, 7:32/native, _/binary>>}, socket:recv(Socket, 0, 5000)),
    ok = socket:close(Socket).

close_closes_everything(_Config) ->
    ok = socket:close(element(2, procket:open_socket(0, [{protocol, udp}]))),
    Before = procket_test:open_fds(),
    {ok, Socket} = procket:open_socket(0, [{protocol, udp}, {ip, "127.0.0.1"}]),
    ?assertEqual(Before + 1, procket_test:open_fds()),
    {ok, #{port := Port}} = socket:sockname(Socket),
    ok = socket:close(Socket),
    ?assertEqual(Before, procket_test:open_fds()),
    {ok, Again} = gen_udp:open(Port, [{ip, {127, 0, 0, 1}}]),
    ok = gen_udp:close(Again).

goes_with_its_owner(_Config) ->
    ok = socket:close(element(2, procket:open_socket(0, [{protocol, udp}]))),
    Before = procket_test:open_fds(),
    {Pid, Monitor} = spawn_monitor(fun() -> {ok, _} = procket:open_socket(0, [{protocol, udp}]) end),
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end,
    procket_test:wait_until(fun() -> procket_test:open_fds() =:= Before end).

not_a_socket(_Config) ->
    ?assertError(badarg, procket:open_socket(0, [{dev, "null"}])),
    {ok, FD} = procket:dev("null"),
    Before = procket_test:open_fds(),
    ?assertMatch({error, {invalid, _}}, procket_fd:into_socket(FD)),
    ?assertEqual(Before - 1, procket_test:open_fds()),
    ?assertEqual({error, ebadf}, procket:close(FD)).

refused_opening_leaves_nothing(_Config) ->
    {ok, Taken} = gen_udp:open(0),
    {ok, Port} = inet:port(Taken),
    ?assertEqual({error, eaddrinuse}, procket:open_socket(Port, [{protocol, udp}])),
    ?assertError(function_clause, procket:open_socket(-1)),
    ok = gen_udp:close(Taken).

%% What the guide warns of: the address belongs to procket:open/2.
gen_tcp_with_ip_binds_again(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, tcp}, {ip, {127, 0, 0, 1}}]),
    ?assertEqual({error, einval}, gen_tcp:listen(0, [{fd, FD}, {ip, {127, 0, 0, 1}}])),
    {ok, Listener} = gen_tcp:listen(0, [{fd, FD}]),
    ok = gen_tcp:close(Listener),
    ok = procket:close(FD).

tls(_Config) ->
    {ok, Started} = application:ensure_all_started(ssl),
    #{server_config := ServerConfig, client_config := ClientConfig} = certificates(),
    on_port_443(fun(FD, Connect) ->
        {ok, Listener} = ssl:listen(0, [{fd, FD}, binary, {active, false} | ServerConfig]),
        Client = Connect(ssl, [binary, {active, false}, {verify, verify_peer}, {server_name_indication, "localhost"} | ClientConfig]),
        {ok, Transport} = ssl:transport_accept(Listener, 60_000),
        {ok, Server} = ssl:handshake(Transport, 60_000),
        ok = ssl:send(Server, <<"hello">>),
        ?assertEqual({ok, <<"hello">>}, Client(fun(Socket) -> ssl:recv(Socket, 5, 60_000) end)),
        lists:foreach(fun ssl:close/1, [Server, Listener])
    end),
    lists:foreach(fun application:stop/1, lists:reverse(Started)).

%% OTP's own parser of HTTP, on a socket that somebody else opened.
http(_Config) ->
    on_port_443(fun(FD, Connect) ->
        {ok, Listener} = gen_tcp:listen(0, [{fd, FD}, binary, {active, false}, {packet, http_bin}]),
        Client = Connect(gen_tcp, [binary, {active, false}]),
        {ok, Server} = gen_tcp:accept(Listener, 60_000),
        ok = Client(fun(Socket) -> gen_tcp:send(Socket, "GET /there HTTP/1.0\r\n\r\n") end),
        ?assertMatch({ok, {http_request, 'GET', {abs_path, <<"/there">>}, {1, 0}}}, gen_tcp:recv(Server, 0, 60_000)),
        lists:foreach(fun gen_tcp:close/1, [Server, Listener])
    end).

%% Port 443 of a network namespace, and a client that lives there: its sockets are opened there too.
on_port_443(Fun) ->
    procket_test:with_netns(fun(Name) ->
        Options = [{protocol, tcp}, {ip, {127, 0, 0, 1}}, {namespace, "/run/netns/" ++ Name}],
        {ok, FD} = procket:open(443, Options),
        {ok, ClientFD} = procket:open(0, Options),
        Connect = fun(Module, TransportOptions) -> client(Module, [{fd, ClientFD} | TransportOptions]) end,
        Fun(FD, Connect),
        lists:foreach(fun procket:close/1, [FD, ClientFD])
    end).

%% A process that connects to port 443 and then does what it is asked.
client(Module, Options) ->
    Self = self(),
    Pid = spawn_link(fun() ->
        {ok, Socket} = Module:connect({127, 0, 0, 1}, 443, Options, 60_000),
        receive {do, Fun} -> Self ! {self(), Fun(Socket)} end,
        receive stop -> Module:close(Socket) end
    end),
    fun(Fun) ->
        Pid ! {do, Fun},
        receive {Pid, Result} -> Result after 60_000 -> error(client_hangs) end
    end.

certificates() ->
    Chain = #{root => key(), intermediates => [], peer => key() ++ [{extensions, [localhost()]}]},
    public_key:pkix_test_data(#{server_chain => Chain, client_chain => Chain}).

key() ->
    [{key, {rsa, 2048, 65537}}, {digest, sha256}].

localhost() ->
    {'Extension', {2, 5, 29, 17}, false, [{dNSName, "localhost"}]}.
