%% Packets of gen_raw that are longer than a frame of the wire, an owner that is slower than they come, and how many the ring holds.
-module(gen_raw_long_SUITE).
-include_lib("stdlib/include/assert.hrl").
%% After this time without a packet no more are expected, in milliseconds.
-define(QUIET, 2000).
-compile([export_all, nowarn_export_all]).

all() ->
    [slow_owner, bulk_transfer, removed_while_full, ring_holds].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

%% Frames of the lengths from which on one crosses in fragments. All that the ring had room for arrive, in order.
slow_owner(_Config) ->
    procket_test:with_netns(fun(Name) ->
        [slow_owner(Name, Way) || Way <- [passive, active]]
    end).

slow_owner(Name, Way) ->
    Rx = raw_test:open(Name, "lo", [{active, Way =:= active}]),
    Tx = raw_test:open(Name, "lo", [{protocol, 0}]),
    Count = 3000,
    Sizes = [65_480 + rand:uniform(70) || _ <- lists:seq(1, Count)],
    Sender = spawn_link(fun() ->
        [ok = gen_raw:send(Tx, raw_test:frame(N, Size)) || {N, Size} <- lists:enumerate(Sizes)],
        receive stop -> ok end
    end),
    ok = gen_raw:controlling_process(Tx, Sender),
    Numbers = slowly(Rx, Way, Count, list_to_tuple(Sizes), []),
    #{kernel_dropped := Dropped} = Stats = raw_test:settled({Rx, Count}),
    Arrived = length(Numbers),
    ?assertEqual(
        #{received => Count, delivered => Arrived, kernel_dropped => Count - Arrived, queued => 0, truncated => 0, sent => 0}, Stats
    ),
    ?assertEqual(Dropped, Count - Arrived),
    ?assertEqual(lists:usort(Numbers), Numbers),
    Sender ! stop,
    ok = gen_raw:close(Rx).

%% The numbers of all frames that came, each as long as it was sent, until the kernel has seen them all and nothing waits.
slowly(Rx, Way, Count, Sizes, Numbers) ->
    case next(Rx, Way) of
        {ok, Packets} ->
            timer:sleep(2),
            More = raw_test:numbers(Packets),
            ?assertEqual([element(N, Sizes) || N <- More], [byte_size(Packet) || Packet <- Packets]),
            slowly(Rx, Way, Count, Sizes, Numbers ++ More);
        {error, timeout} ->
            case gen_raw:stats(Rx) of
                {ok, #{received := Count, kernel_dropped := Dropped, delivered := Delivered}} when
                    Delivered =:= Count - Dropped, Delivered =:= length(Numbers)
                ->
                    Numbers;
                Stats ->
                    error({stalled, length(Numbers), Stats})
            end
    end.

next(Rx, passive) ->
    gen_raw:recv(Rx, ?QUIET);
next(Rx, active) ->
    receive
        {raw, Rx, Packets} -> {ok, Packets}
    after ?QUIET -> {error, timeout}
    end.

%% A TCP connection over lo has segments of up to 64 KiB, in packets of up to 65,549 bytes.
bulk_transfer(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Rx = raw_test:open(Name, "lo", [{active, true}, {buffer, 8 * 1024 * 1024}]),
        {_, Monitor} = spawn_monitor(fun() -> transfer([{netns, "/run/netns/" ++ Name}], 512 * 1024 * 1024) end),
        Lengths = lengths(Rx, Monitor, []),
        Delivered = length(Lengths),
        {ok, #{received := Received, kernel_dropped := Dropped} = Stats} = gen_raw:stats(Rx),
        ?assertMatch(#{delivered := Delivered, queued := 0, truncated := 0}, Stats),
        ?assertEqual(Received, Delivered + Dropped),
        ?assert(lists:max(Lengths) > 65_535),
        ok = gen_raw:close(Rx)
    end).

%% The lengths of the packets that come until the process has ended, and then until no more come. The socket is asked nothing meanwhile:
%% that would wake its capture process.
lengths(Rx, Monitor, Lengths) ->
    receive
        {raw, Rx, Packets} -> lengths(Rx, Monitor, [byte_size(Packet) || Packet <- Packets] ++ Lengths);
        {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason), lengths(Rx, ended, Lengths)
    after ?QUIET ->
        case Monitor of
            ended -> Lengths;
            _ -> lengths(Rx, Monitor, Lengths)
        end
    end.

%% Returns when both ends have seen everything.
transfer(NetNS, Bytes) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {sndbuf, 4_194_304}, {recbuf, 4_194_304} | NetNS]),
    {ok, Port} = inet:port(Listener),
    {ok, Sender} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}, {sndbuf, 4_194_304}, {recbuf, 4_194_304} | NetNS]),
    {ok, Receiver} = gen_tcp:accept(Listener),
    Piece = binary:copy(<<"a">>, 1024 * 1024),
    _ = spawn_link(fun() ->
        [ok = gen_tcp:send(Sender, Piece) || _ <- lists:seq(1, Bytes, byte_size(Piece))],
        ok = gen_tcp:shutdown(Sender, write)
    end),
    Bytes = received_bytes(Receiver, 0).

