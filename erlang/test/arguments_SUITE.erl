%% Hostile arguments for every exported function: no server of the application ends, nothing is reported, nothing is left.
-module(arguments_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

%% How often each function is called: PROCKET_CALLS says otherwise.
-define(CALLS, "60").

all() ->
    [every_function].

suite() ->
    [{timetrap, {minutes, 20}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

every_function(Config) ->
    _ = application:stop(procket),
    %% Openers that end by themselves would change the counts.
    application:set_env(procket, opener_idle, infinity),
    %% Files get made under random names.
    {ok, Cwd} = file:get_cwd(),
    Files = filename:join(proplists:get_value(priv_dir, Config), "arguments"),
    ok = file:make_dir(Files),
    ok = file:set_cwd(Files),
    try
        {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}, {exec, [""]}]),
        {ok, Socket} = gen_raw:open("lo", [{protocol, 16#88b5}, {exec, [""]}]),
        Valid = #{fd => FD, socket => Socket},
        Calls = list_to_integer(os:getenv("PROCKET_CALLS", ?CALLS)),
        %% What is made once: modules, atoms, openers.
        _ = [procket_hostile:run(Function, 3, Valid) || Function <- procket_hostile:functions()],
        Before = settled(),
        Worker = procket_test:os_pid(worker),
        Wrong = fun() -> [{Function, What} || Function <- procket_hostile:functions(), What <- procket_hostile:run(Function, Calls, Valid)] end,
        Self = self(),
        Reports = procket_test:reports(fun() -> Self ! {wrong, Wrong()} end),
        receive {wrong, All} -> ?assertEqual([], shortened(All)) end,
        ?assertEqual([], [Report || {error, _} = Report <- Reports]),
        ?assertEqual(Worker, procket_test:os_pid(worker)),
        ?assertMatch({ok, _}, gen_raw:stats(Socket)),
        ?assertMatch({ok, _}, procket:getsockname(FD, <<0:128>>)),
        ?assertEqual([], [{Key, maps:get(Key, Before), N} || {Key, N} <- maps:to_list(settled()), maps:get(Key, Before) =/= N]),
        ok = gen_raw:close(Socket),
        ok = procket:close(FD)
    after
        application:unset_env(procket, opener_idle),
        file:set_cwd(Cwd)
    end.

%% The first of each function, without their large binaries.
shortened(Wrong) ->
    [{Function, lists:flatten(io_lib:format("~0P: ~0P", [Args, 30, What, 60]))} || {Function, {Args, What}} <- lists:ukeysort(1, Wrong)].

settled() ->
    Servers = [{Name, whereis(Name)} || Name <- [procket_sup, procket_ports_sup, procket_registry, procket_port_sup, procket_memory, procket_select, gen_raw_sup]],
    maps:merge(maps:from_list(Servers), procket_test:settled(fun() -> maps:without([openers], procket_load:counts()) end)).
