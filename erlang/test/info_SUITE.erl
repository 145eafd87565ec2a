%% What procket:info/0 says of the port processes, also of those that say nothing themselves.
-module(info_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [none, worker_and_opener, capture, capture_of_a_descriptor, capture_ends, stopped].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(Case, Config) ->
    _ = application:stop(procket),
    case lists:member(Case, [none, worker_and_opener]) of
        true -> Config;
        false -> procket_test:need_root(Config)
    end.

end_per_testcase(_, _Config) ->
    application:stop(procket).

none(_Config) ->
    ?assertEqual([], procket:info()),
    ok = application:start(procket),
    ?assertEqual([], procket:info()).

worker_and_opener(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    ok = procket:close(FD),
    [?assertEqual(eacces, procket:errno_id(13)) || _ <- lists:seq(1, 100)],
    ?assertEqual({error, ebadf}, procket:getsockname(9999, <<>>)),
    [#{received := Short}] = info(worker),
    {error, einval} = with_null(fun(Null) -> procket:bind(Null, binary:copy(<<1>>, 100_000)) end),
    [#{received := Long}] = info(worker),
    %% Each byte once, also of what came in many reads.
    ?assert(Long - Short > 100_000 andalso Long - Short < 110_000, Long - Short),
    {error, enotsock} = with_null(fun(Null) -> procket:getsockname(Null, <<>>) end),
    [Opener] = info(opener),
    [Worker] = info(worker),
    #{os_pid := WorkerPid, calls := Calls, errors := Errors, received := Received, sent := Sent, spin := 100, polled := Polled, slept := Slept} = Worker,
    ?assertEqual(procket_test:os_pid(worker), integer_to_list(WorkerPid)),
    ?assert(Calls > 100),
    %% One that is no descriptor does not come so far.
    ?assertEqual(2, Errors),
    ?assert(Received > 100 * 20 andalso Sent > 100 * 20),
    ?assert(Polled + Slept > 0),
    #{command := Command, os_pid := OpenerPid, calls := OpenerCalls, user := User, capabilities := Capabilities} = Opener,
    ?assertEqual(procket:progname() ++ " opener", Command),
    ?assertEqual(procket_test:os_pid(opener), integer_to_list(OpenerPid)),
    ?assert(OpenerCalls >= 2),
    ?assertEqual(User, list_to_integer(string:trim(os:cmd("id -u")))),
    ?assertEqual(User =:= 0, lists:member(net_raw, Capabilities)).

%% What it says agrees with what the sockets say, and with what was sent.
capture(_Config) ->
    raw_test:with_veth(fun(Name) ->
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{active, true}])},
        ok = gen_raw:send(Tx, [raw_test:frame(N, 1000) || N <- lists:seq(1, 100)]),
        {error, {emsgsize, 0}} = gen_raw:send(Tx, raw_test:frame(1, 100_000)),
        _ = raw_test:collect(Rx, 100),
        {Sender, Receiver} = {of_socket(Tx), of_socket(Rx)},
        ?assertEqual(raw_test:capture_pid(Tx), integer_to_list(maps:get(os_pid, Sender))),
        ?assertMatch(#{user := 65534, capabilities := []}, Sender),
        ?assertMatch(#{errors := 1, packets := #{sent := 100, received := 0}}, Sender),
        ?assertMatch(#{errors := 0, packets := #{sent := 0, received := 100, delivered := 100, kernel_dropped := 0}}, Receiver),
        ?assertEqual(gen_raw:stats(Rx), {ok, maps:get(packets, Receiver)}),
        %% Bytes: the frames went through one as requests, through the other as batches.
        #{received := Requests, sent := Answers, calls := Calls} = Sender,
        ?assert(Requests > 200_000 andalso Requests < 250_000, Requests),
        ?assert(Answers < 1000, Answers),
        ?assert(Calls >= 5 andalso Calls < 20, Calls),
        #{received := Credit, sent := Batches} = Receiver,
        ?assert(Batches > 100_000 andalso Batches < 110_000, Batches),
        ?assert(Credit < 1000, Credit),
        [ok = gen_raw:close(Socket) || Socket <- [Tx, Rx]]
    end).

capture_of_a_descriptor(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {ip, "127.0.0.1"}]),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    {ok, Socket} = gen_raw:open({fd, FD}, []),
    ok = procket:sendto(FD, <<"hello">>, 0, Name),
    {ok, [<<"hello">>]} = gen_raw:recv(Socket, 5000),
    ?assertMatch(#{packets := #{received := 1, delivered := 1}}, of_socket(Socket)),
    ok = gen_raw:close(Socket),
    ok = procket:close(FD).

%% It goes with the socket, however that ends.
capture_ends(_Config) ->
    Ends = [
        fun gen_raw:close/1,
        fun(Socket) -> exit(Socket, kill) end,
        fun(Socket) -> procket_test:sh_ok("kill -9 " ++ raw_test:capture_pid(Socket)) end
    ],
    [
        begin
            {ok, Socket} = gen_raw:open("lo", [{protocol, 16#88b5}]),
            #{} = of_socket(Socket),
            _ = End(Socket),
            procket_test:wait_until(fun() -> info(capture) =:= [] end),
            ok = gen_raw:close(Socket)
        end
     || End <- Ends
    ],
    ?assertEqual([], [Row || {{capture, _}, _} = Row <- procket_registry:all()]).

%% Those that say nothing are shown, with what the system knows, beside the others.
stopped(_Config) ->
    {ok, Stopped} = gen_raw:open("lo", [{protocol, 16#88b5}]),
    {ok, Runs} = gen_raw:open("lo", [{protocol, 16#88b5}]),
    eacces = procket:errno_id(13),
    All = procket_test:with_stopped([procket_test:os_pid(worker), raw_test:capture_pid(Stopped)], fun procket:info/0),
    [Worker] = [Info || #{role := worker} = Info <- All],
    [Silent] = [Info || #{socket := S} = Info <- All, S =:= Stopped],
    ?assertMatch(#{os_pid := _, user := _, capabilities := _}, Worker),
    ?assertMatch(#{os_pid := _, user := 65534, capabilities := []}, Silent),
    [?assertNot(is_map_key(calls, Info)) || Info <- [Worker, Silent]],
    ?assertMatch([#{calls := _, packets := _}], [Info || #{socket := S} = Info <- All, S =:= Runs]),
    ?assertMatch([#{calls := _}], [Info || #{role := opener} = Info <- All]),
    ?assertMatch([#{calls := _}], info(worker)),
    ?assertMatch(#{calls := _, packets := _}, of_socket(Stopped)),
    ok = gen_raw:close(Stopped),
    ok = gen_raw:close(Runs).

info(Role) ->
    [Info || #{role := R} = Info <- procket:info(), R =:= Role].

of_socket(Socket) ->
    [Info] = [Info || #{socket := S} = Info <- info(capture), S =:= Socket],
    Info.

with_null(Fun) ->
    {ok, FD} = procket:dev("null"),
    try
        Fun(FD)
    after
        procket:close(FD)
    end.
