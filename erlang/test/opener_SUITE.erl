%% How long openers are there, and how many.
-module(opener_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [lasting_commands, prefix_serves_one_call, namespace_that_is_gone, relative_program, many_programs, idle_opener_ends, busy_opener_stays, caller_dies].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(_, Config) ->
    Config.

end_per_testcase(_, _Config) ->
    ok = application:unset_env(procket, opener_idle),
    _ = application:stop(procket).

lasting_commands(_Config) ->
    Lasting = fun(Prefix, Progname) -> procket_command:is_lasting(procket_command:opener(Prefix, #{progname => Progname})) end,
    [?assert(Lasting(Prefix, Progname), {Prefix, Progname}) || {Prefix, Progname} <- [
        {"", "/a/procket"}, {"", "procket"}, {"sudo", "/a/procket"}, {"/usr/bin/doas", "/a/procket"}, {"sudo -n", "/a/procket"}, {"", "sudo /a/procket"}
    ]],
    [?assertNot(Lasting(Prefix, Progname), {Prefix, Progname}) || {Prefix, Progname} <- [
        {"env A=b", "/a/procket"}, {"ip netns exec x", "/a/procket"}, {"", "ip netns exec x /a/procket"}, {"sudo", "ip netns exec x /a/procket"},
        {"sudo -u x", "/a/procket"}, {"", "priv/procket"}, {"sudo", "priv/procket"}, {"sudo sudo", "/a/procket"}
    ]].

prefix_serves_one_call(_Config) ->
    [
        begin
            opens([{progname, "env A=" ++ integer_to_list(N) ++ " " ++ program()}, {exec, [""]}]),
            procket_test:wait_until(fun() -> procket_test:os_pids(opener) =:= [] end)
        end
     || N <- lists:seq(1, 5)
    ].

namespace_that_is_gone(_Config) ->
    Options = procket_test:with_netns(fun(Name) ->
        Options = [{progname, "ip netns exec " ++ Name ++ " " ++ program()}, {exec, [""]}],
        opens(Options),
        Options
    end),
    ?assertMatch({error, _}, procket_test:quiet(fun() -> procket:open(0, [{protocol, udp} | Options]) end)).

%% The same words in another directory are another program.
relative_program(_Config) ->
    {ok, Before} = file:get_cwd(),
    try
        ok = file:set_cwd(filename:dirname(filename:absname(program()))),
        opens([{progname, "./procket"}, {exec, [""]}]),
        ok = file:set_cwd("/"),
        ?assertEqual({error, enoent}, procket_test:quiet(fun() -> procket:open(0, [{progname, "./procket"}, {exec, [""]}]) end))
    after
        ok = file:set_cwd(Before)
    end.

%% Those that are kept are a few. Calls by the others work all the same.
many_programs(Config) ->
    Programs = [filename:join(proplists:get_value(priv_dir, Config), "procket" ++ integer_to_list(N)) || N <- lists:seq(1, 25)],
    [ok = file:make_symlink(filename:absname(program()), Program) || Program <- Programs],
    [opens([{progname, Program}, {exec, [""]}]) || _ <- [1, 2], Program <- Programs],
    procket_test:wait_until(fun() -> length(procket_test:os_pids(opener)) =:= 8 end),
    opens([]),
    procket_test:wait_until(fun() -> length(procket_test:os_pids(opener)) =:= 8 end).

idle_opener_ends(_Config) ->
    ok = application:set_env(procket, opener_idle, 20),
    [
        begin
            opens([]),
            procket_test:wait_until(fun() -> procket_test:os_pids(opener) =:= [] end)
        end
     || _ <- lists:seq(1, 20)
    ],
    %% A worker has no rights but the node's.
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertMatch([_], procket_test:os_pids(worker)),
    ok = procket:close(FD).

%% Calls at any moment, also in the one in which the opener ends, are made.
busy_opener_stays(_Config) ->
    ok = application:set_env(procket, opener_idle, 1),
    Callers = [spawn_monitor(fun() -> [opens([]) || _ <- lists:seq(1, 300)] end) || _ <- lists:seq(1, 4)],
    [receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end || {Pid, Monitor} <- Callers],
    ok = application:set_env(procket, opener_idle, infinity),
    opens([]),
    [Opener] = procket_test:os_pids(opener),
    opens([]),
    ?assertEqual([Opener], procket_test:os_pids(opener)).

%% An opener that serves one call is not left behind by a caller that dies in it.
caller_dies(Config) ->
    ok = application:set_env(procket, opener_idle, 20),
    Slow = filename:join(proplists:get_value(priv_dir, Config), "slow"),
    ok = file:write_file(Slow, "#!/bin/sh\nsleep 1\nexec \"$@\"\n"),
    ok = file:change_mode(Slow, 8#755),
    {ok, _} = application:ensure_all_started(procket),
    Servers = fun() -> supervisor:which_children(procket_port_sup) end,
    {Pid, Monitor} = spawn_monitor(fun() -> procket:open(0, [{protocol, udp}, {exec, [Slow]}]) end),
    procket_test:wait_until(fun() -> Servers() =/= [] end),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end,
    procket_test:wait_until(fun() -> Servers() =:= [] end).

opens(Options) ->
    {ok, FD} = procket:open(0, [{protocol, udp} | Options]),
    ok = procket:close(FD).

program() ->
    procket:progname().
