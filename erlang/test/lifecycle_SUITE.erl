%% The application stops and starts, and its modules are loaded anew, under load and with sockets open.
-module(lifecycle_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() -> [stops_under_load, starts_no_port_process_while_stopping, modules_loaded_twice].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) -> Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

end_per_testcase(_, _Config) ->
    application:unset_env(procket, timeout).

%% Callers get an answer, and those that come later start it again.
stops_under_load(_Config) ->
    _ = application:stop(procket),
    procket_test:quiet(fun() ->
        Before = procket_test:open_fds(),
        %% No answer comes of its limit.
        application:set_env(procket, timeout, infinity),
        Load = procket_load:start(10),
        [begin timer:sleep(100), _ = application:stop(procket) end || _ <- lists:seq(1, 20)],
        #{wrong := Wrong} = procket_load:stop(Load),
        ?assertEqual([], Wrong),
        _ = application:stop(procket),
        procket_test:descriptors_settle(Before),
        ?assertEqual([], procket_test:os_pids(worker) ++ procket_test:os_pids(opener)),
        ?assertEqual(eacces, procket:errno_id(13))
    end).

%% The supervisor of the port processes ends before the server that asks it for one. What is asked meanwhile ends with the application.
starts_no_port_process_while_stopping(_Config) ->
    _ = application:stop(procket),
    {ok, _} = application:ensure_all_started(procket),
    ok = supervisor:terminate_child(procket_ports_sup, procket_port_sup),
    ?assertEqual({error, epipe}, procket:socket(inet, dgram, udp)),
    ?assertEqual({error, epipe}, procket:open(0, [{protocol, udp}])),
    Pipe = filename:join(string:trim(procket_test:sh_ok("mktemp -d")), "pipe"),
    ?assertEqual({error, epipe}, procket:open(0, [{protocol, udp}, {pipe, Pipe}])),
    ok = file:del_dir(filename:dirname(Pipe)),
    ok = application:stop(procket),
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:close(FD).

%% As in a release upgrade: nobody runs old code, the port processes and sockets stay.
modules_loaded_twice(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    {ok, Socket} = gen_udp:open(0, [{fd, FD}, binary]),
    {ok, RawFD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    {ok, Raw} = gen_raw:open({fd, RawFD}, []),
    Links = process_info(Raw, links),
    Pids = [procket_test:os_pid(Role) || Role <- [worker, opener]],
    ok = procket:select(FD, write),
    receive {procket, FD, ready, write} -> ok end,
    {ok, Modules} = application:get_key(procket, modules),
    Load = procket_load:start(5),
    [begin procket_test:wait_until(fun() -> code:soft_purge(Module) end), {module, Module} = code:load_file(Module) end || _ <- [1, 2], Module <- Modules],
    #{wrong := Wrong} = procket_load:stop(Load),
    ?assertEqual([], Wrong),
    [procket_test:wait_until(fun() -> code:soft_purge(Module) end) || Module <- Modules],
    ?assertEqual(Pids, [procket_test:os_pid(Role) || Role <- [worker, opener]]),
    ?assertEqual({ok, Name}, procket:getsockname(FD, <<0:128>>)),
    <<_:16, Port:16, _/binary>> = Name,
    {ok, Client} = gen_udp:open(0),
    ok = gen_udp:send(Client, {127, 0, 0, 1}, Port, <<"x">>),
    receive {udp, Socket, _, _, <<"x">>} -> ok after 30_000 -> error(nothing_arrived) end,
    %% Nothing of a socket of gen_raw is killed because it runs old code.
    ?assertEqual(Links, process_info(Raw, links)),
    ?assertMatch({ok, _}, gen_raw:stats(Raw)),
    ok = gen_raw:close(Raw),
    lists:foreach(fun gen_udp:close/1, [Client, Socket]),
    [ok = procket:close(Open) || Open <- [FD, RawFD]].
