%% A machine for tests of rights: a mount namespace with an /etc and a /dev of its own, a network namespace, and an unprivileged
%% user who exists only there. The real /etc and /dev stay as they are.
-module(procket_machine).

-export([need/1, need/2, with/1, run/2, run_ok/2, run_as_user/2, eval/2, eval/3, start/2, await/2, as_user/2, beam_as_user/2, inspect/2, port_programs/1]).
-export([setuid/1, setuid/2, capable/2, root_owned/1, policy/2, sudoers/2, doas/2, polkit/2, with_log/2]).

%% For init_per_suite.
need(Config) ->
    need(Config, []).

%% With other programs.
need(Config, Programs) ->
    lists:foldl(
        fun
            (_, {skip, _} = Skip) -> Skip;
            (Program, _) -> procket_test:need(Program, Config)
        end,
        procket_test:need_root(Config),
        ["setpriv", "unshare", "useradd" | Programs]
    ).

%% Calls `Fun' with a machine: `lib' is the application as its user may read it.
with(Fun) ->
    %% Not /tmp, which may be mounted without setuid.
    Dir = string:trim(procket_test:sh_ok("mktemp -d -p /var/tmp")),
    try
        Nodes = [{"null", "1 3"}, {"zero", "1 5"}, {"full", "1 7"}, {"random", "1 8"}, {"urandom", "1 9"}, {"tty", "5 0"}, {"net/tun", "10 200"}],
        _ = procket_test:sh_ok(["chmod 755 ", Dir, " && cd ", Dir, " && cp -a /etc etc && rm -rf etc/procket etc/procket.conf && mkdir -p dev/net home"]),
        [_ = procket_test:sh_ok(["cd ", Dir, "/dev && mknod -m 666 ", Name, " c ", Number]) || {Name, Number} <- Nodes],
        ok = file:write_file(filename:join(Dir, "enter"), [
            "#!/bin/sh\nset -e\nmount --make-rprivate /\nmount --bind ", Dir, "/etc /etc\nmount --bind ", Dir, "/dev /dev\n",
            "ip link set lo up\nexec \"$@\"\n"
        ]),
        _ = procket_test:sh_ok(["chmod 755 ", Dir, "/enter"]),
        User = "pkt" ++ os:getpid(),
        Machine = #{dir => Dir, user => User, lib => procket_test:copy_application(Dir ++ "/app")},
        _ = run_ok(Machine, ["useradd", "--user-group", "--no-create-home", "--home-dir", Dir ++ "/home", "--shell", "/bin/sh", User]),
        _ = run_ok(Machine, ["chown", User ++ ":", Dir ++ "/home"]),
        Id = list_to_integer(string:trim(run_ok(Machine, ["id", "-u", User]))),
        Fun(Machine#{uid => Id})
    after
        procket_test:sh(["rm -rf ", Dir])
    end.

%% Runs words as root, there; the status and what was printed.
run(Machine, Words) ->
    [Program | Args] = inside(Machine, Words),
    procket_test:run(Program, Args).

run_ok(Machine, Words) ->
    case run(Machine, Words) of
        {0, Output} -> Output;
        Failed -> error({Words, Failed})
    end.

run_as_user(Machine, Words) ->
    run(Machine, as_user(Machine, Words)).

%% What a BEAM of the user says that an expression is.
eval(Machine, Expression) ->
    eval(Machine, ":", Expression).

%% The same, after a shell line of root's in the same network namespace.
eval(Machine, Line, Expression) ->
    Beam = beam(Machine, ["io:format(\"~w\", [", Expression, "]), halt()."]),
    {0, Output} = run(Machine, ["sh", "-c", Line ++ " && exec \"$@\"", "sh" | as_user(Machine, Beam)]),
    lists:last(string:lexemes(Output, "\n")).

%% Starts words there, as root, as a port.
start(Machine, Words) ->
    [Program | Args] = inside(Machine, Words),
    open_port({spawn_executable, Program}, [{args, Args}, exit_status, binary, stderr_to_stdout]).

%% Has a BEAM of the user evaluate an expression, and gives the port programs that it then has to `Fun', as a list of
%% `{Role, OsPid}'.
inspect(#{user := _} = Machine, {Expression, Fun}) ->
    Words = maps:get(as, Machine, as_user(Machine, [])),
    Port = start(Machine, Words ++ beam(Machine, ["io:format(\"~w ready~n\", [", Expression, "]), io:get_line(\"\"), halt()."])),
    {os_pid, Beam} = erlang:port_info(Port, os_pid),
    try
        Output = await(Port, <<"ready">>),
        Fun(Output, port_programs(integer_to_list(Beam)))
    after
        procket_test:close_port(Port)
    end.

%% What a program prints, up to and with some text.
await(Port, Text) -> await(Port, Text, <<>>).

await(Port, Text, Output) ->
    case binary:match(Output, Text) of
        nomatch ->
            receive
                {Port, {data, Data}} -> await(Port, Text, <<Output/binary, Data/binary>>);
                {Port, {exit_status, Status}} -> error({Status, Output})
            after 30_000 -> error({timeout, Output})
            end;
        _ ->
            Output
    end.

%% Among all that a process has started, as a list of `{Role, OsPid}'.
port_programs(Pid) ->
    Children = string:lexemes(element(2, procket_test:sh(["ps -o pid= --ppid ", Pid])), " \n"),
    lists:append([role(Child) ++ port_programs(Child) || Child <- Children]).

role(Pid) ->
    %% One that has ended has neither.
    case {file:read_file("/proc/" ++ Pid ++ "/cmdline"), file:read_link("/proc/" ++ Pid ++ "/exe")} of
        {{ok, Line}, {ok, Exe}} -> [{Role, Pid} || Role <- role(lists:reverse(binary:split(Line, <<0>>, [global, trim])), filename:basename(Exe))];
        _ -> []
    end.

%% A prefix such as sudo has the same words behind it.
role([Role, Path | _], Exe) when Role =:= <<"opener">>; Role =:= <<"worker">>; Role =:= <<"capture">> ->
    [binary_to_atom(Role) || filename:basename(binary_to_list(Path)) =:= Exe];
role(_, _) ->
    [].

inside(#{dir := Dir} = Machine, Words) ->
    [os:find_executable("unshare"), "--mount", "--net"] ++ maps:get(unshare, Machine, []) ++ [filename:join(Dir, "enter") | maps:get(inside, Machine, []) ++ Words].

%% Words that have a BEAM of the user run some code.
beam_as_user(Machine, Code) -> as_user(Machine, beam(Machine, Code)).

as_user(#{user := User, dir := Dir}, Words) ->
    ["env", "-i", "PATH=" ++ os:getenv("PATH"), "HOME=" ++ Dir ++ "/home", "LANG=C.UTF-8",
     "setpriv", "--reuid", User, "--regid", User, "--init-groups" | Words].

beam(#{lib := Lib}, Code) ->
    ["sh", "-c", "cd / && exec erl -noshell -kernel logger_level error -pa \"$0\" -eval \"$1\"", Lib ++ "/ebin", lists:flatten(Code)].

%% Copies of the port program with rights, each a path.

setuid(#{user := User} = Machine) ->
    setuid(Machine, User).

setuid(#{lib := Lib} = Machine, Group) ->
    Path = root_owned(Machine),
    _ = run_ok(Machine, ["sh", "-c", "chown root:" ++ Group ++ " " ++ Path ++ " && chmod 4750 " ++ Path]),
    true = lists:prefix(Lib, Path),
    Path.

capable(#{user := User} = Machine, Capabilities) ->
    Path = root_owned(Machine),
    Line = ["chown root:", User, " ", Path, " && chmod 750 ", Path, " && setcap ", Capabilities, " ", Path],
    _ = run_ok(Machine, ["sh", "-c", lists:flatten(Line)]),
    Path.

root_owned(#{lib := Lib}) ->
    Path = lists:flatten([Lib, "/procket", integer_to_list(erlang:unique_integer([positive]))]),
    _ = procket_test:sh_ok(["cp ", Lib, "/priv/procket ", Path, " && chmod 755 ", Path]),
    Path.

%% Writes /etc/procket/policy.conf.
policy(#{dir := Dir}, Text) ->
    File = filename:join(Dir, "etc/procket/policy.conf"),
    ok = filelib:ensure_dir(File),
    _ = file:delete(File),
    ok = file:write_file(File, Text),
    _ = procket_test:sh_ok(["chmod 644 ", File]),
    ok.

%% Writes a rule for sudo.
sudoers(#{dir := Dir}, Text) ->
    File = filename:join(Dir, "etc/sudoers.d/procket"),
    ok = file:write_file(File, Text),
    _ = procket_test:sh_ok(["chmod 440 ", File]),
    ok.

%% Writes /etc/doas.conf.
doas(#{dir := Dir}, Text) ->
    ok = file:write_file(filename:join(Dir, "etc/doas.conf"), Text).

%% The machine with a system bus, which starts polkitd when pkexec asks for it, and with a rule for polkitd: the body of a function of
%% `action' and `subject'. Both end with what is run.
polkit(#{dir := Dir} = Machine, Rule) ->
    File = filename:join(Dir, "etc/polkit-1/rules.d/00-procket.rules"),
    ok = file:write_file(File, ["polkit.addRule(function(action, subject) {\n", Rule, "\n});\n"]),
    Bus = filename:join(Dir, "bus"),
    ok = file:write_file(Bus, [
        "#!/bin/sh\nset -e\nmount -t tmpfs tmpfs /run\nmkdir /run/dbus\n",
        "dbus-daemon --system --fork --nosyslog --address=unix:path=/run/dbus/system_bus_socket\n\"$@\"\n"
    ]),
    _ = procket_test:sh_ok(["chmod 644 ", File, " && chmod 755 ", Bus]),
    Machine#{unshare => ["--pid", "--fork", "--kill-child", "--mount-proc"], inside => [Bus]}.

%% Calls `Fun' with a function that takes the next line of the log, or `none'.
with_log(#{dir := Dir}, Fun) ->
    Path = filename:join(Dir, "dev/log"),
    {ok, Socket} = socket:open(local, dgram),
    ok = socket:bind(Socket, #{family => local, path => Path}),
    _ = procket_test:sh_ok(["chmod 666 ", Path]),
    try
        Fun(fun() ->
            case socket:recv(Socket, 0, [], 200) of
                {ok, Line} -> binary_to_list(Line);
                {error, timeout} -> none
            end
        end)
    after
        _ = socket:close(Socket),
        file:delete(Path)
    end.
