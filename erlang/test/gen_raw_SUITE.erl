%% Sockets of gen_raw on interfaces: modes, counters, owners, ends.
-module(gen_raw_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        order, passive, once, exact_number, number_is_added, number_back_to_passive, timestamps_and_snaplen, directions, any_interface,
        cooked, vlan_tag, loopback_65535, long_list, send_errors, sleeping_receiver, other_messages_do_not_stop_it,
        interface_down_and_up, interface_removed, removed_while_passive, port_process_dies, dies_while_passive, port_process_stops, closed_while_stopped, owner_dies,
        controlling_process, not_the_owner, close_ends_recv, asker_dies, info, bad_options, no_such_interface, no_rights, idle,
        nothing_is_left_open
    ].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

order(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{active, true}])},
        ok = gen_raw:send(Tx, raw_test:frames(20_000)),
        Packets = raw_test:collect(Rx, 20_000),
        ?assertEqual(raw_test:frames(20_000), Packets),
        ?assertEqual(
            {ok, #{received => 20_000, delivered => 20_000, queued => 0, kernel_dropped => 0, truncated => 0, sent => 0}}, gen_raw:stats(Rx)
        ),
        ?assertMatch({ok, #{sent := 20_000}}, gen_raw:stats(Tx)),
        close([Tx, Rx])
    end).

passive(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0")},
        ?assertEqual({error, timeout}, gen_raw:recv(Rx, 0)),
        ?assertEqual({error, timeout}, gen_raw:recv(Rx, 50)),
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        ?assertEqual({ok, [raw_test:frame(1)]}, gen_raw:recv(Rx, infinity)),
        ok = gen_raw:send(Tx, raw_test:frames(3000)),
        ?assertEqual(lists:seq(1, 3000), raw_test:numbers(raw_test:collect(Rx, 3000, passive))),
        ?assertEqual([], messages()),
        ok = gen_raw:setopts(Rx, [{active, true}]),
        ?assertEqual({error, einval}, gen_raw:recv(Rx, 0)),
        close([Tx, Rx])
    end).

once(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{active, once}])},
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        ?assertEqual([1], raw_test:numbers(raw_test:collect(Rx, 1))),
        ?assertEqual({ok, [{active, false}]}, gen_raw:getopts(Rx, [active])),
        ok = gen_raw:send(Tx, raw_test:frame(2)),
        _ = raw_test:settled({Rx, 2}),
        timer:sleep(50),
        ?assertEqual([], messages()),
        ok = gen_raw:setopts(Rx, [{active, once}]),
        ?assertEqual([2], raw_test:numbers(raw_test:collect(Rx, 1))),
        close([Tx, Rx])
    end).

%% However the packets were batched.
exact_number(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0")},
        ok = gen_raw:send(Tx, raw_test:frames(5000)),
        lists:foldl(
            fun(N, First) ->
                ok = gen_raw:setopts(Rx, [{active, N}]),
                receive {raw_passive, Rx} -> ok after 30_000 -> error(no_end) end,
                ?assertEqual(lists:seq(First, First + N - 1), raw_test:numbers(raw_test:flush(Rx))),
                ?assertEqual([], messages()),
                First + N
            end,
            1,
            [1, 2, 10, 997, 1, 3000]
        ),
        {ok, [Next | _]} = gen_raw:recv(Rx, 1000),
        ?assertEqual(4012, raw_test:number(Next)),
        close([Tx, Rx])
    end).

number_is_added(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0", [{active, 10}]),
        ok = gen_raw:setopts(Rx, [{active, 5}]),
        ?assertEqual({ok, [{active, 15}]}, gen_raw:getopts(Rx, [active])),
        ok = gen_raw:setopts(Rx, [{active, -5}]),
        ?assertEqual({ok, [{active, 10}]}, gen_raw:getopts(Rx, [active])),
        ?assertEqual({error, einval}, gen_raw:setopts(Rx, [{active, 32_758}])),
        ?assertEqual({error, einval}, gen_raw:setopts(Rx, [{active, 0}])),
        ?assertEqual({error, einval}, gen_raw:setopts(Rx, [{snaplen, 10}])),
        ?assertEqual({error, einval}, gen_raw:getopts(Rx, [colour])),
        close([Rx])
    end).

number_back_to_passive(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0", [{active, 10}]),
        ok = gen_raw:setopts(Rx, [{active, -10}]),
        receive {raw_passive, Rx} -> ok after 30_000 -> error(no_message) end,
        ?assertEqual({ok, [{active, false}]}, gen_raw:getopts(Rx, [active])),
        close([Rx])
    end).

