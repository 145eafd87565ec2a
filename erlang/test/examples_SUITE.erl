%% The programs of erlang/examples do what they say.
-module(examples_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [echo_udp, echo_tcp, echo_frees_the_port, ping, ping_nobody, ping6, sniff_with_filter, sniff_in_namespace, pktinfo_answers_from_where_it_was_asked, tap_answers_ping,
        capture_packets, capture_seconds, flood_at_a_rate, bridge_both_ways].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(tap_answers_ping, Config) -> procket_test:need("ping", Config);
init_per_testcase(_, Config) -> Config.

echo_udp(_Config) ->
    [
        begin
            Port = procket_test:free_port(udp),
            {ok, Echo} = echo:start(Port, [{protocol, udp}, {family, Family}, {ip, IP}]),
            {ok, Client} = gen_udp:open(0, [Family, binary, {active, false}]),
            ok = gen_udp:send(Client, IP, Port, <<"hello">>),
            ?assertMatch({ok, {IP, Port, <<"hello">>}}, gen_udp:recv(Client, 0, 5000)),
            ok = gen_udp:close(Client),
            ok = echo:stop(Echo)
        end
     || {Family, IP} <- families()
    ].

echo_tcp(_Config) ->
    [
        begin
            Port = procket_test:free_port(tcp),
            {ok, Echo} = echo:start(Port, [{protocol, tcp}, {family, Family}, {ip, IP}]),
            {ok, Client} = gen_tcp:connect(IP, Port, [Family, binary, {active, false}], 5000),
            ok = gen_tcp:send(Client, <<"hello">>),
            ?assertEqual({ok, <<"hello">>}, gen_tcp:recv(Client, 5, 5000)),
            ok = gen_tcp:close(Client),
            ok = echo:stop(Echo)
        end
     || {Family, IP} <- families()
    ].

families() ->
    [{inet, {127, 0, 0, 1}}, {inet6, {0, 0, 0, 0, 0, 0, 0, 1}}].

%% On a low port, in a namespace where nobody else has it.
echo_frees_the_port(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Options = [{protocol, udp}, {namespace, "/run/netns/" ++ Name}],
        {ok, Echo} = echo:start(7, Options),
        ?assertEqual({error, eaddrinuse}, echo:start(7, Options)),
        ok = echo:stop(Echo),
        {ok, Again} = echo:start(7, Options),
        ok = echo:stop(Again)
    end).

ping(_Config) ->
    ?assertMatch({ok, #{sequence := 1, ttl := 64}}, icmp:ping({127, 0, 0, 1})),
    ?assertMatch({ok, #{sequence := 7}}, icmp:ping({127, 0, 0, 1}, [{sequence, 7}])).

%% A namespace whose loopback is down has nobody to answer.
ping_nobody(_Config) ->
    procket_test:with_netns(fun(Name) ->
        _ = procket_test:sh_ok("ip -n " ++ Name ++ " link set lo down"),
        Options = [{namespace, "/run/netns/" ++ Name}, {timeout, 200}],
        ?assertMatch({error, _}, icmp:ping({127, 0, 0, 1}, Options)),
        ?assertMatch({error, _}, icmp6:ping({0, 0, 0, 0, 0, 0, 0, 1}, Options))
    end).

ping6(_Config) ->
    ?assertMatch({ok, #{sequence := 1}}, icmp6:ping({0, 0, 0, 0, 0, 0, 0, 1})).

%% Only what the filter lets through arrives.
sniff_with_filter(_Config) ->
    sniff([], fun(Fun, Port) -> sniff:start("lo", 2, Fun, [{udp_port, Port}]) end).

sniff_in_namespace(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Path = "/run/netns/" ++ Name,
        sniff([{namespace, Path}], fun(Fun, _Port) -> namespace:sniff(Path, "lo", 2, Fun) end)
    end).

sniff(Options, Start) ->
    Self = self(),
    {ok, To} = procket:open(0, [{protocol, udp}, {ip, "127.0.0.1"} | Options]),
    {ok, <<_:16, Port:16, _/binary>> = Name} = procket:getsockname(To, <<0:128>>),
    {ok, From} = procket:open(0, [{protocol, udp} | Options]),
    Sniffer = spawn_link(fun() -> Self ! {self(), Start(fun(Frame) -> Self ! {frame, Frame} end, Port)} end),
    Noise = procket_test:sockaddr(9, {127, 0, 0, 1}),
    Sender = spawn_link(fun() -> noise(From, Noise, Name) end),
    %% Each datagram passes twice over loopback: out and in.
    [
        receive
            {frame, <<_:96, 16#0800:16, 16#45, _:152, _:16, Port:16, _:32, "wanted">>} -> ok
        after 30_000 -> error(nothing_seen)
        end
     || _ <- [1, 2], Options =:= []
    ],
    receive {Sniffer, ok} -> ok after 30_000 -> error(never_ends) end,
    unlink(Sender),
    exit(Sender, kill),
    lists:foreach(fun procket:close/1, [To, From]).

noise(From, Noise, Name) ->
    _ = procket:sendto(From, <<"noise">>, 0, Noise),
    _ = procket:sendto(From, <<"wanted">>, 0, Name),
    timer:sleep(20),
    noise(From, Noise, Name).

pktinfo_answers_from_where_it_was_asked(_Config) ->
    Port = procket_test:free_port(udp),
    {ok, Echo} = pktinfo_echo:start(Port),
    {ok, Client} = gen_udp:open(0, [binary, {active, false}]),
    [
        begin
            ok = gen_udp:send(Client, IP, Port, <<"hello">>),
            ?assertMatch({ok, {IP, Port, <<"hello">>}}, gen_udp:recv(Client, 0, 5000))
        end
     || IP <- [{127, 0, 0, 1}, {127, 0, 0, 77}, {127, 1, 2, 3}]
    ],
    ok = gen_udp:close(Client),
    ok = pktinfo_echo:stop(Echo).

tap_answers_ping(_Config) ->
    {ok, Tap} = tap:start("procket0", {10, 9, 8, 1}, {10, 9, 8, 2}),
    try
        Output = procket_test:sh_ok("ping -n -c 3 -i 0.2 -W 5 10.9.8.2"),
        ?assertMatch({match, _}, re:run(Output, "3 received, 0% packet loss"))
    after
        tap:stop(Tap)
    end,
    ?assertMatch({error, _}, net:if_name2index("procket0")).

%% So many packets, to a file that has them.
capture_packets(Config) ->
    raw_test:with_veth(fun(Namespace) ->
        Options = [{namespace, "/run/netns/" ++ Namespace}],
        Name = filename:join(proplists:get_value(priv_dir, Config), "captured.pcapng"),
        {Pid, Monitor} = spawn_monitor(fun() ->
            exit(capture:start("rx0", Name, [{packets, 100}, {filter, "ether proto 0x88b5"}, {progress, true} | Options]))
        end),
        {ok, _} = flood_until(Pid, Options),
        receive {'DOWN', Monitor, process, Pid, Result} -> ?assertEqual({ok, #{packets => 100, dropped => 0}}, Result) end,
        {ok, Numbers} = procket_pcap:fold(fun(Packet, All) -> [raw_test:number(Packet) | All] end, [], Name),
        ?assertEqual(100, length(Numbers))
    end).

flood_until(Pid, Options) ->
    Result = flood:start("tx0", [{count, 100}, {rate, 5000} | Options]),
    case is_process_alive(Pid) of
        true -> timer:sleep(50), flood_until(Pid, Options);
        false -> Result
    end.

capture_seconds(Config) ->
    raw_test:with_veth(fun(Namespace) ->
        Name = filename:join(proplists:get_value(priv_dir, Config), "nothing.pcapng"),
        Options = [{namespace, "/run/netns/" ++ Namespace}],
        ?assertEqual({ok, #{packets => 0, dropped => 0}}, capture:start("rx0", Name, [{seconds, 1} | Options])),
        ?assertEqual({ok, 0}, procket_pcap:fold(fun(_, N) -> N + 1 end, 0, Name)),
        ?assertEqual({error, enodev}, capture:start("nowhere0", Name, Options)),
        ?assertEqual({error, enoent}, capture:start("rx0", "/nowhere/file", Options))
    end).

flood_at_a_rate(_Config) ->
    raw_test:with_veth(fun(Namespace) ->
        Options = [{namespace, "/run/netns/" ++ Namespace}],
        Rx = raw_test:open(Namespace, "rx0", [{active, true}]),
        {ok, #{sent := 1000, seconds := Seconds}} = flood:start("tx0", [{rate, 2000}, {count, 1000}, {size, 100} | Options]),
        ?assert(Seconds >= 0.4),
        ?assertEqual([flood:frame(N, 100) || N <- lists:seq(1, 1000)], raw_test:collect(Rx, 1000)),
        ?assertEqual({error, {emsgsize, 0}}, flood:start("tx0", [{size, 2000} | Options])),
        ok = gen_raw:close(Rx)
    end).

%% Between two pairs: what goes in at the end of one comes out at the end of the other.
bridge_both_ways(_Config) ->
    raw_test:with_veth(fun(Namespace) ->
        raw_test:ip(Namespace, "link add tx1 type veth peer name rx1"),
        raw_test:set_up(Namespace, ["tx1", "rx1"]),
        {ok, Bridge} = bridge:start("rx0", "rx1", [{namespace, "/run/netns/" ++ Namespace}]),
        [Left, Right] = [raw_test:open(Namespace, Interface, [{active, true}]) || Interface <- ["tx0", "tx1"]],
        ok = gen_raw:send(Left, raw_test:frames(5000)),
        ?assertEqual(raw_test:frames(5000), raw_test:collect(Right, 5000)),
        ok = gen_raw:send(Right, raw_test:frames(3000)),
        ?assertEqual(raw_test:frames(3000), raw_test:collect(Left, 3000)),
        ?assertEqual({ok, {5000, 3000}}, bridge:stop(Bridge)),
        ?assertEqual({error, closed}, bridge:stop(Bridge)),
        ?assertEqual({error, enodev}, bridge:start("rx0", "nowhere0", [{namespace, "/run/netns/" ++ Namespace}])),
        [ok = gen_raw:close(Socket) || Socket <- [Left, Right]]
    end).
