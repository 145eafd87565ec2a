%% What the suites share: root, network namespaces, counts of what is open.
-module(procket_test).

-export([need_root/1, need/2, run/2, sh/1, sh_ok/1]).
-export([with_netns/1, open_fds/0, open_fds/1, os_pids/1, os_pid/1]).
-export([counts_settle/1, descriptors_settle/1, server/1, run_node/2, run_node/3, quiet/1, reports/1]).
-export([log/2]).
-export([with_stopped/2]).
-export([close_port/1, direct/0, with_direct_held/1, with_direct_held/2, directs_open/0, settled/1, calls_sent/2, stays/1, wait_until/1, free_port/1, sockaddr/2, sockaddr/3, copy_application/1, copy_sources/1, copy_executables/1, project_root/0]).

%% For init_per_suite and init_per_testcase: the configuration, or why it is skipped.
need_root(Config) ->
    case sh("id -u") of
        {0, "0\n"} -> Config;
        _ -> {skip, "needs root"}
    end.

need(Program, Config) ->
    case os:find_executable(Program) of
        false -> {skip, "needs " ++ Program};
        _ -> Config
    end.

%% Runs a shell line; its status and what it printed.
sh(Line) ->
    run("/bin/sh", ["-c", Line]).

%% Runs a program; its status and what it printed.
run(Program, Args) ->
    Port = open_port({spawn_executable, Program}, [{args, Args}, exit_status, stderr_to_stdout, binary]),
    collect(Port, <<>>).

text(Output) ->
    case unicode:characters_to_list(Output) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Output)
    end.

sh_ok(Line) ->
    case sh(Line) of
        {0, Output} -> Output;
        {Status, Output} -> error({Line, Status, Output})
    end.

collect(Port, Output) ->
    receive
        {Port, {data, Data}} -> collect(Port, <<Output/binary, Data/binary>>);
        {Port, {exit_status, Status}} -> {Status, text(Output)}
    after 600_000 ->
        error({timeout, Output})
    end.

%% A network namespace with its loopback up, for as long as the function runs.
with_netns(Fun) ->
    Name = unique("procket"),
    _ = sh_ok("ip netns add " ++ Name),
    try
        _ = sh_ok("ip -n " ++ Name ++ " link set lo up"),
        Fun(Name)
    after
        sh("ip netns del " ++ Name)
    end.

unique(Prefix) ->
    Prefix ++ os:getpid() ++ "x" ++ integer_to_list(erlang:unique_integer([positive]) rem 1000).

open_fds() ->
    open_fds(os:getpid()).

open_fds(OsPid) ->
    {ok, Names} = file:list_dir("/proc/" ++ OsPid ++ "/fd"),
    length(Names).

%% What the BEAM's descriptors are: of a socket also the tables of /proc/net that know it.
descriptors() ->
    Dir = "/proc/" ++ os:getpid() ++ "/fd/",
    {ok, Numbers} = file:list_dir(Dir),
    [{Number, Path, tables(Path)} || Number <- Numbers, {ok, Path} <- [file:read_link(Dir ++ Number)]].

tables("socket:[" ++ Rest) ->
    Inode = string:trim(Rest, trailing, "]"),
    string:trim(element(2, sh(["grep -w ", Inode, " /proc/net/unix /proc/net/udp /proc/net/tcp /proc/net/raw /proc/net/packet /proc/net/netlink"])));
tables(_) ->
    "".

%% The process identifiers of the BEAM's port programs.
os_pids(Role) ->
    [Pid || {Pid, R} <- children(), R =:= atom_to_binary(Role)].

os_pid(Role) ->
    [Pid] = os_pids(Role),
    Pid.

children() ->
    lists:append([child(Port) || Port <- erlang:ports()]).

child(Port) ->
    case erlang:port_info(Port, os_pid) of
        {os_pid, N} when is_integer(N) ->
            Pid = integer_to_list(N),
            case file:read_file("/proc/" ++ Pid ++ "/cmdline") of
                {ok, Line} ->
                    case lists:reverse(binary:split(Line, <<0>>, [global, trim])) of
                        [Role | _] -> [{Pid, Role}];
                        [] -> []
                    end;
                %% It is ending, or has ended.
                {error, Reason} when Reason =:= esrch; Reason =:= enoent ->
                    []
            end;
        _ ->
            []
    end.