timestamps_and_snaplen(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Before = erlang:system_time(nanosecond),
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{timestamps, true}, {snaplen, 20}])},
        ok = gen_raw:send(Tx, [raw_test:frame(N, 100 + N) || N <- lists:seq(1, 300)]),
        Packets = raw_test:collect(Rx, 300, passive),
        ?assertEqual(lists:seq(1, 300), raw_test:numbers(Packets)),
        ?assertEqual([100 + N || N <- lists:seq(1, 300)], [Length || {_, Length, _} <- Packets]),
        ?assert(lists:all(fun({_, _, Bytes}) -> byte_size(Bytes) =:= 20 end, Packets)),
        Times = [Time || {Time, _, _} <- Packets],
        ?assertEqual(lists:sort(Times), Times),
        %% The same clock, give or take what it is adjusted by.
        ?assert(hd(Times) > Before - 1_000_000_000 andalso lists:last(Times) < erlang:system_time(nanosecond) + 1_000_000_000),
        ?assertMatch({ok, #{truncated := 300}}, gen_raw:stats(Rx)),
        close([Tx, Rx])
    end).

directions(_Config) ->
    raw_test:with_veth(fun(Name) ->
        [In, Out, Both, Experimental, Other] = [
            raw_test:open(Name, "rx0", [{active, true} | Options])
         || Options <- [[{direction, in}], [{direction, out}], [{direction, both}], [{direction, both}, {protocol, 16#88b5}], [{direction, both}, {protocol, 16#88b6}]]
        ],
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{protocol, 0}])},
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        ?assertEqual([1], raw_test:numbers(raw_test:collect(Both, 1))),
        ok = gen_raw:send(Rx, raw_test:frame(2)),
        ?assertEqual([2], raw_test:numbers(raw_test:collect(Both, 1))),
        ?assertEqual([1], raw_test:numbers(raw_test:collect(In, 1))),
        ?assertEqual([2], raw_test:numbers(raw_test:collect(Out, 1))),
        ?assertEqual([1, 2], raw_test:numbers(raw_test:collect(Experimental, 2))),
        ?assertEqual([], messages()),
        close([In, Out, Both, Experimental, Other, Tx, Rx])
    end).

any_interface(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Any = raw_test:open(Name, "any", [{active, true}, {direction, both}, {protocol, 16#88b5}]),
        [Tx, Rx] = [raw_test:open(Name, Interface, [{protocol, 0}]) || Interface <- ["tx0", "rx0"]],
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        ok = gen_raw:send(Rx, raw_test:frame(2)),
        %% Each goes out at one end and comes in at the other.
        ?assertEqual([1, 1, 2, 2], lists:sort(raw_test:numbers(raw_test:collect(Any, 4)))),
        ?assertMatch({ok, #{interface := "any", index := 0}}, gen_raw:info(Any)),
        ?assertMatch({error, {enxio, 0}}, gen_raw:send(Any, raw_test:frame(3))),
        close([Any, Tx, Rx])
    end).

cooked(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{link, cooked}, {protocol, 16#88b5}])},
        ok = gen_raw:send(Tx, raw_test:frame(7)),
        {ok, [<<7:32, _/binary>>]} = gen_raw:recv(Rx, 5000),
        ?assertEqual({error, {enotsup, 0}}, gen_raw:send(Rx, <<0:160>>)),
        close([Tx, Rx])
    end).

%% The kernel takes the tag out; it is put back, whichever of the two protocols it has.
vlan_tag(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{timestamps, true}])},
        <<Addresses:12/binary, Rest/binary>> = raw_test:frame(1, 60),
        Frames = [<<Addresses/binary, Protocol:16, Control:16, Rest/binary>> || Protocol <- [16#8100, 16#88a8], Control <- [5, 16#e005, 0]],
        ok = gen_raw:send(Tx, Frames),
        Packets = raw_test:collect(Rx, length(Frames), passive),
        ?assertEqual([{64, Frame} || Frame <- Frames], [{Length, Packet} || {_, Length, Packet} <- Packets]),
        close([Tx, Rx])
    end).

loopback_65535(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Rx = raw_test:open(Name, "lo", [{active, true}]),
        Tx = raw_test:open(Name, "lo", [{protocol, 0}]),
        Frames = [raw_test:frame(N, Size) || {N, Size} <- [{1, 65_535 + 14}, {2, 64}, {3, 65_535}, {4, 65_470}, {5, 65_490}, {6, 65_536 + 14}]],
        [ok = gen_raw:send(Tx, Frame) || Frame <- Frames],
        ?assertEqual(Frames, raw_test:collect(Rx, length(Frames))),
        ?assertMatch(#{truncated := 0, kernel_dropped := 0}, raw_test:settled(Rx)),
        close([Rx, Tx])
    end).

%% More than one request, of frames of all lengths.
long_list(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{active, true}])},
        ok = gen_raw:send(Tx, []),
        Frames = [raw_test:frame(N, 18 + (N * 37) rem 1400) || N <- lists:seq(1, 3000)],
        ok = gen_raw:send(Tx, Frames),
        ?assertEqual(Frames, raw_test:collect(Rx, 3000)),
        ?assertError(badarg, gen_raw:send(Tx, [raw_test:frame(1), an_atom])),
        ?assertMatch(#{received := 3000}, raw_test:settled(Rx)),
        close([Tx, Rx])
    end).

%% What was sent before the one that fails is sent, and nothing behind it.
send_errors(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{active, true}])},
        Good = raw_test:frames(2500),
        ?assertEqual({error, {emsgsize, 2500}}, gen_raw:send(Tx, Good ++ [raw_test:frame(0, 3000)] ++ Good)),
        ?assertEqual(lists:seq(1, 2500), raw_test:numbers(raw_test:collect(Rx, 2500))),
        ?assertMatch(#{received := 2500}, raw_test:settled(Rx)),
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        ?assertMatch({error, {einval, 0}}, gen_raw:send(Tx, <<>>)),
        raw_test:ip(Name, "link set tx0 down"),
        ?assertEqual({error, {enetdown, 0}}, gen_raw:send(Tx, Good)),
        ok = gen_raw:close(Tx),
        ?assertEqual({error, {closed, 0}}, gen_raw:send(Tx, Good)),
        close([Rx])
    end).

%% What it loses is counted, and memory stays bounded, in the VM and in the port process.
sleeping_receiver(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0", [{active, true}, {buffer, 4_194_304}]),
        Capture = raw_test:capture_pid(Rx),
        {VM, Port} = {erlang:memory(total), resident(Capture)},
        Sender = spawn_link(fun() ->
            Tx = raw_test:open(Name, "tx0", [{protocol, 0}]),
            flood(Tx, raw_test:frames(5000), 0)
        end),
        timer:sleep(5000),
        ?assert(erlang:memory(total) - VM < 64 * 1024 * 1024),
        ?assert(resident(Capture) - Port < 16 * 1024),
        Sender ! {stop, self()},
        Sent = receive {sent, N} -> N after 30_000 -> error(no_end) end,
        #{received := Sent, kernel_dropped := Dropped} = raw_test:settled({Rx, Sent}),
        ?assert(Dropped > 0),
        Packets = raw_test:collect(Rx, Sent - Dropped),
        ?assertEqual(Sent - Dropped, length(Packets)),
        ?assertEqual(#{received => Sent, kernel_dropped => Dropped, delivered => Sent - Dropped, queued => 0, truncated => 0, sent => 0}, raw_test:settled(Rx)),
        close([Rx])
    end).

flood(Tx, Frames, Sent) ->
    receive
        {stop, To} -> To ! {sent, Sent}
    after 0 ->
        ok = gen_raw:send(Tx, Frames),
        flood(Tx, Frames, Sent + length(Frames))
    end.

%% Of the memory that is not the ring's, in KiB: that is there from the beginning.
resident(Pid) ->
    {ok, Status} = file:read_file("/proc/" ++ Pid ++ "/status"),
    {match, [Size]} = re:run(Status, "VmRSS:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Size).

%% An owner whose queue is long for other reasons still gets its packets.
other_messages_do_not_stop_it(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{active, true}, {buffer, 33_554_432}])},
        [self() ! {other, N} || N <- lists:seq(1, 1000)],
        ok = gen_raw:send(Tx, raw_test:frames(100_000)),
        ?assertEqual(100_000, length(raw_test:collect(Rx, 100_000))),
        ?assertEqual(1000, length(messages())),
        close([Tx, Rx])
    end).

%% It goes on by itself.
interface_down_and_up(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{active, true}])},
        Passive = raw_test:open(Name, "rx0"),
        raw_test:ip(Name, "link set rx0 down"),
        receive {raw_error, Rx, enetdown} -> ok after 30_000 -> error(no_error) end,
        ?assertEqual({error, enetdown}, gen_raw:recv(Passive, 5000)),
        ?assertEqual({error, timeout}, gen_raw:recv(Passive, 100)),
        ?assertMatch({error, {enetdown, 0}}, gen_raw:send(Rx, raw_test:frame(1))),
        raw_test:set_up(Name, ["tx0", "rx0"]),
        ok = gen_raw:send(Tx, raw_test:frame(2)),
        ?assertEqual([2], raw_test:numbers(raw_test:collect(Rx, 1))),
        ?assertEqual({ok, [raw_test:frame(2)]}, gen_raw:recv(Passive, 5000)),
        ?assertEqual([], messages()),
        close([Tx, Rx, Passive])
    end).

