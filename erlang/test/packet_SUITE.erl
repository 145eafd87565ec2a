%% packet, on a veth pair between here and a namespace.
-module(packet_SUITE).
-include_lib("stdlib/include/assert.hrl").
-include("packet.hrl").
-include("bpf.hrl").
-compile([export_all, nowarn_export_all]).

-define(HERE, "procketA").
-define(ETH_P_ALL, 3).

all() ->
    [interfaces, addresses, errors, send_and_receive, bound, bind_to_device, promiscuous, filter, filter_record, filter_refused, neighbours, default_route, checksum].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

interfaces(_Config) ->
    with_veth(fun(_There) ->
        {ok, FD} = packet:socket(),
        {ok, Index} = net:if_name2index(?HERE),
        ?assertEqual(Index, packet:ifindex(FD, ?HERE)),
        ?assertEqual(list_to_binary(?HERE), packet:ifname(FD, Index)),
        ?assert(lists:member(?HERE, packet:iflist())),
        ?assert(lists:member("lo", packet:iflist())),
        ok = procket:close(FD)
    end).

addresses(_Config) ->
    with_veth(fun(_There) ->
        {ok, FD} = packet:socket(),
        ?assertEqual({10, 9, 6, 1}, packet:ipv4address(FD, ?HERE)),
        ?assertEqual({127, 0, 0, 1}, packet:ipv4address(FD, "lo")),
        ?assertEqual({2, 0, 0, 0, 0, 1}, packet:macaddress(FD, ?HERE)),
        ok = procket:close(FD)
    end).

errors(_Config) ->
    {ok, FD} = packet:socket(),
    ?assertEqual({error, enodev}, packet:ifindex(FD, "notthere")),
    ?assertEqual({error, enodev}, packet:ifname(FD, 99999)),
    ?assertEqual({error, enodev}, packet:ipv4address(FD, "notthere")),
    ?assertEqual({error, enodev}, packet:macaddress(FD, "notthere")),
    ?assertEqual({error, enodev}, packet:bind(FD, 99999)),
    ?assertEqual({error, enodev}, packet:promiscuous(FD, 99999)),
    ?assertMatch({error, _}, packet:send(FD, 99999, <<0:512>>)),
    ?assertEqual({error, enoent}, packet:unfilter(FD)),
    ?assertError(function_clause, packet:ifindex(FD, "longer-than-an-interface")),
    ok = procket:close(FD).

send_and_receive(_Config) ->
    with_veth(fun(There) ->
        {ok, FD} = packet:socket(?ETH_P_ALL),
        Frame = frame(<<"hello from here">>),
        ok = packet:send(FD, packet:ifindex(FD, ?HERE), Frame),
        ?assertEqual(Frame, next(There, <<"hello from here">>)),
        ok = procket:close(FD)
    end).

bound(_Config) ->
    with_veth(fun(There) ->
        {ok, FD} = packet:socket(?ETH_P_ALL),
        ok = packet:bind(FD, packet:ifindex(FD, ?HERE)),
        {ok, Index} = net:if_name2index(?HERE),
        ?assertMatch({ok, <<17:16/native, _:16, Index:32/native, _/binary>>}, procket:getsockname(FD, <<0:160>>)),
        ok = procket:sendto(There, frame(<<"hello from there">>)),
        ?assertEqual(frame(<<"hello from there">>), next(FD, <<"hello from there">>)),
        ok = procket:close(FD)
    end).