received_bytes(Receiver, Bytes) ->
    case gen_tcp:recv(Receiver, 0) of
        {ok, Data} -> received_bytes(Receiver, Bytes + byte_size(Data));
        {error, closed} -> Bytes
    end.

%% However much waits when its interface is removed, and however late it is read.
removed_while_full(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Count = 20_000,
        Rx = raw_test:open(Name, "rx0", [{buffer, 64 * 1024 * 1024}]),
        Tx = raw_test:open(Name, "tx0", [{protocol, 0}]),
        ok = gen_raw:send(Tx, [raw_test:frame(N, 1000) || N <- lists:seq(1, Count)]),
        #{kernel_dropped := 0} = raw_test:settled({Rx, Count}),
        raw_test:ip(Name, "link del tx0"),
        %% Far longer than the capture process waits for the last packets of an interface.
        timer:sleep(300),
        Numbers = raw_test:numbers(received(Rx, [])),
        ?assertEqual(Count, length(Numbers)),
        ?assertEqual(lists:seq(1, Count), Numbers),
        ?assertEqual({error, closed}, gen_raw:recv(Rx, 1000)),
        ok = gen_raw:close(Tx)
    end).

received(Rx, Lists) ->
    case gen_raw:recv(Rx, 5000) of
        {ok, Packets} -> received(Rx, [Packets | Lists]);
        {error, enetdown} -> received(Rx, Lists);
        {error, enodev} -> lists:append(lists:reverse(Lists))
    end.

%% What docs/capture.md says of the buffer: while nobody reads, all that the ring holds is kept and the rest is dropped. Blocks that are given
%% away before they are full hold less, but one of the longest packets is always full.
ring_holds(_Config) ->
    procket_test:with_netns(fun(Name) ->
        [ring_holds(Name, Length, InABlock) || {Length, InABlock} <- [{64, 861}, {590, 192}, {1514, 81}, {9014, 14}, {65_549, 1}]]
    end).

ring_holds(Name, Length, InABlock) ->
    Blocks = 16,
    Rx = raw_test:open(Name, "lo", [{buffer, Blocks * 131_072}]),
    Tx = raw_test:open(Name, "lo", [{protocol, 0}]),
    Count = 2 * Blocks * InABlock,
    procket_test:with_stopped([raw_test:capture_pid(Rx)], fun() ->
        ok = gen_raw:send(Tx, lists:duplicate(Count, raw_test:frame(1, Length)))
    end),
    #{kernel_dropped := Dropped} = raw_test:settled({Rx, Count}),
    Held = Count - Dropped,
    ?assert(Held =< Blocks * InABlock, {Length, Held}),
    ?assert(InABlock > 1 orelse Held =:= Blocks, {Length, Held}),
    ct:log("~b bytes: ~b of ~b", [Length, Held, Blocks * InABlock]),
    ?assertEqual(Held, length(raw_test:collect(Rx, Held, passive))),
    [ok = gen_raw:close(Socket) || Socket <- [Rx, Tx]].