%% It ends, also when it was down for a while before. One of the same name is another interface.
interface_removed(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0", [{active, true}]),
        raw_test:ip(Name, "link set rx0 down"),
        receive {raw_error, Rx, enetdown} -> ok after 30_000 -> error(no_error) end,
        raw_test:ip(Name, "link del tx0"),
        receive {raw_error, Rx, enodev} -> ok after 30_000 -> error(no_error) end,
        receive {raw_closed, Rx} -> ok after 30_000 -> error(not_closed) end,
        ?assertEqual({error, closed}, gen_raw:recv(Rx, 0)),
        raw_test:ip(Name, "link add tx0 type veth peer name rx0"),
        raw_test:set_up(Name, ["tx0", "rx0"]),
        Again = raw_test:open(Name, "rx0", [{active, true}]),
        Tx = raw_test:open(Name, "tx0"),
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        ?assertEqual([1], raw_test:numbers(raw_test:collect(Again, 1))),
        ?assertEqual([], messages()),
        close([Again, Tx])
    end).

%% What came before is still there.
removed_while_passive(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0")},
        ok = gen_raw:send(Tx, raw_test:frames(100)),
        raw_test:ip(Name, "link del tx0"),
        ?assertEqual(lists:seq(1, 100), raw_test:numbers(received(Rx, []))),
        ?assertEqual({error, closed}, gen_raw:recv(Rx, 1000)),
        ?assertEqual([], messages())
    end).

