%% select and select_stop: told when a descriptor is ready.
-module(select_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [udp, once, ready_already, write, read_and_write, several_processes, asked_twice, foreign, pipe, netlink, tun,
     regular_file, stop, stop_of_one, stop_takes_messages_away, closed, closed_elsewhere, closed_and_reused, reused_while_busy, no_copy_is_kept,
     caller_dies, worker_dies, after_worker_died, stopped_worker, late_request, server_killed, application_stops, many].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(tun, Config) -> procket_test:need_root(Config);
init_per_testcase(_, Config) -> Config.

end_per_testcase(_, Config) ->
    application:unset_env(procket, timeout),
    receive
        {procket, _, _, _} = Message ->
            %% Where the case has failed, its own reason says more.
            case proplists:get_value(tc_status, Config) of
                ok -> {fail, {left_over, Message}};
                _ -> ok
            end
    after 0 -> ok
    end.

udp(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        ok = procket:select(FD, read),
        nothing(100),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ready(FD, read),
        ?assertEqual({ok, <<"x">>}, procket:recv(FD, 10))
    end).

%% One message for each time that it was asked.
once(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        [
            begin
                ok = procket:select(FD, read),
                ok = procket:sendto(FD, <<"x">>, 0, Name),
                ok = procket:sendto(FD, <<"y">>, 0, Name),
                ready(FD, read),
                nothing(20),
                [{ok, _}, {ok, _}] = [procket:recv(FD, 10) || _ <- [1, 2]]
            end
         || _ <- lists:seq(1, 20)
        ]
    end).

ready_already(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ok = procket:select(FD, read),
        ready(FD, read),
        ok = procket:select(FD, read),
        ready(FD, read)
    end).

write(_Config) ->
    socket_test:with_udp(fun(FD, _Name) ->
        ok = procket:select(FD, write),
        ready(FD, write)
    end).

read_and_write(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        ok = procket:select(FD, read),
        ok = procket:select(FD, write),
        ready(FD, write),
        nothing(50),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ready(FD, read)
    end).

several_processes(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        Pids = [asking(FD, read) || _ <- lists:seq(1, 10)],
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        [?assertEqual({procket, FD, ready, read}, answer(Pid)) || Pid <- Pids]
    end).

asked_twice(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        [ok = procket:select(FD, read) || _ <- [1, 2, 3]],
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ready(FD, read),
        nothing(50)
    end).

foreign(_Config) ->
    {ok, Socket} = gen_udp:open(0, [{active, false}]),
    {ok, FD} = inet:getfd(Socket),
    {ok, Port} = inet:port(Socket),
    ok = procket:select(FD, read),
    ok = gen_udp:send(Socket, {127, 0, 0, 1}, Port, <<"x">>),
    ready(FD, read),
    {ok, {_, _, "x"}} = gen_udp:recv(Socket, 0, 1000),
    ok = gen_udp:close(Socket).

pipe(_Config) ->
    Path = "/tmp/procket-select-" ++ os:getpid(),
    _ = procket_test:sh_ok(["mkfifo ", Path]),
    {ok, File} = prim_file:open(list_to_binary(Path), [read, write]),
    ok = file:delete(Path),
    {ok, Names} = file:list_dir("/proc/self/fd"),
    [FD] = [list_to_integer(N) || N <- Names, file:read_link("/proc/self/fd/" ++ N) =:= {ok, Path ++ " (deleted)"}],
    ok = procket:select(FD, read),
    nothing(50),
    ok = procket:write(FD, <<"x">>),
    ready(FD, read),
    ok = prim_file:close(File).

netlink(_Config) ->
    {ok, FD} = procket:socket(netlink, raw, 0),
    ok = procket:select(FD, read),
    %% RTM_GETLINK, a dump.
    Request = <<32:32/native, 18:16/native, 16#301:16/native, 1:32/native, 0:32, 0:128>>,
    ok = procket:sendto(FD, Request, 0, <<(procket:family(netlink)):16/native, 0:16, 0:32, 0:32>>),
    ready(FD, read),
    ?assertMatch({ok, <<_:32, 16:16/native, _/binary>>}, procket:recv(FD, 65536)),
    ok = procket:close(FD).

%% What the system sends to a TUN device is there to read.
tun(_Config) ->
    {ok, FD} = procket:dev("net/tun"),
    {ok, <<Name:16/binary, _/binary>>} = procket:ioctl(FD, 16#400454ca, <<"prock%d", 0:72, 16#1001:16/native, 0:(22 * 8)>>),
    Interface = binary_to_list(hd(binary:split(Name, <<0>>))),
    ok = procket:select(FD, read),
    _ = procket_test:sh_ok("ip link set " ++ Interface ++ " up && ip addr add 10.9.7.1/24 dev " ++ Interface),
    {ok, Socket} = gen_udp:open(0),
    ok = gen_udp:send(Socket, {10, 9, 7, 2}, 9, <<"x">>),
    ready(FD, read),
    ok = gen_udp:close(Socket),
    ok = procket:close(FD).

regular_file(_Config) ->
    {ok, File} = prim_file:open(<<"/etc/passwd">>, [read]),
    {ok, Names} = file:list_dir("/proc/self/fd"),
    [FD | _] = [list_to_integer(N) || N <- Names, file:read_link("/proc/self/fd/" ++ N) =:= {ok, "/etc/passwd"}],
    ?assertEqual({error, eperm}, procket:select(FD, read)),
    ok = prim_file:close(File).

stop(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        ok = procket:select_stop(FD),
        ok = procket:select(FD, read),
        ok = procket:select_stop(FD),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        nothing(100),
        ok = procket:select(FD, read),
        ready(FD, read)
    end).

stop_of_one(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        Other = asking(FD, read),
        ok = procket:select(FD, read),
        ok = procket:select_stop(FD),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ?assertEqual({procket, FD, ready, read}, answer(Other)),
        nothing(50)
    end).

stop_takes_messages_away(_Config) ->
    socket_test:with_udp(fun(FD, _Name) ->
        ok = procket:select(FD, write),
        timer:sleep(100),
        ok = procket:select_stop(FD),
        nothing(0)
    end).

closed(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:select(FD, read),
    Other = asking(FD, read),
    ok = procket:close(FD),
    error_of(FD, ebadf),
    ?assertEqual({procket, FD, error, ebadf}, answer(Other)).

%% Closed by somebody who tells nobody.
closed_elsewhere(_Config) ->
    {ok, Socket} = gen_udp:open(0),
    {ok, FD} = inet:getfd(Socket),
    ok = procket:select(FD, read),
    ok = gen_udp:close(Socket),
    error_of(FD, ebadf).

closed_and_reused(_Config) ->
    {ok, Socket} = gen_udp:open(0),
    {ok, FD} = inet:getfd(Socket),
    ok = procket:select(FD, read),
    ok = gen_udp:close(Socket),
    {ok, Again} = gen_udp:open(0),
    ?assertEqual({ok, FD}, inet:getfd(Again)),
    error_of(FD, ebadf),
    {ok, Port} = inet:port(Again),
    ok = procket:select(FD, read),
    nothing(50),
    ok = gen_udp:send(Again, {127, 0, 0, 1}, Port, <<"x">>),
    receive
        {procket, FD, ready, read} -> ok;
        %% gen_udp is active, and may have been the first.
        {udp, Again, _, _, _} -> ok
    after 30_000 -> error(nothing)
    end,
    ok = procket:select_stop(FD),
    ok = gen_udp:close(Again).

%% The number becomes another descriptor while somebody waits for the first, and the worker has no rest.
reused_while_busy(_Config) ->
    {ok, Socket} = gen_udp:open(0),
    {ok, FD} = inet:getfd(Socket),
    First = asking(FD, read),
    Busy = spawn_link(fun Call() -> receive stop -> ok after 0 -> _ = procket_calls:worker(errno_id, [1]), Call() end end),
    ok = gen_udp:close(Socket),
    {ok, Again} = gen_udp:open(0, [{active, false}, {ip, {127, 0, 0, 1}}]),
    ?assertEqual({ok, FD}, inet:getfd(Again)),
    {ok, Port} = inet:port(Again),
    ok = procket:select(FD, read),
    ok = gen_udp:send(Again, {127, 0, 0, 1}, Port, <<"x">>),
    ready(FD, read),
    ?assertMatch({procket, FD, _, _}, answer(First)),
    %% One that nobody reuses is told, too.
    ok = procket:select(FD, write),
    ready(FD, write),
    {ok, <<"x">>} = procket:recv(FD, 10),
    ok = procket:select(FD, read),
    ok = gen_udp:close(Again),
    error_of(FD, ebadf),
    Busy ! stop.

%% A port that is watched is free at once when its descriptor is closed.
no_copy_is_kept(_Config) ->
    {ok, Socket} = gen_udp:open(0),
    {ok, Port} = inet:port(Socket),
    {ok, FD} = inet:getfd(Socket),
    ok = procket:select(FD, read),
    ok = gen_udp:close(Socket),
    {ok, Again} = gen_udp:open(Port),
    ok = gen_udp:close(Again),
    ok = procket:select_stop(FD).

caller_dies(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        Before = sys:get_state(procket_select),
        Pid = asking(FD, read),
        exit(Pid, kill),
        procket_test:wait_until(fun() -> sys:get_state(procket_select) =:= Before end),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ok = procket:select(FD, read),
        ready(FD, read)
    end).

worker_dies(_Config) ->
    socket_test:with_udp(fun(FD, _Name) ->
        ok = procket:select(FD, read),
        _ = procket_test:sh_ok("kill -9 " ++ procket_test:os_pid(worker)),
        error_of(FD, epipe)
    end).

after_worker_died(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        ok = procket:select(FD, read),
        _ = procket_test:sh_ok("kill -9 " ++ procket_test:os_pid(worker)),
        procket_test:wait_until(fun() -> procket_test:os_pids(worker) =:= [] end),
        error_of(FD, epipe),
        ok = procket:select(FD, read),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ready(FD, read)
    end).

%% Every caller has its answer when its own time is up.
stopped_worker(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        FDs = [begin {ok, Other} = procket:socket(inet, dgram, udp), Other end || _ <- lists:seq(1, 7)],
        application:set_env(procket, timeout, 1000),
        procket_test:with_stopped([procket_test:os_pid(worker)], fun() ->
            Self = self(),
            Callers = [spawn_link(fun() -> Self ! {self(), procket:select(F, read)} end) || F <- [FD | FDs]],
            %% One after the other takes eight times as long.
            [receive {Pid, Answer} -> ?assertEqual({error, etimedout}, Answer) after 30_000 -> error(no_answer) end || Pid <- Callers]
        end),
        application:unset_env(procket, timeout),
        ok = procket:select(FD, read),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ready(FD, read),
        [ok = procket:close(F) || F <- FDs],
        ?assertEqual(0, ets:info(procket_select, size))
    end).

%% The request of a process that has given up may come to the worker late: it takes nothing from those that wait.
late_request(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        ok = procket:select(FD, read),
        ok = procket_calls:worker(select, [FD, read, make_ref()], [FD]),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ready(FD, read)
    end).

server_killed(_Config) ->
    socket_test:with_udp(fun(FD, Name) ->
        ok = procket:select(FD, read),
        Other = asking(FD, read),
        exit(whereis(procket_select), kill),
        error_of(FD, epipe),
        ?assertEqual({procket, FD, error, epipe}, answer(Other)),
        procket_test:wait_until(fun() -> procket:select(FD, read) =:= ok end),
        ok = procket:sendto(FD, <<"x">>, 0, Name),
        ready(FD, read)
    end).

application_stops(_Config) ->
    socket_test:with_udp(fun(FD, _Name) ->
        ok = procket:select(FD, read),
        Reader = asking(FD, read),
        ok = application:stop(procket),
        error_of(FD, epipe),
        ?assertEqual({procket, FD, error, epipe}, answer(Reader))
    end).

many(_Config) ->
    {ok, First} = procket:socket(inet, dgram, udp),
    ok = procket:close(First),
    Worker = procket_test:os_pid(worker),
    FDs = [
        begin
            {ok, FD} = procket:socket(inet, dgram, udp),
            ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
            {ok, Name} = procket:getsockname(FD, <<0:128>>),
            {FD, Name}
        end
     || _ <- lists:seq(1, 500)
    ],
    [ok = procket:select(FD, read) || {FD, _} <- FDs],
    %% Nothing but the descriptor of epoll itself.
    ?assert(procket_test:open_fds(Worker) < 10),
    [ok = procket:sendto(FD, <<"x">>, 0, Name) || {FD, Name} <- FDs],
    [ready(FD, read) || {FD, _} <- FDs],
    [ok = procket:close(FD) || {FD, _} <- FDs],
    nothing(50).

%% A process that has asked, and tells what it was told.
asking(FD, Direction) ->
    Self = self(),
    Pid = spawn(fun() ->
        ok = procket:select(FD, Direction),
        Self ! {self(), asked},
        receive Message -> Self ! {self(), Message} end
    end),
    receive {Pid, asked} -> Pid after 30_000 -> error(not_asked) end.

answer(Pid) ->
    receive {Pid, Message} -> Message after 30_000 -> error(not_told) end.

ready(FD, Direction) ->
    receive
        {procket, FD, ready, Direction} -> ok
    after 30_000 -> error({not_ready, FD, Direction})
    end.

error_of(FD, Reason) ->
    receive
        {procket, FD, error, Reason} -> ok
    after 30_000 -> error({not_told, FD, Reason})
    end.

nothing(Milliseconds) ->
    receive
        {procket, _, _, _} = Message -> error({unexpected, Message})
    after Milliseconds -> ok
    end.
