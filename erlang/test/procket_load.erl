%% A mix of all kinds of calls by many processes at once, for as long as one likes; every answer is looked at and counted.
%% A fault of a port process may show as one of `allowed/0', never as anything else, and never as no answer.
-module(procket_load).

-export([start/1, stop/1, counts/0]).

-export_type([load/0]).

-opaque load() :: #{callers := [{pid(), reference()}], begun := counters:counters_ref(), kinds := [atom()]}.

%% What a call returns that meets a fault: docs/reliability.md.
allowed(capture) -> [closed | allowed()];
allowed(_) -> allowed().

allowed() ->
    [epipe, etimedout].

%% Starts so many callers.
start(Callers) ->
    Kinds = [Kind || {Kind, _} <- kinds()],
    Begun = counters:new(length(Kinds), [write_concurrency]),
    #{callers => [spawn_monitor(fun() -> caller(Begun) end) || _ <- lists:seq(1, Callers)], begun => Begun, kinds => Kinds}.

%% Stops them once each has the answer to its call, within a minute: how many calls of each kind were begun, how they ended, and what was wrong.
stop(#{callers := Callers, begun := Begun, kinds := Kinds}) ->
    [Pid ! stop || {Pid, _} <- Callers],
    Deadline = erlang:monotonic_time(millisecond) + 60_000,
    Ends = [receive {'DOWN', Monitor, process, Pid, End} -> End after max(0, Deadline - erlang:monotonic_time(millisecond)) -> {no_answer, Pid, process_info(Pid, current_stacktrace)} end || {Pid, Monitor} <- Callers],
    Outcomes = lists:foldl(fun add/2, #{}, [Results || {done, Results} <- Ends]),
    #{
        begun => maps:from_list([{Kind, counters:get(Begun, N)} || {N, Kind} <- lists:zip(lists:seq(1, length(Kinds)), Kinds)]),
        outcomes => Outcomes,
        wrong => [End || End <- Ends, element(1, End) =/= done]
    }.

add(Results, Sum) ->
    maps:fold(fun(Key, N, S) -> maps:update_with(Key, fun(M) -> M + N end, N, S) end, Sum, Results).

%% What has to be the same before and after, once all is quiet.
counts() ->
    #{
        descriptors => procket_test:open_fds(),
        processes => length(processes()),
        ports => length(erlang:ports()),
        tables => length(ets:all()),
        held => ets:info(procket_direct, size),
        watches => ets:info(procket_select, size),
        resources => ets:info(procket_memory, size),
        monitors => lists:sum([length(M) || P <- processes(), {monitors, M} <- [process_info(P, monitors)]]),
        workers => length(procket_test:os_pids(worker)),
        openers => length(procket_test:os_pids(opener)),
        captures => length(procket_test:os_pids(capture))
    }.

caller(Begun) ->
    {ok, Own} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}, {active, false}, {recbuf, 1_000_000}]),
    {ok, Port} = inet:port(Own),
    {ok, FD} = inet:getfd(Own),
    State = #{fd => FD, name => procket_test:sockaddr(Port, {127, 0, 0, 1})},
    Results = loop(lists:zip(lists:seq(1, length(kinds())), kinds()), State, Begun, #{}),
    ok = gen_udp:close(Own),
    receive Message -> exit({message_left, Message}) after 0 -> exit({done, Results}) end.

loop(Kinds, State, Begun, Results) ->
    receive
        stop -> Results
    after 0 ->
        {N, {Kind, Call}} = lists:nth(rand:uniform(length(Kinds)), Kinds),
        ok = counters:add(Begun, N, 1),
        Outcome =
            case Call(State) of
                ok -> ok;
                {error, Reason} -> lists:member(Reason, allowed(Kind)) orelse exit({wrong, Kind, Reason}), Reason
            end,
        loop(Kinds, State, Begun, add(#{{Kind, Outcome} => 1}, Results))
    end.

kinds() ->
    [
        {getsockname, fun(#{fd := FD, name := Name}) -> expect({ok, Name}, procket:getsockname(FD, Name)) end},
        {socket, fun(_) -> opened(procket:socket(inet, dgram, udp)) end},
        {open, fun(_) -> opened(procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}, {exec, [""]}])) end},
        {dev, fun(_) -> opened(procket:dev("null", [{exec, [""]}])) end},
        {echo, fun echo/1},
        {pipeline, fun(#{fd := FD, name := Name}) ->
            expect([{ok, Name}, {error, enotsup}], procket:call([{getsockname, [FD, Name]}, {listen, [FD]}]))
        end},
        {option, fun(#{fd := FD}) ->
            steps([
                fun() -> expect(ok, procket:setsockopt(FD, 'SOL_SOCKET', 'SO_PRIORITY', <<3:32/native>>)) end,
                fun() -> expect({ok, <<3:32/native>>}, procket:getsockopt(FD, 'SOL_SOCKET', 'SO_PRIORITY', <<0:32>>)) end
            ])
        end},
        {bad_descriptor, fun(#{name := Name}) -> expect({error, ebadf}, procket:bind(1_000_000, Name)) end},
        {memory, fun memory/1},
        {select, fun select/1},
        {capture, fun capture/1},
        {long, fun(#{fd := FD}) -> expect({error, einval}, procket:bind(FD, binary:copy(<<1>>, 60_000 + rand:uniform(20_000)))) end},
        {killed, fun(#{fd := FD, name := Name}) ->
            {Pid, Monitor} = spawn_monitor(fun() -> [procket:getsockname(FD, Name) || _ <- lists:seq(1, 1000)] end),
            erlang:yield(),
            exit(Pid, kill),
            receive {'DOWN', Monitor, process, Pid, _} -> ok end
        end}
    ].

expect(Expected, Expected) -> ok;
expect(_, {error, Reason}) -> {error, Reason};
expect(Expected, Other) -> exit({expected, Expected, got, Other}).

steps([]) -> ok;
steps([Step | Steps]) ->
    case Step() of
        ok -> steps(Steps);
        Error -> Error
    end.

opened({ok, FD}) -> procket:close(FD);
opened(Error) -> Error.

%% A datagram to itself, of every size; what an earlier call may have sent is dropped first.
echo(#{fd := FD, name := Name} = State) ->
    Data = rand:bytes(rand:uniform(case rand:uniform(4) of 1 -> 65_507; _ -> 1400 end)),
    steps([
        fun() -> drain(State) end,
        fun() -> expect(ok, procket:sendto(FD, Data, 0, Name)) end,
        fun() -> expect({ok, Data, Name}, procket:recvfrom(FD, 65_507, 0, byte_size(Name))) end
    ]).

drain(#{fd := FD} = State) ->
    case procket:recvfrom(FD, 65_507) of
        {ok, _} -> drain(State);
        {error, eagain} -> ok;
        Error -> Error
    end.

%% Memory goes with its worker.
memory(_) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        exit({result, case procket:alloc([{ptr, <<1, 2, 3, 4>>}]) of
            {ok, _, [Resource]} ->
                steps([
                    fun() -> expect(ok, procket:memcpy(Resource, <<5>>)) end,
                    fun() -> expect({ok, <<5, 2, 3, 4>>}, procket:buf(Resource)) end
                ]);
            Error ->
                Error
        end})
    end),
    receive
        {'DOWN', Monitor, process, Pid, {result, {error, enomem}}} -> {error, epipe};
        {'DOWN', Monitor, process, Pid, {result, Result}} -> Result;
        {'DOWN', Monitor, process, Pid, Wrong} -> exit(Wrong)
    end.

select(#{fd := FD, name := Name} = State) ->
    steps([
        fun() -> drain(State) end,
        fun() -> expect(ok, procket:select(FD, read)) end,
        fun() ->
            Sent = procket:sendto(FD, <<"x">>, 0, Name),
            receive
                {procket, FD, ready, read} when Sent =:= ok -> ok;
                {procket, FD, ready, read} -> Sent;
                {procket, FD, error, Reason} -> {error, Reason}
            after case Sent of ok -> 30_000; _ -> 0 end ->
                ok = procket:select_stop(FD),
                case Sent of
                    ok -> exit(no_readiness);
                    _ -> Sent
                end
            end
        end,
        fun() -> drain(State) end
    ]).

%% A socket of `gen_raw', and what comes to it, in order.
capture(_) ->
    case procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}, {exec, [""]}]) of
        {ok, FD} ->
            Result = captured(FD, gen_raw:open({fd, FD}, [])),
            case procket:close(FD) of
                ok -> Result;
                Error -> exit({not_closed, Error})
            end;
        Error ->
            Error
    end.

captured(_FD, {error, _} = Error) ->
    Error;
captured(FD, {ok, Socket}) ->
    Data = [rand:bytes(rand:uniform(1400)) || _ <- lists:seq(1, 20)],
    Result =
        case procket:getsockname(FD, <<0:128>>) of
            {ok, Name} -> steps([fun() -> procket:sendto(FD, Datagram, 0, Name) end || Datagram <- Data] ++ [fun() -> collect(Socket, Data) end]);
            Error -> Error
        end,
    ok = gen_raw:close(Socket),
    Result.

collect(_Socket, []) ->
    ok;
collect(Socket, Data) ->
    case gen_raw:recv(Socket, 30_000) of
        {ok, Packets} ->
            lists:prefix(Packets, Data) orelse exit({not_in_order, Data, Packets}),
            collect(Socket, lists:nthtail(length(Packets), Data));
        {error, timeout} ->
            exit({nothing_comes, gen_raw:stats(Socket)});
        Error ->
            Error
    end.