received(Rx, Packets) ->
    case gen_raw:recv(Rx, 5000) of
        {ok, More} -> received(Rx, Packets ++ More);
        {error, enetdown} -> received(Rx, Packets);
        {error, enodev} -> Packets
    end.

port_process_dies(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0", [{active, true}]),
        _ = procket_test:sh_ok("kill -9 " ++ raw_test:capture_pid(Rx)),
        receive {raw_error, Rx, epipe} -> ok after 30_000 -> error(no_error) end,
        receive {raw_closed, Rx} -> ok after 30_000 -> error(not_closed) end,
        ?assertEqual({error, closed}, gen_raw:stats(Rx)),
        ?assertEqual([], messages())
    end).

dies_while_passive(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0"),
        _ = procket_test:sh_ok("kill -9 " ++ raw_test:capture_pid(Rx)),
        ?assertEqual({error, epipe}, gen_raw:recv(Rx, 5000)),
        ?assertEqual({error, {closed, 0}}, gen_raw:send(Rx, raw_test:frame(1))),
        ?assertEqual({error, closed}, gen_raw:recv(Rx, 5000)),
        ?assertEqual([], messages())
    end).

%% Calls end in time, the socket goes on with what needs no answer, and the capture process is given up.
port_process_stops(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0"),
        Capture = raw_test:capture_pid(Rx),
        _ = procket_test:sh_ok("kill -STOP " ++ Capture),
        application:set_env(procket, timeout, 500),
        try
            %% More than the socket takes.
            Frames = lists:duplicate(2000, raw_test:frame(1, 1000)),
            Senders = [spawn_monitor(fun() -> exit({sent, gen_raw:send(Rx, Frames)}) end) || _ <- lists:seq(1, 10)],
            [receive {'DOWN', Monitor, process, _, End} -> ?assertEqual({sent, {error, {etimedout, 0}}}, End) after 30_000 -> error(hangs) end || {_, Monitor} <- Senders],
            ?assertEqual({error, etimedout}, gen_raw:stats(Rx)),
            ?assertEqual({error, etimedout}, gen_raw:info(Rx)),
            ?assertEqual({error, timeout}, gen_raw:recv(Rx, 100)),
            ?assertEqual({ok, [{active, false}]}, gen_raw:getopts(Rx, [active])),
            ?assertEqual(ok, gen_raw:setopts(Rx, [{active, true}])),
            receive {raw_error, Rx, etimedout} -> ok after 30_000 -> error(not_given_up) end,
            receive {raw_closed, Rx} -> ok after 30_000 -> error(not_closed) end
        after
            application:unset_env(procket, timeout),
            procket_test:sh("kill -CONT " ++ Capture)
        end,
        procket_test:wait_until(fun() -> not filelib:is_dir("/proc/" ++ Capture) end),
        ?assertEqual([], messages())
    end).

