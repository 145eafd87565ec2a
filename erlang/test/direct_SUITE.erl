%% The ways to a port process: the direct connection, and the server with its batches; and what happens if a caller or the process fails.
-module(direct_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        direct_is_used, server_when_direct_is_held, holder_killed, holder_gave_up, descriptors_of_a_killed_holder, in_flight_at_the_end, stopping_in_a_call,
        half_an_answer,
        long_answers, callers_in_batches, bad_descriptor_in_a_batch, descriptors_in_batches, no_spin, sleeps_when_idle
    ].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) -> Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(_, Config) ->
    _ = application:stop(procket),
    %% A first call includes the start of a port process, and on a busy machine the loading of its modules.
    ok = application:set_env(procket, timeout, 60_000, [{persistent, true}]),
    ?assertEqual(eacces, procket:errno_id(13)),
    _ = procket_test:direct(),
    ok = application:unset_env(procket, timeout),
    Config.

end_per_testcase(_, _Config) ->
    [application:unset_env(procket, Key) || Key <- [timeout, spin]],
    ok.

%% A call on the direct connection; others may keep the processors busy.
directly(Function, Args, FDs, Brings, Timeout) ->
    case procket_direct:call(procket_test:direct(), Function, Args, FDs, Brings, Timeout) of
        busy ->
            timer:sleep(1),
            directly(Function, Args, FDs, Brings, Timeout);
        Result ->
            Result
    end.

direct_is_used(_Config) ->
    ?assertEqual({{ok, eacces}, []}, directly(errno_id, [13], [], false, 5000)),
    {ok, [FD]} = directly(socket, [2, 2, 17], [], true, 5000),
    {{ok, Name}, []} = directly(getsockname, [16], [FD], false, 5000),
    ?assertEqual({ok, Name}, procket:getsockname(FD, <<0:128>>)),
    ?assertEqual({error, ebadf}, directly(getsockname, [16], [9999], false, 5000)),
    ?assertEqual({{error, {undef, nothing}}, []}, directly(nothing, [], [], false, 5000)),
    ok = procket:close(FD).

%% A caller is served if another holds the direct connection.
server_when_direct_is_held(_Config) ->
    Holder = holding(),
    ?assertEqual(busy, procket_direct:call(procket_test:direct(), errno_id, [13], [], false, 5000)),
    ?assertEqual(eacces, procket:errno_id(13)),
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:close(FD),
    Holder ! free.

%% A process that holds the direct connection and does nothing with it.
holding() ->
    Direct = procket_test:direct(),
    Self = self(),
    Pid = spawn(fun() ->
        true = procket_direct:hold(Direct),
        Self ! {self(), holds},
        receive free -> ok = procket_direct:release(Direct) end
    end),
    receive {Pid, holds} -> Pid end.

holder_killed(_Config) ->
    Direct = procket_test:direct(),
    Holder = holding(),
    exit(Holder, kill),
    procket_test:wait_until(fun() ->
        ?assertEqual(eacces, procket:errno_id(13)),
        procket_test:direct() =/= Direct
    end),
    ?assertEqual({{ok, eacces}, []}, directly(errno_id, [13], [], false, 5000)),
    ?assertEqual(0, ets:info(procket_direct, size)).

%% A caller that has waited for too long leaves an answer behind, which nobody else may take for its own.
holder_gave_up(_Config) ->
    Direct = procket_test:direct(),
    Worker = procket_test:os_pid(worker),
    _ = procket_test:sh_ok("kill -STOP " ++ Worker),
    ?assertEqual({error, etimedout}, directly(errno_id, [13], [], false, 50)),
    _ = procket_test:sh_ok("kill -CONT " ++ Worker),
    procket_test:wait_until(fun() -> procket_test:direct() =/= Direct end),
    ?assertEqual({{ok, eperm}, []}, directly(errno_id, [1], [], false, 5000)).

descriptors_of_a_killed_holder(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:close(FD),
    Worker = procket_test:os_pid(worker),
    Before = procket_test:settled(fun() -> {procket_test:open_fds(), procket_test:open_fds(Worker)} end),
    _ = procket_test:sh_ok("kill -STOP " ++ Worker),
    {Pid, Monitor} = spawn_monitor(fun() -> directly(socket, [2, 2, 17], [], true, 5000) end),
    procket_test:calls_sent(worker, [Pid]),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, killed} -> ok end,
    _ = procket_test:sh_ok("kill -CONT " ++ Worker),
    procket_test:wait_until(fun() ->
        ?assertEqual(eacces, procket:errno_id(13)),
        {procket_test:open_fds(), procket_test:open_fds(Worker)} =:= Before
    end).

