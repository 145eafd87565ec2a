%% The application and its port processes: started when needed, shared, replaced, ended.
-module(port_SUITE).
-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        first_call_starts_the_application, first_call_with_a_pipe, shared, one_opener_for_each_command, replaced_after_kill, calls_in_flight_get_epipe,
        sockets_outlive_the_port_process, stopping_ends_all, no_answer_in_time, caller_dies_while_it_waits, late_answer_leaves_no_descriptor,
        stranger_connects, temporary_directory_is_left_clean, temporary_directory_missing, close_any_descriptor, close_bad_descriptor,
        socket_and_bind, bind_errors, long_request, longest_request, too_long_request, family_and_errno, opener_does_nothing_else,
        worker_dies_at_start, ends_with_the_vm, bare_erl
    ].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(_, Config) ->
    _ = application:stop(procket),
    %% A first call includes the start of a port process, and on a busy machine the loading of its modules.
    ok = application:set_env(procket, timeout, 60_000, [{persistent, true}]),
    Config.

end_per_testcase(_, _Config) ->
    _ = application:unset_env(procket, timeout),
    _ = application:unset_env(procket, port_executable).

first_call_starts_the_application(_Config) ->
    ?assertNot(lists:keymember(procket, 1, application:which_applications())),
    ?assertEqual(eacces, procket:errno_id(13)),
    ?assert(lists:keymember(procket, 1, application:which_applications())).

first_call_with_a_pipe(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {pipe, "/tmp/procket-" ++ os:getpid() ++ "-first"}]),
    ok = procket:close(FD).

shared(_Config) ->
    {ok, FD1} = procket:socket(inet, dgram, udp),
    Worker = procket_test:os_pid(worker),
    {ok, FD2} = procket:socket(inet, dgram, udp),
    ?assertEqual(Worker, procket_test:os_pid(worker)),
    lists:foreach(fun procket:close/1, [FD1, FD2]).

one_opener_for_each_command(Config) ->
    Other = filename:join(proplists:get_value(priv_dir, Config), "other"),
    ok = file:make_symlink(filename:absname(procket:progname()), Other),
    Open = fun(Options) ->
        {ok, FD} = procket:open(0, [{protocol, udp} | Options]),
        ok = procket:close(FD),
        length(procket_test:os_pids(opener))
    end,
    ?assertEqual(1, Open([])),
    ?assertEqual(1, Open([{exec, [""]}])),
    ?assertEqual(2, Open([{progname, Other}, {exec, [""]}])),
    ?assertEqual(2, Open([{progname, " " ++ Other ++ " "}, {exec, ["not-there", ""]}])).

