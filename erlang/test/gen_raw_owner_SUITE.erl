%% Sockets of gen_raw and the processes that use them: those that wait long, read slowly, have much else to read, and give a socket away.
-module(gen_raw_owner_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        recv_longer_than_a_call, bad_timeouts, fifty_sockets_of_one_owner, slow_owner_of_many_sockets, owner_with_other_messages,
        queue_is_not_copied, application_stops, servers_killed, handover_times_out, answers_after_a_timeout, long_frame, early_times, bad_arguments,
        other_processes_are_asked
    ].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

end_per_testcase(_, _Config) ->
    application:unset_env(procket, timeout).

%% The socket keeps the time, whatever the limit of a call is; a packet that comes later goes to the process that waits.
recv_longer_than_a_call(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0")},
        application:set_env(procket, timeout, 50),
        ?assertEqual({error, timeout}, gen_raw:recv(Rx, 500)),
        Self = self(),
        Waiting = spawn_link(fun() -> Self ! {self(), gen_raw:recv(Rx, infinity)} end),
        receive {Waiting, Early} -> error({early, Early}) after 500 -> ok end,
        application:unset_env(procket, timeout),
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        receive {Waiting, Answer} -> ?assertEqual({ok, [raw_test:frame(1)]}, Answer) after 30_000 -> error(no_packet) end,
        ?assertMatch(#{received := 1, delivered := 1}, raw_test:settled(Rx)),
        %% It sees the end of the socket.
        Last = spawn_link(fun() -> Self ! {self(), gen_raw:recv(Rx, infinity)} end),
        until_waiting(Last),
        close([Rx, Tx]),
        receive {Last, End} -> ?assertEqual({error, closed}, End) after 30_000 -> error(no_end) end
    end).

until_waiting(Pid) ->
    procket_test:wait_until(fun() ->
        {status, Status} = process_info(Pid, status),
        Status =:= waiting orelse Status
    end).

bad_timeouts(_Config) ->
    Rx = open_lo(),
    [?assertError(badarg, gen_raw:recv(Rx, Timeout), Timeout) || Timeout <- [-1, 1 bsl 32, 1 bsl 64, 1.5, never, "1"]],
    ?assertEqual({error, timeout}, gen_raw:recv(Rx, 0)),
    ?assertMatch({ok, _}, gen_raw:stats(Rx)),
    close([Rx]).

%% It gets what each socket may have on the way, and no more, however much comes.
fifty_sockets_of_one_owner(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Tx = raw_test:open(Name, "tx0", [{protocol, 0}]),
        Sockets = [raw_test:open(Name, "rx0", [{active, true}, {buffer, 262_144}]) || _ <- lists:seq(1, 50)],
        Before = erlang:memory(total),
        [
            begin
                flood(Tx, 100_000),
                _ = procket_test:settled(fun() -> [D || Socket <- Sockets, {ok, #{delivered := D}} <- [gen_raw:stats(Socket)]] end),
                %% 1 MiB for each, and up to three times as much as terms.
                ?assert(erlang:memory(total) - Before < 50 * 4 * 1_048_576)
            end
         || _ <- [1, 2]
        ],
        %% What was delivered is there, all goes on once it is read, and the rest was counted.
        Read = read_until(fun(Counts) ->
            lists:all(fun(Socket) -> #{Socket := N} = Counts, matches(gen_raw:stats(Socket), N) end, Sockets)
        end, maps:from_list([{Socket, 0} || Socket <- Sockets])),
        [
            begin
                {ok, #{received := 200_000, kernel_dropped := Dropped}} = gen_raw:stats(Socket),
                ?assertEqual(200_000, N + Dropped),
                ?assert(Dropped > 0)
            end
         || {Socket, N} <- maps:to_list(Read)
        ],
        close([Tx | Sockets])
    end).

matches({ok, #{queued := 0, delivered := N}}, N) -> true;
matches({ok, _}, _) -> false.

%% Reads what comes from any socket, until nothing more does and all is as it should be.
read_until(Done, Counts) ->
    receive
        {raw, Socket, Packets} -> read_until(Done, maps:update_with(Socket, fun(N) -> N + length(Packets) end, Counts))
    after 100 ->
        case Done(Counts) of
            true -> Counts;
            false -> read_until(Done, Counts)
        end
    end.

flood(Tx, Count) ->
    ok = gen_raw:send(Tx, raw_test:frames(Count)).

%% Every socket goes on as its owner reads.
slow_owner_of_many_sockets(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Tx = raw_test:open(Name, "tx0", [{protocol, 0}]),
        Sockets = [raw_test:open(Name, "rx0", [{active, true}, {buffer, 33_554_432}]) || _ <- lists:seq(1, 5)],
        flood(Tx, 100_000),
        Read = read_until(fun(Counts) ->
            lists:all(fun(Socket) -> #{Socket := N} = Counts, matches(gen_raw:stats(Socket), N) end, Sockets)
        end, maps:from_list([{Socket, 0} || Socket <- Sockets])),
        %% More than one may have on the way; a busy machine may drop some, which is counted.
        [
            begin
                {ok, #{received := 100_000, kernel_dropped := Dropped}} = gen_raw:stats(Socket),
                ?assertEqual(100_000, N + Dropped),
                ?assert(N > 40_000)
            end
         || {Socket, N} <- maps:to_list(Read)
        ],
        close([Tx | Sockets])
    end).

%% Its queue is long for other reasons; it still gets its packets, and reads them first or last.
owner_with_other_messages(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0", [{protocol, 0}]), raw_test:open(Name, "rx0", [{active, true}, {buffer, 33_554_432}])},
        [self() ! {other, N} || N <- lists:seq(1, 1000)],
        flood(Tx, 60_000),
        ?assertEqual(60_000, length(raw_test:collect(Rx, 60_000))),
        flood(Tx, 60_000),
        ?assertEqual({1000, 60_000}, in_order(Rx, 0, 0)),
        close([Tx, Rx])
    end).

in_order(_Rx, Others, 60_000) -> {Others, 60_000};
in_order(Rx, Others, Packets) ->
    receive
        {other, _} -> in_order(Rx, Others + 1, Packets);
        {raw, Rx, More} -> in_order(Rx, Others, Packets + length(More))
    after 30_000 -> error({stalls, Others, Packets})
    end.

%% What is in it is not looked at.
queue_is_not_copied(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0", [{protocol, 0}]), raw_test:open(Name, "rx0", [{active, true}, {buffer, 262_144}])},
        %% About 200 MB, which are not collected with the heap.
        _ = process_flag(message_queue_data, off_heap),
        [self() ! {other, lists:seq(1, 1000)} || _ <- lists:seq(1, 12_000)],
        Before = erlang:memory(processes),
        Peak = spawn_link(fun() -> peak(Before) end),
        flood(Tx, 100_000),
        %% It is asked again and again meanwhile.
        timer:sleep(1500),
        Peak ! {self(), most},
        Most = receive {Peak, M} -> M end,
        ?assert(Most - Before < 50_000_000),
        close([Tx, Rx])
    end).

peak(Most) ->
    receive
        {From, most} -> From ! {self(), Most}
    after 1 -> peak(max(Most, erlang:memory(processes)))
    end.

%% An active owner is told, a process that waits has its answer.
application_stops(_Config) ->
    Active = open_lo([{active, true}]),
    Once = open_lo([{active, once}]),
    Passive = open_lo(),
    Self = self(),
    Waiting = spawn_link(fun() -> Self ! {self(), gen_raw:recv(Passive, infinity)} end),
    until_waiting(Waiting),
    ok = application:stop(procket),
    [receive {raw_closed, Socket} -> ok after 30_000 -> error({not_told, Socket}) end || Socket <- [Active, Once]],
    receive {Waiting, Answer} -> ?assertEqual({error, closed}, Answer) after 30_000 -> error(no_answer) end,
    receive {raw_closed, Passive} -> error(told) after 0 -> ok end,
    ?assertEqual({error, closed}, gen_raw:recv(Passive, 0)).

%% Sockets outlive what they do not depend on, and their owners hear of the end of what they do.
servers_killed(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0", [{protocol, 0}]), raw_test:open(Name, "rx0", [{active, true}])},
        [
            begin
                Pid = whereis(Server),
                exit(Pid, kill),
                procket_test:wait_until(fun() -> is_pid(whereis(Server)) andalso whereis(Server) =/= Pid end),
                ok = gen_raw:send(Tx, raw_test:frame(N)),
                ?assertEqual([N], raw_test:numbers(raw_test:collect(Rx, 1)))
            end
         || {N, Server} <- lists:enumerate([procket_memory, procket_select, procket_registry])
        ],
        ?assertMatch([_, _], [Socket || #{role := capture, socket := Socket} <- procket:info()]),
        exit(whereis(gen_raw_sup), kill),
        receive {raw_closed, Rx} -> ok after 30_000 -> error(not_told) end,
        procket_test:wait_until(fun() -> not is_process_alive(Tx) end),
        ?assertEqual([], procket_test:settled(fun() -> procket_test:os_pids(capture) end))
    end).

%% The owner stays the owner, the mode is what it was, and it can try again.
handover_times_out(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0", [{protocol, 0}]), raw_test:open(Name, "rx0", [{active, true}])},
        application:set_env(procket, timeout, 100),
        ok = sys:suspend(Rx),
        Other = spawn_link(fun() -> receive {raw, Rx, Packets} -> exit({got, Packets}) end end),
        ?assertEqual({error, etimedout}, gen_raw:controlling_process(Rx, Other)),
        ok = sys:resume(Rx),
        application:unset_env(procket, timeout),
        ok = gen_raw:send(Tx, raw_test:frame(1)),
        ?assertEqual([1], raw_test:numbers(raw_test:collect(Rx, 1))),
        %% To itself, with a message that waits.
        ok = gen_raw:send(Tx, raw_test:frame(3)),
        procket_test:wait_until(fun() -> process_info(self(), message_queue_len) =/= {message_queue_len, 0} end),
        ok = gen_raw:controlling_process(Rx, self()),
        ?assertEqual([3], raw_test:numbers(raw_test:collect(Rx, 1))),
        true = unlink(Other),
        Monitor = monitor(process, Other),
        ok = gen_raw:controlling_process(Rx, Other),
        ok = gen_raw:send(Tx, raw_test:frame(2)),
        receive {'DOWN', Monitor, _, _, End} -> ?assertEqual({got, [raw_test:frame(2)]}, End) after 30_000 -> error(nothing) end,
        close([Tx])
    end).

%% Times of a machine that does not know what time it is are shorter in a batch.
early_times(_Config) ->
    [
        ?assertEqual(Packets, gen_raw_batch:decode(term_to_binary({packets, Packets}, [{minor_version, 2}])))
     || Time <- [0, 255, 256, 1 bsl 31, 1 bsl 55, 1 bsl 56, 1 bsl 60], Packets <- [[{Time, 1514, binary:copy(<<7>>, 1514)} || _ <- lists:seq(1, 3)]]
    ].

%% What comes after a sender has given up is not left in its queue.
answers_after_a_timeout(_Config) ->
    Rx = open_lo([{protocol, 0}]),
    application:set_env(procket, timeout, 100),
    ok = sys:suspend(Rx),
    ?assertEqual({error, {etimedout, 0}}, gen_raw:send(Rx, raw_test:frame(1))),
    ?assertEqual({error, etimedout}, gen_raw:stats(Rx)),
    ok = sys:resume(Rx),
    application:unset_env(procket, timeout),
    {ok, _} = gen_raw:stats(Rx),
    receive Message -> error({left_over, Message}) after 0 -> ok end,
    close([Rx]).

%% What no request can hold is refused as the kernel refuses what is too long, and what stands behind it is not sent.
long_frame(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0", [{protocol, 0}]), raw_test:open(Name, "rx0", [{active, true}])},
        Frames = [raw_test:frame(1), raw_test:frame(2), <<0:(17_000_000 * 8)>>, raw_test:frame(3)],
        ?assertEqual({error, {emsgsize, 2}}, gen_raw:send(Tx, Frames)),
        ?assertEqual([1, 2], raw_test:numbers(raw_test:collect(Rx, 2))),
        ?assertMatch(#{received := 2}, raw_test:settled(Rx)),
        close([Tx, Rx])
    end).

%% They raise in the process that calls, and nothing is reported.
bad_arguments(_Config) ->
    Reports = procket_test:reports(fun() ->
        Long = lists:duplicate(70_000, $a),
        [
            ?assertError(badarg, gen_raw:open("lo", [Option]), Option)
         || Option <- [
                {exec, sudo}, {exec, []}, {exec, [sudo]}, {exec, ["" | sudo]}, {exec, [[0]]}, {namespace, 1}, {namespace, [a]},
                {namespace, ["x" | y]}, {namespace, "a" ++ [0]}, {progname, 1}, {progname, [$a | $b]}, {progname, <<0>>}
            ]
        ],
        [?assertError(badarg, gen_raw:open(Source, []), Source) || Source <- [Long, list_to_binary(Long), [$l | $o], "lo" ++ [1 bsl 40]]],
        [?assertError(badarg, gen_raw:open("lo", Options), Options) || Options <- [nil, [{active, true} | nil], #{}, "x"]],
        ?assertEqual({error, enodev}, gen_raw:open(lists:duplicate(255, $a), [])),
        ?assertMatch({error, _}, gen_raw:open("lo", [{namespace, Long}])),
        ?assertMatch({error, _}, gen_raw:open("lo", [{progname, Long}, {exec, [""]}])),
        Rx = open_lo(),
        Frame = raw_test:frame(1),
        [?assertError(badarg, gen_raw:send(Rx, Frames), Frames) || Frames <- [[Frame | Frame], [a], <<1:1>>, [[Frame]], nil, 1]],
        [?assertError(badarg, gen_raw:setopts(Rx, Options), Options) || Options <- [[{active, true} | nil], nil, 1]],
        [?assertError(badarg, gen_raw:getopts(Rx, Names), Names) || Names <- [[active | nil], nil, 1]],
        ?assertError(badarg, gen_raw:controlling_process(Rx, nobody)),
        ?assertMatch({ok, _}, gen_raw:stats(Rx)),
        close([Rx])
    end),
    ?assertEqual([], Reports).

%% A process that is no socket is none: it does not end for that.
other_processes_are_asked(_Config) ->
    Rx = open_lo(),
    Names = [procket_registry, procket_memory, procket_select],
    Before = [whereis(Name) || Name <- Names],
    Others = [Pid || {_, Pid, _, _} <- supervisor:which_children(procket_port_sup)],
    Reports = procket_test:reports(fun() ->
        [
            ?assertMatch({error, _}, Ask(Pid))
         || Pid <- Before ++ Others,
            Ask <- [
                fun gen_raw:stats/1, fun gen_raw:info/1, fun(P) -> gen_raw:recv(P, 0) end, fun(P) -> gen_raw:getopts(P, [active]) end,
                fun(P) -> gen_raw:setopts(P, [{active, true}]) end, fun(P) -> gen_raw:controlling_process(P, self()) end
            ]
        ],
        %% Supervisors, which are OTP's, end for a cast that they do not know.
        [begin gen_server:cast(Pid, nonsense), Pid ! nonsense, {error, _} = gen_server:call(Pid, nonsense) end || Pid <- [Rx | Before ++ Others]],
        [ok = gen_server:cast(Rx, Cast) || Cast <- [{send, 1}, {send, a, b}, {closed}, {keep}, {keep, 1}]],
        ?assertMatch({ok, _}, gen_raw:stats(Rx))
    end),
    ?assertEqual([], [Report || Report <- Reports, element(1, Report) =:= error]),
    ?assertEqual(Before, [whereis(Name) || Name <- Names]),
    close([Rx]).

open_lo() -> open_lo([]).

open_lo(Options) ->
    {ok, Socket} = gen_raw:open("lo", [{protocol, 16#88b5} | Options]),
    Socket.

close(Sockets) ->
    lists:foreach(fun(Socket) -> ok = gen_raw:close(Socket) end, Sockets).