%% A server that ends closes what nobody takes: what it sent to a caller that gives up, or to one that ends. What a caller
%% took is that caller's.
in_flight_at_the_end(_Config) ->
    Ends = fun(Caller, Message) ->
        {ok, FD} = procket:socket(inet, dgram, udp),
        Id = make_ref(),
        InFlight = procket_in_flight:deliver(Id, ok, [FD], procket_in_flight:add(Id, Caller, procket_in_flight:new())),
        _ = [self() ! {'$gen_cast', {Message, Id}} || Message =/= none],
        ok = procket_in_flight:close_all(InFlight),
        receive {'$gen_cast', _} -> error(not_read) after 0 -> ok end,
        procket:close(FD)
    end,
    Lives = spawn_link(fun() -> receive stop -> ok end end),
    Dead = spawn(fun() -> ok end),
    procket_test:wait_until(fun() -> not is_process_alive(Dead) end),
    ?assertEqual({error, ebadf}, Ends(Lives, abandon)),
    ?assertEqual({error, ebadf}, Ends(Dead, none)),
    ?assertEqual(ok, Ends(Lives, taken)),
    ?assertEqual(ok, Ends(Lives, none)),
    Lives ! stop.

%% A port process that ends between the first byte of an answer, with its descriptors, and the others, or sends what is no frame.
half_an_answer(_Config) ->
    Path = "/tmp/procket-" ++ os:getpid() ++ "-half",
    {ok, Listening} = socket:open(local, stream),
    ok = socket:bind(Listening, #{family => local, path => Path}),
    ok = socket:listen(Listening),
    try
        Before = procket_test:settled(fun procket_test:open_fds/0),
        [
            begin
                {ok, Peer} = socket:open(local, stream),
                ok = socket:connect(Peer, #{family => local, path => Path}),
                {ok, Socket} = socket:accept(Listening),
                {ok, [], Connection} = procket_connection:new(Socket),
                {ok, FD} = procket:socket(inet, dgram, udp),
                Rights = [#{level => socket, type => rights, data => <<FD:32/native>>}],
                [ok = socket:sendmsg(Peer, #{iov => [First], ctrl => Rights}) || First <- Firsts],
                ok = socket:send(Peer, Rest),
                ok = socket:close(Peer),
                procket_connection:close(ended(Connection)),
                ok = procket:close(FD)
            end
         || {Firsts, Rest} <- [{[<<0>>], <<>>}, {[<<0>>], <<0, 0>>}, {[<<255>>], <<255, 255, 255>>}, {[<<0, 0>>], <<>>}, {[<<0>>], <<0, 0, 1, 131, 255, 255, 255, 255>>}]
        ],
        procket_test:descriptors_settle(Before)
    after
        _ = socket:close(Listening),
        file:delete(Path)
    end.

ended(Connection) ->
    receive
        {'$socket', _, _, _} = Message ->
            case procket_connection:handle(Message, Connection) of
                {error, _, Last} -> Last;
                {ok, Frames, Next} ->
                    [procket:close(FD) || {_, FDs} <- Frames, FD <- FDs],
                    ended(Next)
            end
    after 30_000 -> error(nothing_came)
    end.

stopping_in_a_call(_Config) ->
    Worker = procket_test:os_pid(worker),
    _ = procket_test:sh_ok("kill -STOP " ++ Worker),
    Self = self(),
    Calls = [spawn_link(fun() -> Self ! {self(), procket:socket(inet, dgram, udp)} end) || _ <- lists:seq(1, 10)],
    procket_test:calls_sent(worker, Calls),
    ok = application:stop(procket),
    _ = procket_test:sh("kill -CONT " ++ Worker),
    %% Some were sent and have no answer; the others start the application again.
    [receive {Pid, {ok, FD}} -> procket:close(FD); {Pid, Error} -> ?assertEqual({error, epipe}, Error) end || Pid <- Calls].

%% Longer than what the socket takes at once, on both ways.
long_answers(_Config) ->
    {ok, Reader, Writer} = stream(),
    [
        begin
            Data = rand:bytes(Size),
            ?assert(Data =:= through(Writer, Reader, Data))
        end
     || Size <- [1, 4091, 8192, 65_536, 300_000, 2_000_000]
    ],
    lists:foreach(fun procket:close/1, [Reader, Writer]).

stream() ->
    {ok, Listener} = procket:open(0, [{ip, {127, 0, 0, 1}}, {backlog, 1}]),
    {ok, Name} = procket:getsockname(Listener, <<0:128>>),
    {ok, Writer} = procket:socket(inet, stream, tcp),
    _ = procket:connect(Writer, Name),
    ok = procket:select(Listener, read),
    receive {procket, Listener, ready, read} -> ok end,
    {ok, Reader} = procket:accept(Listener),
    ok = procket:close(Listener),
    {ok, Reader, Writer}.

through(Writer, Reader, Data) ->
    through(Writer, Reader, Data, byte_size(Data), []).

through(_Writer, _Reader, <<>>, 0, Received) ->
    iolist_to_binary(lists:reverse(Received));
through(Writer, Reader, Data, Missing, Received) ->
    Left = written(procket:write(Writer, Data), Data),
    case procket:read(Reader, 4_000_000) of
        {ok, More} ->
            through(Writer, Reader, Left, Missing - byte_size(More), [More | Received]);
        {error, eagain} ->
            ok = procket:select(Reader, read),
            receive {procket, Reader, ready, read} -> through(Writer, Reader, Left, Missing, Received) end
    end.

written(ok, _Data) -> <<>>;
written({ok, Count}, Data) -> binary:part(Data, Count, byte_size(Data) - Count);
written({error, eagain}, Data) -> Data.

%% While the worker stands still, calls gather; each gets its own answer.
gathered(Calls) ->
    Worker = procket_test:os_pid(worker),
    Holder = holding(),
    Server = server(),
    ok = sys:suspend(Server),
    Self = self(),
    Pids = [{spawn_link(fun() -> Self ! {self(), Call()} end), Call} || Call <- Calls],
    procket_test:wait_until(fun() -> {message_queue_len, N} = process_info(Server, message_queue_len), N >= length(Calls) end),
    ok = sys:resume(Server),
    Results = [receive {Pid, Result} -> Result end || {Pid, _} <- Pids],
    Holder ! free,
    ?assertEqual(Worker, procket_test:os_pid(worker)),
    Results.

server() ->
    {ok, #{server := Server}} = procket_client:port(worker),
    Server.

callers_in_batches(_Config) ->
    Numbers = lists:seq(1, 1000),
    Expected = [procket:errno_id(N) || N <- Numbers],
    ?assertEqual(Expected, gathered([fun() -> procket:errno_id(N) end || N <- Numbers])).

bad_descriptor_in_a_batch(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    Good = procket:getsockname(FD, <<0:128>>),
    Calls = [fun() -> procket:getsockname(case N rem 3 of 0 -> 9999; _ -> FD end, <<0:128>>) end || N <- lists:seq(1, 300)],
    Expected = [case N rem 3 of 0 -> {error, ebadf}; _ -> Good end || N <- lists:seq(1, 300)],
    ?assertEqual(Expected, gathered(Calls)),
    ok = procket:close(FD).

descriptors_in_batches(_Config) ->
    Before = procket_test:open_fds(),
    Results = gathered([fun() -> procket:socket(inet, dgram, udp) end || _ <- lists:seq(1, 400)]),
    FDs = [FD || {ok, FD} <- Results],
    ?assertEqual(400, length(lists:usort(FDs))),
    lists:foreach(fun procket:close/1, FDs),
    procket_test:wait_until(fun() -> procket_test:open_fds() =:= Before end).

no_spin(_Config) ->
    ok = application:stop(procket),
    application:set_env(procket, spin, 0),
    ?assertEqual(eacces, procket:errno_id(13)),
    ?assertMatch(#{polls := false}, procket_test:direct()),
    ?assertEqual({{ok, eacces}, []}, directly(errno_id, [13], [], false, 5000)),
    [?assertEqual(eperm, procket:errno_id(1)) || _ <- lists:seq(1, 1000)].

%% After calls that came close together: a while later there are two seconds in which no processor time is used.
sleeps_when_idle(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    [{ok, _} = procket:getsockname(FD, <<>>) || _ <- lists:seq(1, 10_000)],
    ok = procket:close(FD),
    Pids = [procket_test:os_pid(Role) || Role <- [worker, opener]],
    procket_test:stays(fun() -> [ticks(Pid) || Pid <- Pids] end).

ticks(Pid) ->
    {ok, Stat} = file:read_file("/proc/" ++ Pid ++ "/stat"),
    [_, Fields] = binary:split(Stat, <<") ">>),
    [UserTime, SystemTime] = lists:sublist(binary:split(Fields, <<" ">>, [global]), 12, 2),
    binary_to_integer(UserTime) + binary_to_integer(SystemTime).