replaced_after_kill(_Config) ->
    [
        begin
            {ok, FD} = procket:socket(inet, dgram, udp),
            ok = procket:close(FD),
            {ok, #{server := Server}} = procket_client:port(worker),
            _ = procket_test:sh_ok("kill -9 " ++ procket_test:os_pid(worker)),
            %% A call that meets the death is in flight; one after it was seen is not.
            procket_test:wait_until(fun() -> not is_process_alive(Server) end)
        end
     || _ <- lists:seq(1, 20)
    ],
    ?assertEqual(eagain, procket:errno_id(11)).

calls_in_flight_get_epipe(_Config) ->
    ?assertEqual(eacces, procket:errno_id(13)),
    Worker = procket_test:os_pid(worker),
    _ = procket_test:sh_ok("kill -STOP " ++ Worker),
    {ok, Socket} = gen_udp:open(0),
    {ok, FD} = inet:getfd(Socket),
    Self = self(),
    Calls = [
        fun() -> procket:socket(inet, dgram, udp) end,
        fun() -> procket:getsockname(FD, <<0:128>>) end,
        fun() -> procket:bind(FD, binary:copy(<<0>>, 100_000)) end
    ],
    Pids = [spawn_link(fun() -> Self ! {self(), Call()} end) || Call <- Calls],
    procket_test:calls_sent(worker, Pids),
    _ = procket_test:sh_ok("kill -9 " ++ Worker),
    [receive {Pid, Result} -> ?assertEqual({error, epipe}, Result) end || Pid <- Pids],
    ok = gen_udp:close(Socket).

%% Another user does not get to the socket on which the node waits, and one that does not know the secret is dropped.
stranger_connects(_Config) ->
    {ok, Listener} = procket_listener:listen(undefined),
    Path = procket_listener:path(Listener),
    try
        [?assertMatch({ok, #file_info{mode = Mode}} when Mode band 8#777 =:= Expected, file:read_file_info(File)) || {File, Expected} <- [{Path, 8#600}, {filename:dirname(Path), 8#700}]],
        {ok, Secret} = procket_listener:secret(),
        ?assertEqual(32, byte_size(Secret)),
        Connect = fun(Data) ->
            {ok, Socket} = socket:open(local, stream),
            ok = socket:connect(Socket, #{family => local, path => Path}),
            ok = socket:send(Socket, Data),
            Socket
        end,
        Strangers = [Connect(Data) || Data <- [<<0:256>>, binary:part(Secret, 0, 31), <<>>]],
        ?assertEqual({error, etimedout}, procket_listener:accept(Listener, Secret, 0)),
        [?assertMatch({error, R} when R =:= closed; R =:= econnreset, socket:recv(Socket)) || Socket <- Strangers],
        Known = Connect(Secret),
        {ok, Connected} = procket_listener:accept(Listener, Secret, 5000),
        [ok = socket:close(Socket) || Socket <- [Connected, Known | Strangers]]
    after
        procket_listener:close(Listener)
    end.

sockets_outlive_the_port_process(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:128>>),
    {ok, Server} = gen_udp:open(0, [{fd, FD}, binary]),
    Servers = [procket_test:server(Role) || Role <- [worker, opener]],
    [_ = procket_test:sh_ok("kill -9 " ++ procket_test:os_pid(Role)) || Role <- [worker, opener]],
    [procket_test:wait_until(fun() -> not is_process_alive(Pid) end) || Pid <- Servers],
    {ok, Client} = gen_udp:open(0),
    ok = gen_udp:send(Client, {127, 0, 0, 1}, Port, <<"x">>),
    receive {udp, Server, _, _, <<"x">>} -> ok after 30_000 -> error(nothing_arrived) end,
    lists:foreach(fun gen_udp:close/1, [Server, Client]),
    ok = procket:close(FD).

stopping_ends_all(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    {ok, _} = procket:getsockname(FD, <<>>),
    Pids = [procket_test:os_pid(Role) || Role <- [worker, opener]],
    ok = application:stop(procket),
    [procket_test:wait_until(fun() -> not filelib:is_dir("/proc/" ++ Pid) end) || Pid <- Pids],
    ok = procket:close(FD).

no_answer_in_time(_Config) ->
    ?assertEqual(eacces, procket:errno_id(13)),
    Worker = procket_test:os_pid(worker),
    application:set_env(procket, timeout, 50),
    _ = procket_test:sh_ok("kill -STOP " ++ Worker),
    ?assertEqual({error, etimedout}, procket:socket(inet, dgram, udp)),
    _ = procket_test:sh_ok("kill -CONT " ++ Worker),
    application:set_env(procket, timeout, 5000),
    ?assertEqual(eacces, procket:errno_id(13)),
    ?assertEqual(Worker, procket_test:os_pid(worker)),
    no_messages().

caller_dies_while_it_waits(_Config) ->
    stopped_worker(fun() ->
        {Pid, Monitor} = spawn_monitor(fun() -> procket:socket(inet, dgram, udp) end),
        procket_test:calls_sent(worker, [Pid]),
        exit(Pid, kill),
        receive {'DOWN', Monitor, process, Pid, killed} -> ok end
    end).

late_answer_leaves_no_descriptor(_Config) ->
    stopped_worker(fun() ->
        application:set_env(procket, timeout, 50),
        ?assertEqual({error, etimedout}, procket:socket(inet, dgram, udp)),
        application:set_env(procket, timeout, 5000)
    end).

%% Runs something while the worker is stopped, on the direct connection and through the server; afterwards as many descriptors are open as before.
stopped_worker(Fun) ->
    stopped_worker_once(Fun),
    procket_test:with_direct_held(fun(_Server) -> stopped_worker_once(Fun) end).

stopped_worker_once(Fun) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:close(FD),
    Worker = procket_test:os_pid(worker),
    _ = procket_test:direct(),
    Before = procket_test:settled(fun() -> {procket_test:open_fds(), procket_test:open_fds(Worker)} end),
    _ = procket_test:sh_ok("kill -STOP " ++ Worker),
    Fun(),
    _ = procket_test:sh_ok("kill -CONT " ++ Worker),
    ?assertEqual(eacces, procket:errno_id(13)),
    procket_test:wait_until(fun() -> {procket_test:open_fds(), procket_test:open_fds(Worker)} =:= Before end),
    no_messages().

no_messages() ->
    receive
        Message -> error({left_over, Message})
    after 100 -> ok
    end.

temporary_directory_is_left_clean(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "tmp"),
    ok = file:make_dir(Dir),
    with_tmpdir(Dir, fun() ->
        ?assertEqual(eacces, procket:errno_id(13)),
        ?assertEqual({ok, []}, file:list_dir(Dir))
    end).

temporary_directory_missing(_Config) ->
    with_tmpdir("/not/there", fun() -> ?assertEqual(eacces, procket:errno_id(13)) end).

with_tmpdir(Dir, Fun) ->
    Before = os:getenv("TMPDIR"),
    true = os:putenv("TMPDIR", Dir),
    try
        Fun()
    after
        case Before of
            false -> os:unsetenv("TMPDIR");
            _ -> os:putenv("TMPDIR", Before)
        end
    end.

close_any_descriptor(_Config) ->
    {ok, Socket} = gen_udp:open(0),
    {ok, Port} = inet:port(Socket),
    {ok, FD} = inet:getfd(Socket),
    ok = procket:close(FD),
    ?assertEqual({error, ebadf}, procket:close(FD)),
    {ok, Again} = gen_udp:open(Port),
    ok = gen_udp:close(Again).

close_bad_descriptor(_Config) ->
    ?assertEqual({error, ebadf}, procket:close(9999)),
    ?assertEqual({error, ebadf}, procket:close(1 bsl 40)),
    ?assertError(function_clause, procket:close(-1)),
    ?assertError(function_clause, procket:close(a)).

socket_and_bind(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    Port = procket_test:free_port(udp),
    Sockaddr = procket_test:sockaddr(Port, {127, 0, 0, 1}),
    ok = procket:bind(FD, Sockaddr),
    ?assertEqual({ok, Sockaddr}, procket:getsockname(FD, Sockaddr)),
    ok = procket:close(FD),
    {ok, Again} = gen_udp:open(Port),
    ok = gen_udp:close(Again).

bind_errors(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, einval}, procket:bind(FD, <<>>)),
    ?assertEqual({error, einval}, procket:bind(FD, <<0:8000>>)),
    ?assertEqual({error, ebadf}, procket:bind(9999, <<0:128>>)),
    ?assertEqual({error, ebadf}, procket:getsockname(1 bsl 31, <<0:128>>)),
    {ok, File} = file:open("/etc/passwd", [read, raw]),
    ok = file:close(File),
    {ok, Null} = procket:dev("null"),
    ?assertEqual({error, enotsock}, procket:bind(Null, <<0:128>>)),
    ok = procket:close(Null),
    ok = procket:close(FD),
    ?assertEqual({error, eafnosupport}, procket:socket(200, dgram, 0)),
    ?assertError(badarg, procket:socket(inet, nothing, 0)).

%% A long request arrives whole, with its descriptor: bind says that the address is too long, not that the request is bad.
long_request(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    [
        ?assertEqual({error, einval}, procket:bind(FD, binary:copy(<<1>>, Size)))
     || Size <- [30_000, 32_600, 32_700, 32_768, 40_000, 65_400, 65_535, 65_536, 70_000, 1_000_000]
    ],
    ok = procket:close(FD).

longest_request(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, einval}, procket:bind(FD, binary:copy(<<1>>, 16#1000000 - 100))),
    ok = procket:close(FD).

too_long_request(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, emsgsize}, procket:bind(FD, binary:copy(<<1>>, 16#1000000))),
    ok = procket:close(FD).

family_and_errno(_Config) ->
    ?assertEqual(2, procket:family(inet)),
    ?assertEqual(1, procket:family(unix)),
    ?assertEqual(77, procket:family(77)),
    ?assertError(badarg, procket:family(no_such_family)),
    ?assertEqual(<<2:16/native>>, procket:sockaddr_common(2, 16)),
    ?assertEqual(108, procket:unix_path_max()),
    ?assertEqual([eperm, eagain, enotsup, etimedout], [procket:errno_id(N) || N <- [1, 11, 95, 110]]),
    ?assertEqual(unknown, procket:errno_id(99999)).

opener_does_nothing_else(_Config) ->
    Opener = {opener, hd(procket_open:commands([]))},
    ?assertEqual({{error, {undef, socket}}, []}, procket_client:call(Opener, socket, [2, 1, 0], [], true)).

worker_dies_at_start(_Config) ->
    application:set_env(procket, port_executable, "/bin/true"),
    ?assertEqual({error, eperm}, procket:socket(inet, dgram, udp)),
    application:set_env(procket, port_executable, "/not/there"),
    ?assertEqual({error, enoent}, procket:socket(inet, dgram, udp)),
    application:unset_env(procket, port_executable),
    ?assertEqual(eacces, procket:errno_id(13)).

ends_with_the_vm(Config) ->
    Ebin = filename:dirname(code:which(procket)),
    %% The VM ends without flushing what it prints, so the numbers go through a file.
    File = filename:join(proplists:get_value(priv_dir, Config), "pids"),
    Expression = ["{ok, _} = procket:open(0, [{protocol, udp}]), procket:errno_id(1), "
        "Pids = [integer_to_list(P) || X <- erlang:ports(), {os_pid, P} <- [erlang:port_info(X, os_pid)], is_integer(P)], "
        "ok = file:write_file(\"", File, "\", lists:join(32, Pids)), erlang:halt(9, [{flush, false}])"],
    {9, _} = procket_test:sh(["erl -noshell -pa ", Ebin, " -eval '", Expression, "'"]),
    {ok, Output} = file:read_file(File),
    Pids = [_, _ | _] = string:lexemes(binary_to_list(Output), " "),
    [procket_test:wait_until(fun() -> not filelib:is_dir("/proc/" ++ Pid) end) || Pid <- Pids].

bare_erl(_Config) ->
    Ebin = filename:dirname(code:which(procket)),
    Expression = "{ok, FD} = procket:open(0, [{protocol, udp}]), {ok, S} = gen_udp:open(0, [{fd, FD}]), "
        "{ok, P} = inet:port(S), {ok, C} = gen_udp:open(0), ok = gen_udp:send(C, {127,0,0,1}, P, \"hello\"), "
        "receive {udp, S, _, _, D} -> io:format(\"got ~s\", [D]) end, halt()",
    ?assertMatch({0, "got hello"}, procket_test:sh(["erl -noshell -pa ", Ebin, " -eval '", Expression, "'"])).