%% However long it takes to read what was sent, closing ends.
closed_while_stopped(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0"),
        Capture = raw_test:capture_pid(Rx),
        _ = procket_test:sh_ok("kill -STOP " ++ Capture),
        try
            Frames = lists:duplicate(2000, raw_test:frame(1, 1000)),
            Senders = [spawn_monitor(fun() -> exit({sent, gen_raw:send(Rx, Frames)}) end) || _ <- lists:seq(1, 10)],
            procket_test:wait_until(fun() -> lists:all(fun({Pid, _}) -> process_info(Pid, status) =:= {status, waiting} end, Senders) end),
            ?assertEqual(ok, gen_raw:close(Rx)),
            [receive {'DOWN', Monitor, process, _, End} -> ?assertEqual({sent, {error, {closed, 0}}}, End) after 30_000 -> error(hangs) end || {_, Monitor} <- Senders]
        after
            procket_test:sh("kill -CONT " ++ Capture)
        end,
        procket_test:wait_until(fun() -> not filelib:is_dir("/proc/" ++ Capture) end)
    end).

owner_dies(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Self = self(),
        Owner = spawn(fun() ->
            Rx = raw_test:open(Name, "rx0"),
            Self ! {opened, Rx, raw_test:capture_pid(Rx)},
            receive stop -> ok end
        end),
        {Rx, Capture} = receive {opened, S, C} -> {S, C} end,
        Monitor = monitor(process, Rx),
        Owner ! stop,
        receive {'DOWN', Monitor, process, Rx, _} -> ok after 30_000 -> error(lives) end,
        procket_test:wait_until(fun() -> not filelib:is_dir("/proc/" ++ Capture) end)
    end).

%% With what is in the queue of the old owner, in order.
controlling_process(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Self = self(),
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{active, true}])},
        ok = gen_raw:send(Tx, raw_test:frames(100)),
        procket_test:wait_until(fun() -> element(2, process_info(Self, message_queue_len)) > 0 end),
        New = spawn_link(fun() -> Self ! {self(), raw_test:numbers(raw_test:collect(Rx, 200))}, receive stop -> ok end end),
        ok = gen_raw:controlling_process(Rx, New),
        ok = gen_raw:send(Tx, [raw_test:frame(N) || N <- lists:seq(101, 200)]),
        receive {New, Numbers} -> ?assertEqual(lists:seq(1, 200), Numbers) after 30_000 -> error(nothing) end,
        ?assertEqual([], messages()),
        ?assertEqual({error, not_owner}, gen_raw:controlling_process(Rx, self())),
        Monitor = monitor(process, Rx),
        New ! stop,
        receive {'DOWN', Monitor, process, Rx, _} -> ok after 30_000 -> error(lives) end,
        close([Tx])
    end).

not_the_owner(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0"),
        Self = self(),
        _ = spawn_link(fun() -> Self ! {result, gen_raw:controlling_process(Rx, self())} end),
        receive {result, Result} -> ?assertEqual({error, not_owner}, Result) end,
        close([Rx])
    end).

close_ends_recv(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Self = self(),
        Rx = raw_test:open(Name, "rx0"),
        _ = spawn_link(fun() -> Self ! {result, gen_raw:recv(Rx, infinity)} end),
        timer:sleep(50),
        ok = gen_raw:close(Rx),
        receive {result, Result} -> ?assertEqual({error, closed}, Result) after 30_000 -> error(waits) end,
        ok = gen_raw:close(Rx),
        ?assertEqual({error, closed}, gen_raw:setopts(Rx, [{active, true}])),
        ?assertEqual({error, closed}, gen_raw:info(Rx)),
        ?assertEqual([], messages())
    end).

