%% More callers, descriptors and requests than a port process can take at once: docs/reliability.md.
-module(overload_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [callers_at_once, long_requests_at_once, openers_at_once, descriptors_on_the_way, callers_die, late_call_is_not_made, many_descriptors_are_watched, one_does_not_starve_others].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(_, Config) ->
    _ = application:stop(procket),
    %% A first call includes the start of a port process.
    ok = application:set_env(procket, timeout, 60_000, [{persistent, true}]),
    {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    ok = procket:select(FD, read),
    ok = procket:select_stop(FD),
    _ = procket_test:direct(),
    [{fd, FD}, {name, Name} | Config].

end_per_testcase(_, Config) ->
    _ = application:unset_env(procket, timeout),
    ok = procket:close(proplists:get_value(fd, Config)).

%% All are submitted before the server takes the first.
at_once(Server, Calls) ->
    ok = sys:suspend(Server),
    Self = self(),
    Pids = [spawn_link(fun() -> Self ! {self(), Call()} end) || Call <- Calls],
    procket_test:wait_until(fun() -> {message_queue_len, N} = process_info(Server, message_queue_len), N >= length(Calls) end),
    ok = sys:resume(Server),
    [receive {Pid, Answer} -> Answer after 60_000 -> no_answer end || Pid <- Pids].

callers_at_once(Config) ->
    {FD, Name} = {proplists:get_value(fd, Config), proplists:get_value(name, Config)},
    application:set_env(procket, timeout, 60_000),
    Before = procket_test:settled(fun procket_load:counts/0),
    Worker = procket_test:os_pid(worker),
    procket_test:with_direct_held(fun(Server) ->
        Answers = at_once(Server, [fun() -> procket:getsockname(FD, Name) end || _ <- lists:seq(1, 10_000)]),
        ?assertEqual([{ok, Name}], lists:usort(Answers))
    end),
    ?assertEqual(Worker, procket_test:os_pid(worker)),
    procket_test:counts_settle(Before).

%% More than the connection takes at once, each request with its descriptor: what does not fit waits.
long_requests_at_once(Config) ->
    FD = proplists:get_value(fd, Config),
    application:set_env(procket, timeout, 60_000),
    Long = binary:copy(<<1>>, 100_000),
    procket_test:with_direct_held(fun(Server) ->
        ?assertEqual([{error, einval}], lists:usort(at_once(Server, [fun() -> procket:bind(FD, Long) end || _ <- lists:seq(1, 100)])))
    end).

%% Each answer brings a descriptor: neither side waits for the other for ever.
openers_at_once(_Config) ->
    application:set_env(procket, timeout, 60_000),
    Before = procket_test:settled(fun procket_load:counts/0),
    Answers = procket_test:with_direct_held({opener, hd(procket_open:commands([]))}, fun(Server) ->
        at_once(Server, [fun() -> procket:open(0, [{protocol, udp}]) end || _ <- lists:seq(1, 3000)])
    end),
    FDs = [FD || {ok, FD} <- Answers],
    ?assertEqual(3000, length(lists:usort(FDs))),
    lists:foreach(fun procket:close/1, FDs),
    procket_test:counts_settle(Before).

%% As an unprivileged user, who may have 1024 descriptors on the way: no port process ends of it.
descriptors_on_the_way(Config) ->
    Dir = filename:join("/tmp", "procket-" ++ os:getpid() ++ "-way"),
    try
        Lib = procket_test:copy_application(Dir),
        Expression = "{ok, A} = procket:socket(inet, dgram, udp), procket:close(A), Self = self(), "
            "Pids = [spawn(fun() -> Self ! {self(), procket:socket(inet, dgram, udp)} end) || _ <- lists:seq(1, 3000)], "
            "io:format(\"<~0tp>\", [lists:usort([receive {P, {ok, FD}} -> procket:close(FD), ok; {P, R} -> R end || P <- Pids]) -- [ok, {error, emfile}]]), halt().",
        Output = procket_test:sh_ok(["cd / && HOME=", Dir, " setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all "
            "prlimit --nofile=1024 erl -noshell -pa ", Lib, "/ebin -eval '", Expression, "' </dev/null"]),
        ?assertMatch({match, _}, re:run(Output, "<\\[\\]>"), {Output, Config})
    after
        procket_test:sh(["rm -rf ", Dir])
    end.

callers_die(Config) ->
    {FD, Name} = {proplists:get_value(fd, Config), proplists:get_value(name, Config)},
    Before = procket_test:settled(fun procket_load:counts/0),
    procket_test:with_direct_held(fun(Server) ->
        ok = sys:suspend(Server),
        Pids = [spawn(fun() -> procket:sendto(FD, <<"late">>, 0, Name) end) || _ <- lists:seq(1, 5000)] ++
            [spawn(fun() -> procket:socket(inet, dgram, udp) end) || _ <- lists:seq(1, 5000)],
        procket_test:wait_until(fun() -> {message_queue_len, N} = process_info(Server, message_queue_len), N >= length(Pids) end),
        [exit(Pid, kill) || Pid <- Pids],
        ok = sys:resume(Server),
        ?assertEqual({ok, Name}, procket:getsockname(FD, Name))
    end),
    %% What nobody waits for is not done.
    ?assertEqual({error, eagain}, procket:recvfrom(FD, 10)),
    procket_test:counts_settle(Before).

%% The number may be another descriptor's by then.
late_call_is_not_made(Config) ->
    {FD, Name} = {proplists:get_value(fd, Config), proplists:get_value(name, Config)},
    application:set_env(procket, timeout, 100),
    procket_test:with_direct_held(fun(Server) ->
        ok = sys:suspend(Server),
        ?assertEqual({error, etimedout}, procket:sendto(FD, <<"late">>, 0, Name)),
        ok = sys:resume(Server),
        application:set_env(procket, timeout, 5000),
        ?assertEqual({error, eagain}, procket:recvfrom(FD, 10))
    end).

many_descriptors_are_watched(Config) ->
    Name = proplists:get_value(name, Config),
    Before = procket_test:settled(fun procket_load:counts/0),
    FDs = [begin {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]), FD end || _ <- lists:seq(1, 5000)],
    [?assertEqual(ok, procket:select(FD, read)) || FD <- FDs],
    [
        begin
            {ok, To} = procket:getsockname(FD, Name),
            ok = procket:sendto(FD, <<"x">>, 0, To)
        end
     || FD <- FDs
    ],
    [receive {procket, FD, ready, read} -> ok after 30_000 -> error({not_told, FD}) end || FD <- FDs],
    lists:foreach(fun procket:close/1, FDs),
    procket_test:counts_settle(Before).

%% One that holds the direct connection all the time leaves the others their turn: in a few of its own calls. Now and then the machine takes its
%% processors away from the server or the caller while that connection goes on, so it is the half that counts.
one_does_not_starve_others(_Config) ->
    #{server := Server} = Direct = procket_test:direct(),
    Calls = counters:new(1, []),
    Busy = spawn_link(fun() -> never_stops(Direct, Calls) end),
    Between = [
        begin
            Before = counters:get(Calls, 1),
            {{ok, eacces}, []} = procket_client:call_alone(Server, errno_id, [13]),
            counters:get(Calls, 1) - Before
        end
     || _ <- lists:seq(1, 500)
    ],
    unlink(Busy),
    exit(Busy, kill),
    Median = lists:nth(250, lists:sort(Between)),
    ?assert(Median < 1000, {Median, lists:max(Between)}).

never_stops(Direct, Calls) ->
    _ = [counters:add(Calls, 1, 1) || procket_direct:call(Direct, errno_id, [13], [], false, 5000) =/= busy],
    never_stops(Direct, Calls).
