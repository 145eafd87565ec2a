%% @private A mix of all calls at full speed with a fault each second: make soak MINUTES=10. Fails where a call has no
%% answer, a wrong one, or where anything is left over.
-module(procket_soak).

-export([main/1]).

-define(CALLERS, 20).

-spec main([string()]) -> no_return().
main([Minutes]) ->
    ok = logger:set_primary_config(level, none),
    %% Hostile arguments make files.
    Dir = string:trim(procket_test:sh_ok("mktemp -d")),
    ok = file:set_cwd(Dir),
    {ok, _} = application:ensure_all_started(procket),
    %% What is made once: modules, atoms, port processes.
    Warm = procket_load:start(?CALLERS),
    WarmActors = procket_soak_actors:start(),
    faults(erlang:monotonic_time(second) + 20, 0, quiet),
    {_, []} = procket_soak_actors:stop(WarmActors),
    #{wrong := []} = procket_load:stop(Warm),
    ok = all_work(),
    %% Names of errors are made as they are first met; to look and to print makes atoms, too.
    _ = [procket:errno_id(N) || N <- lists:seq(0, 200)],
    io:format("at first: ~0tp~n", [counts()]),
    Before = counts(),
    io:format("before: ~0tp~n", [Before]),
    Load = procket_load:start(?CALLERS),
    Actors = procket_soak_actors:start(),
    Faults = faults(erlang:monotonic_time(second) + 60 * list_to_integer(Minutes), 0, Load),
    {Acts, WrongActs} = procket_soak_actors:stop(Actors),
    #{begun := Begun, outcomes := Outcomes, wrong := WrongCalls} = procket_load:stop(Load),
    Wrong = WrongCalls ++ WrongActs,
    ok = all_work(),
    %% Idle openers end after a minute.
    After = settled(Before, 900),
    Total = lists:sum(maps:values(Begun)),
    Answered = lists:sum(maps:values(Outcomes)),
    Failed = lists:sum([N || {{_, Outcome}, N} <- maps:to_list(Outcomes), Outcome =/= ok]),
    io:format("after:  ~0tp~n~b faults, ~b calls, ~b answered, ~b of them with an error, ~b wrong~n", [After, Faults, Total, Answered, Failed, length(Wrong)]),
    io:format("beside them: ~0tp~n", [Acts]),
    _ = [io:format("wrong: ~0tp~n", [W]) || W <- Wrong],
    _ = procket_test:sh(["rm -rf ", Dir]),
    halt(case {Wrong, Answered, same(Before, After)} of {[], Total, true} -> 0; _ -> 1 end).

%% Memory is shown, and not the same: it may not have doubled.
counts() ->
    maps:merge(procket_load:counts(), #{atoms => erlang:system_info(atom_count), memory => erlang:memory(total), resident => resident()}).

same(Before, After) ->
    Free = [memory, resident],
    maps:without(Free, Before) =:= maps:without(Free, After) andalso
        lists:all(fun(Key) -> maps:get(Key, After) < 2 * maps:get(Key, Before) end, Free).

settled(Before, Tries) ->
    After = counts(),
    case same(Before, After) of
        false when Tries > 0 ->
            timer:sleep(100),
            settled(Before, Tries - 1);
        _ ->
            After
    end.

%% Of the port processes, in kB.
resident() ->
    lists:sum([
        list_to_integer(string:trim(procket_test:sh_ok(["ps -o rss= -p ", Pid])))
     || Role <- [worker, opener], Pid <- procket_test:os_pids(Role)
    ]).

all_work() ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    {ok, _} = procket:getsockname(FD, <<0:128>>),
    ok = procket:select(FD, read),
    ok = procket:select_stop(FD),
    _ = procket_test:direct(),
    procket:close(FD).

faults(Until, Count, Load) ->
    case erlang:monotonic_time(second) < Until of
        true ->
            timer:sleep(1000),
            fault(one_of([worker, opener, capture]), one_of([kill, stop])),
            _ = [io:format("~b faults, ~b s left, ~b processes~n", [Count, Until - erlang:monotonic_time(second), length(processes())]) || Load =/= quiet, Count rem 10 =:= 0],
            faults(Until, Count + 1, Load);
        false ->
            Count
    end.

one_of(List) ->
    lists:nth(rand:uniform(length(List)), List).

fault(Role, kill) ->
    signal("KILL", procket_test:os_pids(Role));
fault(Role, stop) ->
    Pids = procket_test:os_pids(Role),
    signal("STOP", Pids),
    timer:sleep(300),
    %% Also those whose port was closed meanwhile.
    signal("CONT", Pids).

%% One that has ended by itself is no fault.
signal(Signal, Pids) ->
    _ = [procket_test:sh(["kill -", Signal, " ", Pid]) || Pid <- Pids],
    ok.