bind_to_device(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = packet:bindtodevice(FD, "lo"),
    ?assertEqual({ok, <<"lo", 0>>}, procket:getsockopt(FD, 'SOL_SOCKET', 'SO_BINDTODEVICE', <<0:128>>)),
    ok = packet:bindtodevice(FD, ""),
    ?assertEqual({error, enodev}, packet:bindtodevice(FD, "notthere")),
    ok = procket:close(FD).

promiscuous(_Config) ->
    with_veth(fun(_There) ->
        {ok, FD} = packet:socket(),
        Is = fun() -> procket_test:sh_ok("ip -d link show " ++ ?HERE) end,
        ?assertMatch({match, _}, re:run(Is(), "promiscuity 0")),
        ok = packet:promiscuous(FD, packet:ifindex(FD, ?HERE)),
        ?assertMatch({match, _}, re:run(Is(), "promiscuity 1")),
        ok = procket:close(FD),
        procket_test:wait_until(fun() -> re:run(Is(), "promiscuity 0") =/= nomatch end)
    end).

%% A filter in the kernel: what it does not accept never arrives, and does again when it is gone.
filter(_Config) ->
    filtered([
        ?BPF_STMT(?BPF_LD + ?BPF_B + ?BPF_ABS, 14),
        ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, $y, 0, 1),
        ?BPF_STMT(?BPF_RET + ?BPF_K, 16#ffffffff),
        ?BPF_STMT(?BPF_RET + ?BPF_K, 0)
    ]).

filter_record(_Config) ->
    filtered([
        #insn{code = ?BPF_LD + ?BPF_B + ?BPF_ABS, k = 14},
        #insn{code = ?BPF_JMP + ?BPF_JEQ + ?BPF_K, k = $y, jf = 1},
        #insn{code = ?BPF_RET + ?BPF_K, k = 16#ffffffff},
        #insn{code = ?BPF_RET + ?BPF_K, k = 0}
    ]).

filtered(Program) ->
    with_veth(fun(There) ->
        {ok, FD} = procket:open(0, [{protocol, procket:ntohs(?ETH_P_ALL)}, {type, raw}, {family, packet}, {interface, ?HERE}]),
        {ok, _} = packet:filter(FD, Program),
        drain(FD),
        Send = fun(Data) -> ok = procket:sendto(There, frame(Data)) end,
        [Send(Data) || Data <- [<<"no">>, <<"yes 1">>, <<"no">>, <<"yes 2">>]],
        ?assertEqual({ok, frame(<<"yes 1">>)}, await(FD)),
        ?assertEqual({ok, frame(<<"yes 2">>)}, await(FD)),
        ?assertEqual({error, eagain}, procket:recv(FD, 65535)),
        {ok, _} = packet:unfilter(FD, Program),
        Send(<<"no">>),
        ?assertEqual(frame(<<"no">>), next(FD, <<"no">>)),
        ok = procket:close(FD)
    end).

filter_refused(_Config) ->
    {ok, FD} = packet:socket(),
    %% It does not end with a return.
    ?assertEqual({error, einval}, packet:filter(FD, [?BPF_STMT(?BPF_LD + ?BPF_IMM, 1)])),
    ?assertEqual({error, einval}, packet:filter(FD, [])),
    ?assertError(function_clause, packet:filter(FD, x)),
    ok = procket:close(FD).

neighbours(_Config) ->
    with_veth(fun(_There) ->
        ?assertEqual(false, packet:arplookup({10, 9, 6, 77})),
        _ = procket_test:sh_ok("ip neigh replace 10.9.6.2 lladdr 02:00:00:00:00:02 dev " ++ ?HERE),
        ?assertEqual({2, 0, 0, 0, 0, 2}, packet:arplookup({10, 9, 6, 2})),
        ?assertEqual({2, 0, 0, 0, 0, 2}, packet:arplookup("10.9.6.2")),
        [?assertError(badarg, packet:arplookup(Address), Address) || Address <- [{256, 0, 0, 1}, {}, {1, 2, 3}, {a, b, c, d}]]
    end).

%% In a namespace of its own, where the default route is ours to make: a BEAM runs there.
default_route(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Ip = "ip -n " ++ Name ++ " ",
        [
            procket_test:sh_ok(Ip ++ Line)
         || Line <- [
                "link add dummy0 type veth peer name dummy1",
                "addr add 10.9.5.1/24 dev dummy0",
                "link set dummy0 up",
                "link set dummy1 up",
                "route add default via 10.9.5.254 dev dummy0",
                "neigh replace 10.9.5.254 lladdr 02:00:00:00:00:fe dev dummy0"
            ]
        ],
        Expression = "io:format(\"~w\", [{packet:default_interface(), packet:gateway(), packet:gateway(\"dummy0\"), packet:gateway_addr(\"dummy0\"), packet:gateway(\"lo\")}]), halt()",
        Line = ["ip netns exec ", Name, " erl -noshell -pa ", filename:dirname(code:which(packet)), " -eval '", Expression, "'"],
        Gateway = {ok, {2, 0, 0, 0, 0, 254}, {10, 9, 5, 254}},
        Expected = {["dummy0"], Gateway, Gateway, {10, 9, 5, 254}, false},
        ?assertEqual(lists:flatten(io_lib:format("~w", [Expected])), procket_test:sh_ok(Line))
    end).

checksum(_Config) ->
    %% The example of RFC 1071, and a header with its checksum in it.
    ?assertEqual(16#ffff - 16#ddf2, packet:makesum(<<16#00, 16#01, 16#f2, 16#03, 16#f4, 16#f5, 16#f6, 16#f7>>)),
    ?assertEqual(0, packet:makesum(<<16#45000073000040004011b861c0a80001c0a800c7:160>>)),
    ?assertEqual(packet:makesum(<<1, 2, 3, 0>>), packet:makesum(<<1, 2, 3>>)),
    ?assertEqual(16#ffff, packet:makesum(<<>>)).

%% A pair with one end here and the other in a namespace, and a packet socket bound to that end.
with_veth(Fun) ->
    procket_test:with_netns(fun(Name) ->
        There = "procketB",
        [
            procket_test:sh_ok(Line)
         || Line <- [
                "ip link add " ++ ?HERE ++ " address 02:00:00:00:00:01 type veth peer name " ++ There ++ " address 02:00:00:00:00:02 netns " ++ Name,
                "ip addr add 10.9.6.1/24 dev " ++ ?HERE,
                "ip link set " ++ ?HERE ++ " up",
                "ip -n " ++ Name ++ " link set " ++ There ++ " up"
            ]
        ],
        {ok, FD} = procket:open(0, [
            {protocol, procket:ntohs(?ETH_P_ALL)}, {type, raw}, {family, packet}, {interface, There}, {namespace, "/run/netns/" ++ Name}
        ]),
        try
            Fun(FD)
        after
            procket:close(FD),
            procket_test:sh("ip link del " ++ ?HERE)
        end
    end).

%% Of a local experimental EtherType, at least as long as a frame has to be.
frame(Data) ->
    <<16#ffffffffffff:48, 2, 0, 0, 0, 0, 3, 16#88b5:16, Data/binary, 0:((46 - byte_size(Data)) * 8)>>.

%% The next frame with this data: the kernel sends frames of its own.
next(FD, Data) ->
    Frame = frame(Data),
    case await(FD) of
        {ok, Frame} -> Frame;
        {ok, _} -> next(FD, Data)
    end.

await(FD) ->
    case procket:recv(FD, 65535) of
        {error, eagain} ->
            ok = procket:select(FD, read),
            receive {procket, FD, ready, read} -> await(FD) after 30_000 -> error(nothing_arrived) end;
        Result ->
            Result
    end.

drain(FD) ->
    case procket:recv(FD, 65535) of
        {ok, _} -> drain(FD);
        {error, eagain} -> ok
    end.
