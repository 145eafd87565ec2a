%% What happens to port processes and to the system, in the middle of every kind of call: docs/reliability.md.
-module(faults_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        killed_in_every_call, stopped_in_every_call, killed_under_load, killed_before_it_is_taken, never_started, slow_start, servers_killed,
        no_descriptor_is_lost_on_bad_programs, no_processes_in_the_vm, directories_are_swept,
        no_descriptors_in_the_vm, no_descriptors_in_the_worker, no_descriptors_in_the_system, no_memory_in_the_worker, no_memory_in_the_opener,
        full_disk, full_disk_everywhere, directory_removed, executable_removed, executable_replaced, output_closed, output_full, dies_at_once
    ].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    case procket_test:need_root(Config) of
        Config -> procket_test:need("prlimit", Config);
        Skip -> Skip
    end.

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(no_descriptors_in_the_system, Config) ->
    _ = application:stop(procket),
    procket_test:need("cc", Config);
init_per_testcase(_, Config) ->
    _ = application:stop(procket),
    Config.

end_per_testcase(_, _Config) ->
    [application:unset_env(procket, Key) || Key <- [timeout, port_executable]],
    ok.

%% A worker and an opener that have been used, and a socket.
with_socket(Fun) ->
    procket_test:quiet(fun() ->
        {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
        try
            all_is_well(FD),
            Fun(FD)
        after
            ok = procket:close(FD)
        end
    end).

signal(Signal, Pids) ->
    procket_test:sh_ok(["kill -", Signal, " ", lists:join(" ", Pids)]).

%% One call of each kind. Those of the worker first.
every_call(FD) ->
    Address = procket_test:sockaddr(9, {127, 0, 0, 1}),
    [
        {socket, fun() -> procket:socket(inet, dgram, udp) end},
        {bind, fun() -> procket:bind(FD, Address) end},
        {long, fun() -> procket:bind(FD, binary:copy(<<1>>, 100_000)) end},
        {connect, fun() -> procket:connect(FD, Address) end},
        {listen, fun() -> procket:listen(FD) end},
        {accept, fun() -> procket:accept(FD) end},
        {getsockname, fun() -> procket:getsockname(FD, Address) end},
        {recvfrom, fun() -> procket:recvfrom(FD, 100) end},
        {recvmsg, fun() -> procket:recvmsg(FD, 100, 0, 100) end},
        {sendto, fun() -> procket:sendto(FD, <<"x">>, 0, Address) end},
        {sendmsg, fun() -> procket:sendmsg(FD, <<"x">>, 0, [], Address) end},
        {read, fun() -> procket:read(FD, 100) end},
        {write, fun() -> procket:write(FD, <<"x">>) end},
        {setsockopt, fun() -> procket:setsockopt(FD, 'SOL_SOCKET', 'SO_PRIORITY', <<0:32>>) end},
        {getsockopt, fun() -> procket:getsockopt(FD, 'SOL_SOCKET', 'SO_PRIORITY', <<0:32>>) end},
        {ioctl, fun() -> procket:ioctl(FD, 16#541b, <<0:32>>) end},
        {pipeline, fun() -> procket:call([{getsockname, [FD, Address]}]) end},
        {select, fun() -> procket:select(FD, read) end},
        {alloc, fun() -> procket:alloc([{ptr, 8}]) end},
        {open, fun() -> procket:open(0, [{protocol, udp}]) end},
        {dev, fun() -> procket:dev("null") end}
    ].

begin_all(Calls) ->
    Self = self(),
    [{Kind, spawn_link(fun() -> Self ! {self(), Call()} end)} || {Kind, Call} <- Calls].

answers(Pids) ->
    [{Kind, receive {Pid, Answer} -> Answer after 60_000 -> no_answer end} || {Kind, Pid} <- Pids].

both() ->
    procket_test:os_pids(worker) ++ procket_test:os_pids(opener).

%% Every call works again, and the socket is what it was.
all_is_well(FD) ->
    {ok, <<_:16, Port:16, _/binary>> = Name} = procket:getsockname(FD, <<0:128>>),
    ?assert(Port > 0),
    ok = procket:sendto(FD, <<"works">>, 0, Name),
    ?assertEqual({ok, <<"works">>}, procket:recvfrom(FD, 100)),
    [begin {ok, New} = Open(), ok = procket:close(New) end || {Kind, Open} <- every_call(FD), lists:member(Kind, [socket, open, dev])],
    %% With it the worker is watched by the one who serves select/2.
    ok = procket:select(FD, read),
    ok = procket:select_stop(FD),
    procket_test:directs_open().

another_is_well() ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    all_is_well(FD),
    ok = procket:close(FD).

no_messages() ->
    receive Message -> error({left_over, Message}) after 100 -> ok end.

killed_in_every_call(_Config) ->
    with_socket(fun(FD) ->
        Before = procket_test:settled(fun procket_load:counts/0),
        %% No answer comes of its limit.
        application:set_env(procket, timeout, infinity),
        Pids = both(),
        %% One who waits already is told.
        ok = procket:select(FD, read),
        signal("STOP", Pids),
        Calls = begin_all(every_call(FD)),
        timer:sleep(300),
        signal("KILL", Pids),
        Answers = answers(Calls),
        %% A call that had not been sent is made by the next port process, so only those that are no answers at all are wrong.
        [?assertNotEqual({Kind, no_answer}, Answer) || {Kind, _} = Answer <- Answers],
        ?assertMatch([_ | _], [Kind || {Kind, {error, epipe}} <- Answers]),
        [procket:close(New) || {_, {ok, New}} <- Answers, is_integer(New)],
        receive {procket, FD, error, epipe} -> ok after 30_000 -> error(not_told) end,
        %% Only what was made after all can have happened to the socket; another one is as good as new.
        another_is_well(),
        procket_test:counts_settle(Before),
        no_messages()
    end).

%% Stopped for good: calls end in time, and the next ones find another port process although the first never moves again.
stopped_in_every_call(_Config) ->
    with_socket(fun(FD) ->
        Before = procket_test:settled(fun procket_load:counts/0),
        application:set_env(procket, timeout, 500),
        Pids = both(),
        signal("STOP", Pids),
        try
            %% By its limit, long before the port process is given up.
            Answers = answers(begin_all(every_call(FD))),
            ?assertEqual([], [Wrong || {_, Answer} = Wrong <- Answers, Answer =/= {error, etimedout}]),
            application:set_env(procket, timeout, 5000),
            [until_answered(Call) || {Kind, Call} <- every_call(FD), lists:member(Kind, [getsockname, open])],
            [?assertNot(lists:member(Pid, both())) || Pid <- Pids],
            ?assertMatch([_, _], [Pid || Pid <- Pids, filelib:is_dir("/proc/" ++ Pid)])
        after
            signal("KILL", Pids)
        end,
        %% FD may have been connected by a call that was made after all.
        another_is_well(),
        procket_test:counts_settle(Before),
        no_messages()
    end).

%% Calls until it is answered: what was killed is started again meanwhile, which takes its time on a busy machine.
until_answered(Call) ->
    procket_test:wait_until(fun() ->
        case Call() of
            {error, Reason} when Reason =:= etimedout; Reason =:= epipe -> false;
            {ok, New} when is_integer(New) -> procket:close(New) =:= ok;
            {ok, _} -> true
        end
    end).

%% Again and again, under load: PROCKET_KILLS says how often.
killed_under_load(_Config) ->
    ct:timetrap({minutes, 30}),
    Kills = list_to_integer(os:getenv("PROCKET_KILLS", "100")),
    with_socket(fun(FD) ->
        %% What is made once.
        Warm = procket_load:start(10),
        kill_some(5),
        #{wrong := []} = procket_load:stop(Warm),
        all_is_well(FD),
        Before = procket_test:settled(fun procket_load:counts/0),
        Atoms = erlang:system_info(atom_count),
        application:set_env(procket, timeout, infinity),
        Load = procket_load:start(20),
        kill_some(Kills),
        #{begun := Begun, outcomes := Outcomes, wrong := Wrong} = procket_load:stop(Load),
        ?assertEqual([], Wrong),
        Answered = maps:fold(fun({Kind, _}, N, Sum) -> maps:update_with(Kind, fun(M) -> M + N end, N, Sum) end, #{}, Outcomes),
        ?assertEqual(Begun, maps:merge(maps:map(fun(_, _) -> 0 end, Begun), Answered)),
        all_is_well(FD),
        procket_test:counts_settle(Before),
        ?assertEqual(Atoms, erlang:system_info(atom_count)),
        no_messages(),
        {comment, lists:flatten(io_lib:format("~b kills, ~b calls, all answered, ~b of them with an error: ~0tp", [
            Kills, lists:sum(maps:values(Begun)), lists:sum([N || {{_, R}, N} <- maps:to_list(Outcomes), R =/= ok]), Outcomes]))}
    end).

kill_some(Kills) -> kill_some(Kills, 1000).

%% Where nobody gets an answer, nobody starts another.
kill_some(0, _Tries) -> ok;
kill_some(_Kills, 0) -> error(nothing_to_kill);
kill_some(Kills, Tries) ->
    timer:sleep(20 + rand:uniform(60)),
    case procket_test:os_pids(lists:nth(rand:uniform(3), [worker, opener, capture])) of
        [] -> kill_some(Kills, Tries - 1);
        [Pid | _] ->
            _ = procket_test:sh(["kill -9 ", Pid]),
            kill_some(Kills - 1, 1000)
    end.

%% The port process ends between an answer and the word of its caller that it has the descriptor: that stays open.
killed_before_it_is_taken(_Config) ->
    with_socket(fun(_) ->
        Server = procket_test:server(opener),
        Id = monitor(process, Server, [{alias, reply_demonitor}]),
        Socket = #{family => 2, type => 2, protocol => 17, address => <<127, 0, 0, 1>>},
        ok = procket_port:submit(Server, Id, {open, [Socket], []}, true, infinity),
        FD = receive {Id, ok, [New]} -> New after 30_000 -> error(no_answer) end,
        signal("KILL", [procket_test:os_pid(opener)]),
        timer:sleep(100),
        ?assertMatch({ok, _}, procket:getsockname(FD, <<0:128>>)),
        procket_port:taken(Server, Id),
        procket_test:wait_until(fun() -> not is_process_alive(Server) end),
        ?assertEqual(ok, procket:close(FD))
    end).

%% A program that never says that it is there.
never_started(Config) ->
    Path = script(Config, "hangs", "exec sleep 301"),
    procket_test:quiet(fun() ->
        {ok, FD} = procket:socket(inet, dgram, udp),
        Before = procket_test:settled(fun procket_load:counts/0),
        Calls = [{N, fun() -> procket:open(0, [{protocol, udp}, {progname, Path}, {exec, [""]}]) end} || N <- lists:seq(1, 20)],
        ?assertEqual([{N, {error, etimedout}} || N <- lists:seq(1, 20)], answers(begin_all(Calls))),
        procket_test:counts_settle(Before),
        ?assertEqual([], running("sleep 301")),
        ok = procket:close(FD)
    end).

%% The processes whose command line is this.
running(Line) ->
    {ok, Names} = file:list_dir("/proc"),
    [Pid || Pid <- Names, {ok, Words} <- [file:read_file("/proc/" ++ Pid ++ "/cmdline")], lists:join(" ", binary:split(Words, <<0>>, [global, trim])) =:= lists:join(" ", [list_to_binary(W) || W <- string:lexemes(Line, " ")])].

%% The time of a call begins when there is a port process.
slow_start(Config) ->
    Path = script(Config, "slow", ["sleep 1; exec ", code:priv_dir(procket), "/procket \"$@\""]),
    application:set_env(procket, port_executable, Path),
    application:set_env(procket, timeout, 300),
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:close(FD),
    {ok, Other} = procket:open(0, [{protocol, udp}, {exec, [""]}]),
    ok = procket:close(Other).

%% open_port/2 of OTP loses one each time that it fails.
no_descriptor_is_lost_on_bad_programs(Config) ->
    procket_test:quiet(fun() ->
        [Missing, Plain, Directory] = [filename:join(proplists:get_value(priv_dir, Config), Name) || Name <- ["missing", "plain", "directory"]],
        ok = file:write_file(Plain, "#!/bin/sh\n"),
        ok = file:make_dir(Directory),
        Bad = [{Missing, enoent}, {Plain, eacces}, {Directory, eacces}, {Plain ++ "/below", enoent}, {"procket_is_not_on_path", enoent}],
        Open = fun(Program) -> procket:open(0, [{protocol, udp}, {progname, Program}, {exec, [""]}]) end,
        [?assertEqual({error, Reason}, Open(Program), Program) || {Program, Reason} <- Bad],
        Before = procket_test:settled(fun procket_test:open_fds/0),
        _ = [Open(Program) || {Program, _} <- Bad, _ <- lists:seq(1, 10)],
        ?assertEqual(Before, procket_test:settled(fun procket_test:open_fds/0))
    end).

%% What the application says of itself needs no process.
no_processes_in_the_vm(_Config) ->
    Expression =
        "eacces = procket:errno_id(13), {ok, FD} = procket:open(0, [{protocol, udp}, {exec, [\"\"]}]), "
        "[{module, _} = code:ensure_loaded(M) || M <- [io_lib_pretty, erl_eval]], "
        "Fill = fun Fill(Pids) -> try spawn(fun() -> receive stop -> ok end end) of Pid -> Fill([Pid | Pids]) catch error:system_limit -> Pids end end, "
        "Pids = Fill([]), "
        "Info = procket:info(), Name = procket:getsockname(FD, <<0:128>>), Cold = procket:open(0, [{protocol, udp}, {exec, [\"env\"]}]), "
        "[exit(Pid, kill) || Pid <- Pids], "
        "{lists:sort([Role || #{role := Role, calls := _} <- Info]), element(1, Name), Cold}",
    ?assertEqual({[opener, worker], ok, {error, enomem}}, procket_test:quiet(fun() -> procket_test:run_node("env ERL_FLAGS=\"+P 1024\"", Expression) end)).

%% Those of this user that are older than any start, and no others.
directories_are_swept(Config) ->
    Tmp = filename:join(proplists:get_value(priv_dir, Config), "swept"),
    Make = fun(Name, Age, Owner) ->
        Dir = filename:join(Tmp, Name),
        _ = procket_test:sh_ok(["mkdir -p ", Dir, " && touch ", Dir, "/s && touch -d '", Age, "' ", Dir, " && chown ", Owner, " ", Dir]),
        Dir
    end,
    Random = "-0123456789ABCDEF",
    Own = "\"$(id -u)\"",
    Left = [Make("procket-123" ++ Random, "2 minutes ago", Own)],
    Kept = [
        Make("procket-124" ++ Random, "now", Own), Make("procket-125" ++ Random, "2 minutes ago", "65534"), Make("procket-126", "2 minutes ago", Own),
        Make("procketeer-127" ++ Random, "2 minutes ago", Own)
    ],
    port_SUITE:with_tmpdir(Tmp, fun() ->
        {ok, _} = application:ensure_all_started(procket),
        ?assertEqual([], [Dir || Dir <- Left, filelib:is_dir(Dir)]),
        ?assertEqual(Kept, [Dir || Dir <- Kept, filelib:is_file(Dir ++ "/s")])
    end).

%% The application's own processes.
servers_killed(_Config) ->
    with_socket(fun(FD) ->
        Before = procket_test:settled(fun procket_load:counts/0),
        [
            begin
                exit(whereis(Name), kill),
                timer:sleep(50),
                until_answered(fun() -> procket:socket(inet, dgram, udp) end),
                all_is_well(FD),
                procket_test:counts_settle(Before)
            end
         || Name <- [procket_registry, procket_port_sup, procket_memory, procket_select, procket_sup]
        ],
        [begin exit(procket_test:server(Role), kill), timer:sleep(50), all_is_well(FD), procket_test:counts_settle(Before) end || Role <- [worker, opener]],
        no_messages()
    end).

%% None at the start, and none later, with port processes that run.
no_descriptors_in_the_vm(_Config) ->
    Expression =
        "{ok, _} = application:ensure_all_started(procket), "
        "[{module, _} = code:ensure_loaded(M) || M <- [procket_test, procket_load, overload_SUITE, logger_formatter, io_lib_pretty, eval_bits, erl_bits]], "
        "Fill = fun Fill(Files) -> case file:open(\"/dev/null\", [raw, read]) of {ok, F} -> Fill([F | Files]); {error, emfile} -> Files end end, "
        "Free = fun(Files) -> [file:close(F) || F <- Files] end, "
        "Calls = [fun() -> procket:socket(inet, dgram, udp) end, fun() -> procket:open(0, [{protocol, udp}, {exec, [\"\"]}]) end], "
        "Full1 = Fill([]), Cold = [Call() || Call <- Calls], Free(Full1), "
        "Works = [begin {ok, FD} = Call(), FD end || Call <- Calls], _ = procket_test:direct(), timer:sleep(100), "
        "Full2 = Fill([]), Warm = [Call() || Call <- Calls ++ Calls], Served = procket_test:with_direct_held(fun(_) -> (hd(Calls))() end), {Name, _} = procket:getsockname(hd(Works), <<0:128>>), Free(Full2), "
        "Again = [begin {ok, FD} = Call(), procket:close(FD) end || Call <- Calls], "
        "Before = Fill([]), Free(Before), [procket:close(FD) || FD <- Works], "
        "{Cold, Warm, Served, Name, Again}",
    Emfile = {error, emfile},
    ?assertEqual({[Emfile, Emfile], [Emfile, Emfile, Emfile, Emfile], Emfile, ok, [ok, ok]}, procket_test:run_node("prlimit --nofile=64", Expression)).

no_descriptors_in_the_worker(_Config) ->
    with_socket(fun(FD) ->
        Worker = procket_test:os_pid(worker),
        Before = procket_test:settled(fun procket_load:counts/0),
        Open = procket_test:open_fds(Worker),
        Limits = string:trim(procket_test:sh_ok(["prlimit --pid ", Worker, " --nofile --noheadings --output SOFT --raw"])) ++ ":",
        limit(Worker, "nofile", integer_to_list(lowest_free(Worker, 0)) ++ ":"),
        [?assertEqual({error, emfile}, Call()) || Call <- [fun() -> procket:socket(inet, dgram, udp) end, fun() -> procket:getsockname(FD, <<0:128>>) end]],
        limit(Worker, "nofile", Limits),
        ?assertEqual(Worker, procket_test:os_pid(worker)),
        all_is_well(FD),
        ?assertEqual(Open, procket_test:settled(fun() -> procket_test:open_fds(Worker) end)),
        procket_test:counts_settle(Before)
    end).

%% ENFILE, from a socket(2) in place of the kernel's: to bring it about would take the descriptors of the whole machine.
no_descriptors_in_the_system(Config) ->
    [Source, Library, Fault] = [filename:join(proplists:get_value(Dir, Config), Name) || {Dir, Name} <- [{data_dir, "enfile.c"}, {priv_dir, "enfile.so"}, {priv_dir, "fault"}]],
    _ = procket_test:sh_ok(["cc -shared -fPIC -o ", Library, " ", Source, " -ldl"]),
    ok = file:write_file(Fault, "0"),
    Path = script(Config, "enfile", ["LD_PRELOAD=", Library, " PROCKET_FAULT=", Fault, " exec ", code:priv_dir(procket), "/procket \"$@\""]),
    application:set_env(procket, port_executable, Path),
    with_socket(fun(FD) ->
        Before = procket_test:settled(fun procket_load:counts/0),
        Pids = both(),
        ok = file:write_file(Fault, "1"),
        ?assertEqual({error, enfile}, procket:socket(inet, dgram, udp)),
        ?assertEqual({error, enfile}, procket:open(0, [{protocol, udp}])),
        ok = file:write_file(Fault, "0"),
        ?assertEqual(Pids, both()),
        all_is_well(FD),
        procket_test:counts_settle(Before)
    end).

lowest_free(OsPid, FD) ->
    case file:read_link_all(lists:concat(["/proc/", OsPid, "/fd/", FD])) of
        {ok, _} -> lowest_free(OsPid, FD + 1);
        {error, enoent} -> FD
    end.

limit(OsPid, Resource, Value) ->
    procket_test:sh_ok(["prlimit --pid ", OsPid, " --", Resource, "=", Value]).

%% Memory that cannot be had ends the worker, and that call alone fails.
no_memory_in_the_worker(_Config) ->
    with_socket(fun(FD) ->
        Before = procket_test:settled(fun procket_load:counts/0),
        limit(procket_test:os_pid(worker), "as", "1000000:"),
        Answer = procket:recvfrom(FD, 10_000_000),
        ?assert(lists:member(Answer, [{error, epipe}, {error, enomem}]), Answer),
        _ = procket_test:sh(["kill -9 ", lists:join(" ", procket_test:os_pids(worker))]),
        until_answered(fun() -> procket:socket(inet, dgram, udp) end),
        all_is_well(FD),
        procket_test:counts_settle(Before)
    end).

no_memory_in_the_opener(_Config) ->
    with_socket(fun(FD) ->
        Before = procket_test:settled(fun procket_load:counts/0),
        ?assertEqual({error, eperm}, procket:open(0, [{protocol, udp}, {exec, ["prlimit --as=1000000"]}])),
        all_is_well(FD),
        procket_test:counts_settle(Before)
    end).

%% TMPDIR is full: another directory serves.
full_disk(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "full"),
    _ = procket_test:sh_ok(["mkdir ", Dir, " && mount -t tmpfs -o size=4k,nr_inodes=1 tmpfs ", Dir]),
    try
        ?assertEqual({error, enospc}, file:make_dir(filename:join(Dir, "x"))),
        port_SUITE:with_tmpdir(Dir, fun() -> ?assertEqual(eacces, procket:errno_id(13)) end)
    after
        procket_test:sh_ok(["umount ", Dir])
    end.

%% There is no room for the directory, or for the socket in it; and later there is.
full_disk_everywhere(_Config) ->
    %% Where it is not hidden.
    Dir = "/var/tmp/procket-" ++ os:getpid(),
    try
        Lib = procket_test:copy_application(Dir),
        [
            begin
                Mounts = [["mount -t tmpfs -o size=4k,nr_inodes=", Inodes, " tmpfs ", Tmp, " && "] || Tmp <- ["/tmp", "/dev/shm"]],
                Prefix = ["cd / && env -u TMPDIR unshare --mount --propagation private sh -c '", Mounts, " exec \"$@\"' sh "],
                Expression =
                    "Full = procket:socket(inet, dgram, udp), {ok, Left} = file:list_dir(\"/tmp\"), "
                    "os:cmd(\"mount -o remount,nr_inodes=100 /tmp\"), {Later, _} = procket:socket(inet, dgram, udp), {Full, Left, Later}",
                ?assertEqual({{error, enospc}, [], ok}, procket_test:run_node(Prefix, [Lib, "/ebin"], Expression))
            end
         || Inodes <- ["1", "2"]
        ]
    after
        procket_test:sh_ok(["rm -rf ", Dir])
    end.

directory_removed(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "gone"),
    ok = file:make_dir(Dir),
    port_SUITE:with_tmpdir(Dir, fun() ->
        with_socket(fun(FD) ->
            ok = file:del_dir(Dir),
            all_is_well(FD),
            kill_and_wait(worker),
            all_is_well(FD)
        end)
    end).

kill_and_wait(Role) ->
    Server = procket_test:server(Role),
    signal("KILL", [procket_test:os_pid(Role)]),
    procket_test:wait_until(fun() -> not is_process_alive(Server) end).

%% One that runs does not need it; the next one does.
executable_removed(Config) ->
    Path = copy(Config, "removed"),
    application:set_env(procket, port_executable, Path),
    with_socket(fun(FD) ->
        ok = file:rename(Path, Path ++ ".away"),
        all_is_well(FD),
        kill_and_wait(worker),
        ?assertEqual({error, enoent}, procket:socket(inet, dgram, udp)),
        ?assertEqual({error, enoent}, procket:getsockname(FD, <<0:128>>)),
        ok = file:rename(Path ++ ".away", Path),
        all_is_well(FD)
    end).

executable_replaced(Config) ->
    Path = copy(Config, "replaced"),
    application:set_env(procket, port_executable, Path),
    with_socket(fun(FD) ->
        ok = file:rename(Path, Path ++ ".away"),
        ok = file:write_file(Path, "no program any more"),
        ok = file:change_mode(Path, 8#755),
        {ok, _} = procket:getsockname(FD, <<0:128>>),
        kill_and_wait(worker),
        ?assertEqual({error, enoexec}, procket:socket(inet, dgram, udp)),
        ok = file:rename(Path ++ ".away", Path),
        all_is_well(FD)
    end).

copy(Config, Name) ->
    Path = filename:join(proplists:get_value(priv_dir, Config), Name),
    _ = procket_test:sh_ok(["cp ", procket:progname(), " ", Path, ".new && mv ", Path, ".new ", Path]),
    Path.

%% Pipes and channels are full while the VM is stopped, each of an answer that is longer than they are: all goes on with it.
output_full(_Config) ->
    Expression =
        "{ok, _} = application:ensure_all_started(procket), logger:set_primary_config(level, none), Load = procket_load:start(10), "
        "{ok, _, [Memory]} = procket:alloc([{ptr, 1000000}]), "
        "Read = fun Read() -> receive stop -> exit(done) after 0 -> {ok, <<_:1000000/binary>>} = procket:buf(Memory), Read() end end, "
        "Readers = [spawn_monitor(Read) || _ <- lists:seq(1, 4)], "
        "os:cmd(\"(sleep 1; kill -STOP \" ++ os:getpid() ++ \"; sleep 2; kill -CONT \" ++ os:getpid() ++ \") >/dev/null 2>&1 &\"), "
        "timer:sleep(5000), [Pid ! stop || {Pid, _} <- Readers], "
        "Ends = [receive {_, Monitor, process, _, End} -> End after 30000 -> no_answer end || {_, Monitor} <- Readers], #{begun := Begun, outcomes := Outcomes, wrong := Wrong} = procket_load:stop(Load), "
        "{lists:usort(Ends), Wrong, [Key || {_, Outcome} = Key <- maps:keys(Outcomes), Outcome =/= ok], lists:sum(maps:values(Begun)) - lists:sum(maps:values(Outcomes))}",
    ?assertEqual({[done], [], [], 0}, procket_test:run_node("", Expression)).

%% The pipe that its answers go to is broken from the start.
output_closed(Config) ->
    broken(Config, "closed", "exec " ++ procket:progname() ++ " \"$@\" >&-").

%% It connects, and ends a moment later: again and again.
dies_at_once(Config) ->
    broken(Config, "dies", [
        "exec 9<&0\n", procket:progname(), " \"$@\" <&9 9<&- &\n"
        "while [ -e /proc/$!/fd/0 ] && [ ! -e /proc/$!/fd/3 ]; do sleep 0.01; done\nkill -9 $! 2>/dev/null"
    ]).

%% Many callers go on until it has been started ten times.
broken(Config, Name, Line) ->
    Starts = filename:join(proplists:get_value(priv_dir, Config), Name ++ ".starts"),
    Path = script(Config, Name, ["echo >>", Starts, "\n", Line]),
    application:set_env(procket, timeout, 1000),
    application:set_env(procket, port_executable, Path),
    procket_test:quiet(fun() ->
        Calls = [{N, fun() -> until_started(Starts, 10, []) end} || N <- lists:seq(1, 20)],
        Answers = lists:usort(lists:flatten([Answer || {_, Answer} <- answers(begin_all(Calls))])),
        ct:log("~0tp", [Answers]),
        ?assertEqual([], Answers -- [ok | [{error, Reason} || Reason <- [epipe, eperm, etimedout]]])
    end),
    application:unset_env(procket, port_executable),
    _ = application:stop(procket),
    ?assertEqual(eacces, procket:errno_id(13)).

until_started(Starts, Times, Answers) ->
    Answer = opened(procket:socket(inet, dgram, udp)),
    case filelib:file_size(Starts) >= Times of
        true -> [Answer | Answers];
        false -> until_started(Starts, Times, lists:usort([Answer | Answers]))
    end.

opened({ok, FD}) -> procket:close(FD);
opened({error, _} = Error) -> Error.

script(Config, Name, Line) ->
    Path = filename:join(proplists:get_value(priv_dir, Config), Name),
    ok = file:write_file(Path, ["#!/bin/sh\n", Line, "\n"]),
    ok = file:change_mode(Path, 8#755),
    Path.
