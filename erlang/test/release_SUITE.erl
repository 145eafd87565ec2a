%% The port program is found where an application is put to run: a release, an archive, an escript, a container, under systemd.
-module(release_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [release, release_is_passed_descriptors, release_with_configuration, container, container_with_file_capabilities, container_without_capabilities, archive, escript, systemd_unit, mix].

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    case procket_test:need_root(procket_test:need("unshare", Config)) of
        {skip, _} = Skip -> Skip;
        _ ->
            Dir = string:trim(procket_test:sh_ok("mktemp -d")),
            try
                build(Dir, Config)
            catch
                Class:Reason:Stack ->
                    remove(Dir),
                    erlang:raise(Class, Reason, Stack)
            end
    end.

end_per_suite(Config) ->
    remove(proplists:get_value(dir, Config)).

remove(Dir) ->
    procket_test:sh_ok(["rm -rf ", Dir]).

init_per_testcase(systemd_unit, Config) -> procket_test:need("systemd-analyze", Config);
init_per_testcase(mix, Config) -> procket_test:need("mix", Config);
init_per_testcase(_, Config) -> Config.

%% A project that has procket as a dependency: its release, unpacked elsewhere, and its escript.
build(Dir, Config) ->
    Project = filename:join(Dir, "served"),
    _ = procket_test:sh_ok(["chmod 755 ", Dir, " && cp -rL ", filename:join(proplists:get_value(data_dir, Config), "served"), " ", Project]),
    _ = procket_test:copy_sources(filename:join(Project, "_checkouts/procket")),
    _ = procket_test:sh_ok(["cd ", Project, " && rebar3 tar && rebar3 escriptize && mkdir ", Dir, "/installed && "
        "tar -xzf _build/default/rel/served/served-1.tar.gz -C ", Dir, "/installed"]),
    [{dir, Dir}, {project, Project}, {installed, filename:join(Dir, "installed")} | Config].

release(Config) ->
    Installed = proplists:get_value(installed, Config),
    Output = in_sandbox([Installed, "/bin/served foreground"]),
    {Program, Result} = served(Output),
    ?assertEqual(Installed ++ "/lib/procket-1.0.0/priv/procket", Program),
    ?assertMatch("{ok," ++ _, Result),
    filtered(Output).

%% In the foreground a release is the process that a service manager started.
release_is_passed_descriptors(Config) ->
    Launcher = activation_SUITE:launcher([{"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "web:dns"}]),
    Output = in_sandbox([Launcher, " ", proplists:get_value(installed, Config), "/bin/served foreground"]),
    ?assertMatch({match, _}, re:run(Output, "^passed: \\[{\"web\",3},{\"dns\",4}\\]$", [multiline]), Output).

%% Another place for the executable is what the configuration says.
release_with_configuration(Config) ->
    Dir = proplists:get_value(dir, Config),
    Moved = Dir ++ "/moved",
    _ = procket_test:sh_ok(["cp -r ", proplists:get_value(installed, Config), " ", Moved, " && mkdir ", Dir, "/elsewhere && mv ", Moved, "/lib/procket-1.0.0/priv/procket* ", Dir, "/elsewhere/"]),
    Missing = in_sandbox([Moved, "/bin/served foreground"]),
    ?assertMatch({match, _}, re:run(Missing, "lib/procket-1.0.0/priv/procket cannot be run: enoent .*port_executable")),
    ?assertMatch({_, "{error,enoent}"}, served(Missing)),
    [Settings] = filelib:wildcard(Moved ++ "/releases/1/sys.config"),
    ok = file:write_file(Settings, ["[{procket, [{port_executable, \"", Dir, "/elsewhere/procket\"}]}].\n"]),
    Output = in_sandbox([Moved, "/bin/served foreground"]),
    ?assertMatch({_, "{ok," ++ _}, served(Output)),
    filtered(Output).

%% What a container gives: a read-only file system, /dev/shm, a user without rights, and two capabilities.
container(Config) ->
    Lists = ["--no-new-privs" | [[" --", List, "=-all,+net_bind_service,+net_raw"] || List <- ["bounding-set", "inh-caps", "ambient-caps"]]],
    Output = in_container("", Lists, Config),
    ?assertMatch({_, "{ok," ++ _}, served(Output)),
    filtered(Output).

%% The container has the capabilities, its user does not, and the executable brings them.
container_with_file_capabilities(Config) ->
    Setcap = ["setcap cap_net_bind_service,cap_net_raw+ep ", proplists:get_value(installed, Config), "/lib/procket-1.0.0/priv/procket && "],
    Lists = "--bounding-set=-all,+net_bind_service,+net_raw --inh-caps=-all --ambient-caps=-all",
    Output = in_container(Setcap, Lists, Config),
    ?assertMatch({_, "{ok," ++ _}, served(Output)),
    filtered(Output),
    _ = procket_test:sh_ok(["setcap -r ", proplists:get_value(installed, Config), "/lib/procket-1.0.0/priv/procket"]).

container_without_capabilities(Config) ->
    Lists = "--bounding-set=-all --inh-caps=-all --ambient-caps=-all",
    ?assertMatch({_, "{error,eacces}"}, served(in_container("", Lists, Config))).

in_container(Before, Lists, Config) ->
    in_sandbox([
        Before, "mount -t tmpfs -o mode=1777 tmpfs /dev/shm && mount -o remount,bind,ro / && ! touch ", proplists:get_value(installed, Config), "/written 2>/dev/null && "
        "cd / && exec env -i PATH=\"$PATH\" HOME=/ RELX_OUT_FILE_PATH=/dev/shm setpriv --reuid=65534 --regid=65534 --clear-groups ",
        Lists, " ", proplists:get_value(installed, Config), "/bin/served foreground"
    ]).

archive(Config) ->
    Dir = proplists:get_value(dir, Config),
    Lib = filename:dirname(filename:dirname(procket:progname())),
    Files = [filename:join("procket-1.0.0", File) || File <- filelib:wildcard("{ebin,priv}/*", Lib)],
    {ok, _} = zip:create(Dir ++ "/procket-1.0.0.ez", [{File, element(2, file:read_file(filename:join(Lib, rest(File))))} || File <- Files]),
    Expression = "Result = procket:open(53, [{protocol, udp}, {exec, [\"\"]}]), ok = logger_std_h:filesync(procket), io:format(\"~ts ~0p~n\", [procket:progname(), Result]), halt().",
    Erl = ["cd ", Dir, " && erl -noshell -pa procket-1.0.0.ez/procket-1.0.0/ebin -eval '", Expression, "'"],
    Inside = in_sandbox(Erl),
    ?assertMatch({match, _}, re:run(Inside, "procket-1.0.0.ez/procket-1.0.0/priv/procket cannot be run: enoent .*outside of any archive.*port_executable")),
    ?assertMatch({_, "{error,enoent}"}, served(Inside)),
    Outside = in_sandbox([Erl, " -procket port_executable '\"", procket:progname(), "\"'"]),
    ?assertMatch({_, "{ok," ++ _}, served(Outside)).

rest(File) ->
    filename:join(tl(filename:split(File))).

escript(Config) ->
    Escript = filename:join(proplists:get_value(project, Config), "_build/default/bin/served"),
    Inside = in_sandbox(Escript),
    ?assertMatch({match, _}, re:run(Inside, "served/procket/priv/procket cannot be run: enoent .*port_executable")),
    ?assertMatch({_, "{error,enoent}"}, served(Inside)),
    Outside = in_sandbox([Escript, " ", procket:progname()]),
    ?assertMatch({_, "{ok," ++ _}, served(Outside)),
    filtered(Outside).

%% systemd's own check of the example, with an executable where the unit says.
systemd_unit(_Config) ->
    Units = filename:join(procket_test:project_root(), "erlang/examples/systemd"),
    Verify = ["systemd-analyze verify --man=no ", Units, "/served.service ", Units, "/served.socket"],
    Line = ["mount -t tmpfs tmpfs /opt && mkdir -p /opt/served/bin && cp /bin/true /opt/served/bin/served && ", Verify],
    ?assertEqual("", in_sandbox(Line)),
    case procket_test:sh(["systemd-analyze security --offline=true --threshold=25 ", Units, "/served.service"]) of
        {0, _} -> ok;
        {1, Output} -> error(lists:last(string:lexemes(Output, "\n")))
    end.

%% The project in Elixir: compiled by mix, with procket as a path, and as git.
mix(Config) ->
    Root = procket_test:copy_sources(filename:join(proplists:get_value(dir, Config), "mix")),
    Example = filename:join(Root, "erlang/examples/elixir"),
    Output = mix(Example, "mix test"),
    ?assertMatch({match, _}, re:run(Output, result("7 tests, 0 failures", "7 passed"), [multiline]), Output),
    %% Who may open no packet socket is told so.
    %% Mix has a folder for each user, by the name in the environment.
    Unprivileged = ["chmod -R a+rwX ", Root, " && USER=nobody setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all mix test"],
    Skipped = mix(Example, Unprivileged),
    ?assertMatch({match, _}, re:run(Skipped, result("7 tests, 0 failures, 3 skipped", "4 passed, 3 skipped"), [multiline]), Skipped),
    Eval = "IO.inspect({:procket.progname(), :procket.open(0, protocol: :udp)})",
    Release = mix(Example, ["mix release && _build/dev/rel/udp_echo/bin/udp_echo eval '", Eval, "'"]),
    %% A character list is '…' up to Elixir 1.14, and ~c"…" since.
    ?assertMatch({match, _}, re:run(Release, "rel/udp_echo/lib/procket-1.0.0/priv/procket['\"],\\s+{:ok, \\d+}", [dotall]), Release),
    Git = ["sed -i 's|path: \"../../..\"|git: \"file://", procket_test:project_root(), "\"|' mix.exs && mix deps.get && "
        "mkdir -p deps/procket/priv && cp ", procket:progname(), "* deps/procket/priv/ && mix run -e 'IO.inspect(:procket.open(0, protocol: :udp))'"],
    ?assertMatch({match, _}, re:run(mix(Example, Git), "{:ok, \\d+}")).

%% What ExUnit says in the end, up to 1.19 and since.
result(Old, New) ->
    ["^(", Old, "|Result: ", New, ")$"].

mix(Dir, Line) ->
    procket_test:sh_ok(["cd ", Dir, " && export HOME=", Dir, "/_build MIX_REBAR3=$(command -v rebar3) LANG=C.UTF-8 && ", Line, " </dev/null"]).

%% What `served' prints: where the executable is, and what came of opening.
served(Output) ->
    {match, [Program, Result]} = re:run(Output, "^(\\S+) ({(?:ok|error),\\S+})$", [multiline, {capture, all_but_first, list}]),
    {Program, Result}.

%% A filter expression is compiled where the port program has its compiler beside it; else its absence is said.
filtered(Output) ->
    Expected = case filelib:is_regular(procket_command:filter()) of true -> "{ok,"; false -> "{error,{filter,\"there is no " end,
    {match, [Result]} = re:run(Output, "^filtered: (.*)$", [multiline, {capture, all_but_first, list}]),
    ?assertNotEqual(nomatch, string:prefix(Result, Expected), Result).

%% In a mount and a network namespace of its own, where port 53 is free.
in_sandbox(Line) ->
    Script = string:trim(procket_test:sh_ok("mktemp")),
    ok = file:write_file(Script, ["ip link set lo up\n", Line, "\n"]),
    try
        procket_test:sh_ok(["unshare --net --mount --propagation private sh -e ", Script, " </dev/null"])
    after
        file:delete(Script)
    end.
