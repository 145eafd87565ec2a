%% Sockets of gen_raw whose owner lives on another node than the interface.
-module(gen_raw_node_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [receives_and_sends, credit_crosses, owner_moves, lost_connection, owner_dies, no_such_node, errors].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    case procket_test:need_root(Config) of
        Config ->
            %% `erl' starts it for a node that has a name from the start.
            Epmd = [{epmd, started} || element(1, procket_test:sh("epmd -names")) =/= 0],
            _ = [procket_test:sh_ok("epmd -daemon && for i in $(seq 50); do epmd -names && exit; sleep 0.1; done") || Epmd =/= []],
            case is_alive() orelse net_kernel:start([unique("procket"), shortnames]) of
                {error, Reason} -> {skip, {"no distribution", Reason}};
                _ -> Epmd ++ Config
            end;
        Skip ->
            Skip
    end.

end_per_suite(Config) ->
    _ = net_kernel:stop(),
    _ = [procket_test:sh("epmd -kill") || proplists:is_defined(epmd, Config)],
    _ = application:stop(procket).

unique(Prefix) ->
    list_to_atom(Prefix ++ os:getpid() ++ "x" ++ integer_to_list(erlang:unique_integer([positive]))).

%% Calls `Fun' with a node that captures.
with_peer(Fun) ->
    {ok, Peer, Node} = peer:start_link(#{name => unique("peer"), connection => standard_io, args => ["-pa" | code:get_path()]}),
    try
        Fun(Node)
    after
        peer:stop(Peer)
    end.

open(Node, Name, Interface, Options) ->
    gen_raw:open({Node, Interface}, Options ++ [{direction, in}, {namespace, "/run/netns/" ++ Name}]).

receives_and_sends(_Config) ->
    with_peer(fun(Node) ->
        raw_test:with_veth(fun(Name) ->
            {ok, Rx} = open(Node, Name, "rx0", [{active, true}]),
            {ok, Passive} = open(Node, Name, "rx0", [{timestamps, true}, {filter, "ether[14:4] < 10"}]),
            {ok, Tx} = open(Node, Name, "tx0", []),
            ?assertEqual(Node, node(Rx)),
            ok = gen_raw:send(Tx, raw_test:frames(10_000)),
            ?assertEqual(lists:seq(1, 10_000), raw_test:numbers(raw_test:collect(Rx, 10_000))),
            ?assertEqual(lists:seq(1, 9), raw_test:numbers(raw_test:collect(Passive, 9, passive))),
            ?assertMatch({ok, #{delivered := 10_000}}, gen_raw:stats(Rx)),
            ?assertMatch({ok, #{interface := "rx0"}}, gen_raw:info(Rx)),
            [ok = gen_raw:close(Socket) || Socket <- [Rx, Passive, Tx]]
        end)
    end).

%% An owner that sleeps is given no more than the credit; what it is given then is all that the kernel did not drop.
credit_crosses(_Config) ->
    with_peer(fun(Node) ->
        raw_test:with_veth(fun(Name) ->
            {ok, Rx} = open(Node, Name, "rx0", [{active, true}, {buffer, 1_048_576}]),
            {ok, Tx} = open(Node, Name, "tx0", [{protocol, 0}]),
            ok = gen_raw:send(Tx, raw_test:frames(200_000)),
            #{received := 200_000, kernel_dropped := Dropped, delivered := Delivered} = raw_test:settled({Rx, 200_000}),
            ?assert(Dropped > 0),
            ?assert(Delivered < 100_000),
            ?assertEqual(200_000 - Dropped, length(raw_test:collect(Rx, 200_000 - Dropped))),
            %% And it goes on.
            ok = gen_raw:send(Tx, raw_test:frames(1000)),
            ?assertEqual(1000, length(raw_test:collect(Rx, 1000))),
            [ok = gen_raw:close(Socket) || Socket <- [Rx, Tx]]
        end)
    end).

%% From this node to one there.
owner_moves(_Config) ->
    with_peer(fun(Node) ->
        raw_test:with_veth(fun(Name) ->
            Self = self(),
            Rx = raw_test:open(Name, "rx0", [{active, true}]),
            Tx = raw_test:open(Name, "tx0"),
            ok = gen_raw:send(Tx, raw_test:frames(10)),
            New = spawn(Node, fun() -> Self ! {there, raw_test:numbers(raw_test:collect(Rx, 20_000))}, receive stop -> ok end end),
            ok = gen_raw:controlling_process(Rx, New),
            ok = gen_raw:send(Tx, [raw_test:frame(N) || N <- lists:seq(11, 20_000)]),
            receive {there, Numbers} -> ?assertEqual(lists:seq(1, 20_000), Numbers) after 30_000 -> error(nothing) end,
            New ! stop,
            ok = gen_raw:close(Tx)
        end)
    end).

%% The capturing node closes the socket, and its port process ends.
lost_connection(_Config) ->
    with_peer(fun(Node) ->
        raw_test:with_veth(fun(Name) ->
            {ok, Rx} = open(Node, Name, "rx0", [{active, true}]),
            Capture = erpc:call(Node, raw_test, capture_pid, [Rx]),
            ?assert(filelib:is_dir("/proc/" ++ Capture)),
            true = erlang:disconnect_node(Node),
            procket_test:wait_until(fun() -> not filelib:is_dir("/proc/" ++ Capture) end),
            ?assertEqual({error, closed}, gen_raw:stats(Rx))
        end)
    end).

owner_dies(_Config) ->
    with_peer(fun(Node) ->
        raw_test:with_veth(fun(Name) ->
            Self = self(),
            Owner = spawn(fun() -> {ok, Rx} = open(Node, Name, "rx0", []), Self ! {socket, Rx}, receive stop -> ok end end),
            Rx = receive {socket, Socket} -> Socket after 30_000 -> error(not_opened) end,
            Monitor = monitor(process, Rx),
            Owner ! stop,
            receive {'DOWN', Monitor, process, Rx, _} -> ok after 30_000 -> error(lives) end
        end)
    end).

no_such_node(_Config) ->
    ?assertEqual({error, noconnection}, gen_raw:open({'nobody@nowhere', "lo"}, [])).

errors(_Config) ->
    with_peer(fun(Node) ->
        ?assertEqual({error, enodev}, gen_raw:open({Node, "nowhere0"}, [])),
        ?assertMatch({error, {filter, _}}, gen_raw:open({Node, "lo"}, [{filter, "nonsense nonsense"}])),
        ?assertError(badarg, gen_raw:open({Node, "lo"}, [{colour, green}]))
    end).