%% The direct connection of the worker, once it is open.
direct() ->
    direct(worker).

direct(Key) ->
    wait_until(fun() ->
        {ok, Handle} = procket_client:port(Key),
        is_map_key(direct, Handle)
    end),
    {ok, #{direct := Direct}} = procket_client:port(Key),
    Direct.

%% Holds the direct connection meanwhile: all calls go through the server.
with_direct_held(Fun) ->
    with_direct_held(worker, Fun).

with_direct_held(Key, Fun) ->
    #{server := Server} = Direct = direct(Key),
    true = procket_direct:hold(Direct),
    try Fun(Server) after procket_direct:release(Direct) end.

directs_open() ->
    wait_until(fun() -> [] =:= [Key || {Key, Handle} <- procket_registry:all(), not is_map_key(direct, Handle), not is_capture(Key)] end).

is_capture({capture, _}) -> true;
is_capture(_) -> false.

%% Waits until so many descriptors are open.
descriptors_settle(Before) ->
    try
        wait_until(fun() -> open_fds() =:= Before end)
    catch
        error:_ -> error({left_over, Before, descriptors()})
    end.

%% Waits until all is as it was: see procket_load:counts/0.
counts_settle(Before) ->
    counts_settle(Before, 1200).

counts_settle(Before, Tries) ->
    case procket_load:counts() of
        Before ->
            ok;
        After when Tries =:= 0 ->
            error({left_over, [{Key, maps:get(Key, Before), N} || {Key, N} <- maps:to_list(After), maps:get(Key, Before) =/= N], descriptors()});
        _ ->
            timer:sleep(50),
            counts_settle(Before, Tries - 1)
    end.

%% The server of the worker, or of the one opener.
server(worker) ->
    {ok, #{server := Server}} = procket_client:port(worker),
    Server;
server(opener) ->
    [Server] = [Pid || {_, Pid, _, _} <- supervisor:which_children(procket_port_sup), Pid =/= server(worker)],
    Server.

%% Evaluates an expression in a node of its own, behind a prefix such as "prlimit --nofile=64"; what it is, which is printed.
run_node(Prefix, Expression) ->
    run_node(Prefix, [[filename:dirname(code:which(Module)), " "] || Module <- [?MODULE, procket]], Expression).

run_node(Prefix, Paths, Expression) ->
    Line = [Prefix, " timeout 60 erl -noinput -noshell -pa ", Paths, " -eval 'Value = begin ", Expression, " end, "
        "io:format(\"<~0tp>\", [Value]), halt().' </dev/null"],
    Output = sh_ok(Line),
    case re:run(Output, "<(.*)>", [{capture, all_but_first, list}, dotall]) of
        {match, [Value]} ->
            {ok, Tokens, _} = erl_scan:string(Value ++ "."),
            {ok, Term} = erl_parse:parse_term(Tokens),
            Term;
        nomatch ->
            error({no_value, Output})
    end.

%% Runs something without what the application says of faults that are made on purpose.
quiet(Fun) ->
    #{level := Level} = logger:get_primary_config(),
    ok = logger:set_primary_config(level, none),
    try
        Fun()
    after
        logger:set_primary_config(level, Level)
    end.

%% What processes report of their ends while something runs: {Level, Message}.
reports(Fun) ->
    Self = self(),
    Id = list_to_atom("reports_" ++ integer_to_list(erlang:unique_integer([positive]) rem 8)),
    ok = logger:add_handler(Id, ?MODULE, #{level => warning, config => Self, filters => []}),
    try
        _ = Fun(),
        %% What was reported by others stands in their queues for a moment.
        timer:sleep(100)
    after
        ok = logger:remove_handler(Id)
    end,
    all_reports(Self).

all_reports(Self) ->
    receive
        {report, Self, Report} -> [Report | all_reports(Self)]
    after 0 -> []
    end.

%% A handler of `logger'.
log(#{level := Level, msg := Message}, #{config := To}) ->
    To ! {report, To, {Level, Message}}.

%% Runs something while processes of the system are stopped. They go on afterwards, also where the time of the test is up.
with_stopped(OsPids, Fun) ->
    Tester = self(),
    Signal = fun(Name) -> sh(["kill -", Name, " ", lists:join(" ", OsPids)]) end,
    _ = spawn(fun() ->
        Monitor = monitor(process, Tester),
        receive {'DOWN', Monitor, process, Tester, _} -> Signal("CONT") end
    end),
    {0, _} = Signal("STOP"),
    try
        Fun()
    after
        Signal("CONT")
    end.

%% A value, once it no longer changes: what was before may still be closing, and a direct connection still be opening.
settled(Fun) ->
    directs_open(),
    settled(Fun, Fun(), 0, 1200).

settled(_Fun, Value, 10, _Tries) ->
    Value;
settled(Fun, Value, Same, Tries) when Tries > 0 ->
    timer:sleep(50),
    case Fun() of
        Value -> settled(Fun, Value, Same + 1, Tries - 1);
        Other -> settled(Fun, Other, 0, Tries - 1)
    end.

%% Waits for two seconds in which a value does not change.
stays(Fun) ->
    wait_until(fun() ->
        Before = Fun(),
        timer:sleep(2000),
        Fun() =:= Before
    end, 10).

%% Waits until the calls of these processes are with the server, or the port process, of a role that is stopped.
calls_sent(Role, Pids) ->
    wait_until(fun() -> lists:all(fun(Pid) -> process_info(Pid, status) =:= {status, waiting} end, Pids) end),
    _ = sys:get_state(server(Role)),
    ok.

%% Waits for something that another process does, for a minute at most: a busy machine takes its time.
wait_until(Fun) ->
    wait_until(Fun, 6000).

wait_until(Fun, Tries) ->
    case Fun() of
        true ->
            ok;
        Other when Tries =:= 0 -> error({never, Other});
        _ ->
            timer:sleep(10),
            wait_until(Fun, Tries - 1)
    end.

%% Closes the port of a program, which may have ended by itself.
close_port(Port) ->
    try port_close(Port) of
        true -> ok
    catch
        error:badarg -> ok
    end.

%% A port that nothing is bound to.
free_port(udp) ->
    {ok, Socket} = gen_udp:open(0),
    {ok, Port} = inet:port(Socket),
    ok = gen_udp:close(Socket),
    Port;
free_port(tcp) ->
    {ok, Socket} = gen_tcp:listen(0, []),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

%% Native socket addresses.
sockaddr(Port, {A, B, C, D}) ->
    <<(procket:sockaddr_common(procket:family(inet), 16))/binary, Port:16, A, B, C, D, 0:64>>;
sockaddr(Port, IP) when tuple_size(IP) =:= 8 ->
    sockaddr(Port, IP, 0).

sockaddr(Port, IP, Scope) ->
    Address = <<<<N:16>> || N <- tuple_to_list(IP)>>,
    <<(procket:sockaddr_common(procket:family(inet6), 28))/binary, Port:16, 0:32, Address/binary, Scope:32/native>>.

%% The folder of the sources.
project_root() ->
    Priv = filename:dirname(procket:progname()),
    filename:dirname(string:trim(sh_ok(["realpath ", Priv]))).

%% Copies the compiled application to where every user may read it; its new directory.
copy_application(Dir) ->
    Lib = filename:join(Dir, "procket"),
    Ebin = filename:dirname(code:which(procket)),
    _ = sh_ok(["mkdir -p ", Lib, "/priv && cp -rL ", Ebin, " ", Lib, "/ebin && cp ", filename:dirname(procket:progname()), "/procket* ", Lib, "/priv/"
        " && chmod -R a+rX ", Dir]),
    Lib.

%% Copies the sources and the built port program, which then need not be built again.
copy_sources(Dir) ->
    Root = project_root(),
    _ = sh_ok(["mkdir -p ", Dir, " && cd ", Root, " && git ls-files -co --exclude-standard | tar -c -T - | tar -x -C ", Dir]),
    ok = copy_executables(Dir),
    Dir.

%% The port program, and the compiler of filters where there is one, newer than the sources that are there.
copy_executables(Dir) ->
    _ = sh_ok(["mkdir -p ", Dir, "/priv && cp ", procket:progname(), "* ", Dir, "/priv/"]),
    ok.