%% The packets are for the next who asks.
asker_dies(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0")},
        {Asker, Monitor} = spawn_monitor(fun() -> gen_raw:recv(Rx, infinity) end),
        timer:sleep(50),
        exit(Asker, kill),
        receive {'DOWN', Monitor, process, Asker, _} -> ok end,
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        ?assertEqual({ok, [raw_test:frame(1)]}, gen_raw:recv(Rx, 5000)),
        close([Tx, Rx])
    end).

info(_Config) ->
    raw_test:with_veth(fun(Name) ->
        raw_test:ip(Name, "link set rx0 address 02:00:00:00:00:07 mtu 1400"),
        Rx = raw_test:open(Name, "rx0"),
        {ok, #{index := Index}} = gen_raw:info(Rx),
        ?assertEqual(integer_to_list(Index), string:trim(procket_test:sh_ok(["ip netns exec ", Name, " cat /sys/class/net/rx0/ifindex"]))),
        ?assertMatch({ok, #{interface := "rx0", mac := {2, 0, 0, 0, 0, 7}, mtu := 1400, hardware := 1, link := raw, link_type := 1}}, gen_raw:info(Rx)),
        ?assertMatch({ok, [{buffer, 16_777_216}, {protocol, 3}, {promiscuous, false}]}, gen_raw:getopts(Rx, [buffer, protocol, promiscuous])),
        raw_test:ip(Name, "link set rx0 name other0"),
        ?assertMatch({ok, #{interface := "other0", index := Index}}, gen_raw:info(Rx)),
        close([Rx])
    end).

bad_options(_Config) ->
    [
        ?assertError(badarg, gen_raw:open("lo", [Option]), Option)
     || Option <- [
            {active, 0}, {active, 32_768}, {active, sometimes}, {filter, <<0>>}, {filter, [ret, 0]}, {protocol, 65_536}, {snaplen, 0},
            {promiscuous, 1}, {direction, up}, {buffer, -1}, {timestamps, yes}, {link, hot}, {colour, green}, active
        ]
    ],
    [?assertError(badarg, gen_raw:open(Source, [])) || Source <- ["", 17, {fd, -1}, {fd, lo}]],
    [?assertError(badarg, gen_raw:open({fd, 0}, [Option])) || Option <- [{protocol, 3}, {namespace, "x"}, {promiscuous, true}]],
    ?assertError(badarg, gen_raw:close(no_socket)).

no_such_interface(_Config) ->
    Before = procket_test:open_fds(),
    ?assertEqual({error, enodev}, gen_raw:open("nowhere0", [])),
    ?assertEqual({error, enodev}, gen_raw:open("a_name_that_is_too_long", [])),
    ?assertMatch({error, _}, gen_raw:open("lo", [{buffer, 1_073_741_824}, {namespace, "/nowhere"}])),
    procket_test:wait_until(fun() -> procket_test:open_fds() =< Before + 4 end),
    ?assertEqual([], procket_test:os_pids(capture)).

%% Not even where the BEAM is root's.
no_rights(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0"),
        {ok, Status} = file:read_file("/proc/" ++ raw_test:capture_pid(Rx) ++ "/status"),
        ?assertMatch({match, _}, re:run(Status, "Uid:\\s65534\\s65534\\s65534\\s65534")),
        ?assertMatch({match, _}, re:run(Status, "Gid:\\s65534\\s65534\\s65534\\s65534")),
        [?assertMatch({match, _}, re:run(Status, Set ++ ":\\s0+\n")) || Set <- ["CapPrm", "CapEff"]],
        %% The filter of system calls.
        ?assertMatch({match, _}, re:run(Status, "Seccomp:\\s2\n")),
        close([Rx])
    end).

%% The port process sleeps while nothing comes.
idle(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Rx = raw_test:open(Name, "rx0", [{active, true}]),
        procket_test:stays(fun() -> raw_test:switches(Rx) end),
        close([Rx])
    end).

nothing_is_left_open(_Config) ->
    raw_test:with_veth(fun(Name) ->
        close([raw_test:open(Name, "rx0")]),
        Before = procket_test:open_fds(),
        [close([raw_test:open(Name, "rx0", [{buffer, 1}])]) || _ <- lists:seq(1, 20)],
        procket_test:wait_until(fun() -> procket_test:open_fds() =< Before end),
        procket_test:wait_until(fun() -> procket_test:os_pids(capture) =:= [] end)
    end).

close(Sockets) ->
    lists:foreach(fun(Socket) -> ok = gen_raw:close(Socket) end, Sockets).

messages() ->
    receive Message -> [Message | messages()] after 0 -> [] end.
