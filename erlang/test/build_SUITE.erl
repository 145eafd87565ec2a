%% The project as a dependency of another rebar3 project, and what a build does again.
-module(build_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        nothing_is_built_twice, checkout, warning_in_a_checkout, git_dependency, package, without_libpcap, clean, headers_of_another_system, missing_swift_is_said,
        old_swift_is_said
    ].

suite() ->
    [{timetrap, {minutes, 20}}].

init_per_suite(Config) ->
    Root = procket_test:project_root(),
    case procket_test:sh(["git -C ", Root, " rev-parse HEAD"]) of
        {0, _} -> [{root, Root} | Config];
        _ -> {skip, "needs the git repository"}
    end.

end_per_suite(_Config) ->
    ok.

init_per_testcase(without_libpcap, Config) -> procket_test:need_root(Config);
init_per_testcase(_, Config) -> Config.

end_per_testcase(_, _Config) ->
    ok.

nothing_is_built_twice(Config) ->
    Root = proplists:get_value(root, Config),
    _ = procket_test:sh_ok(["make -s -C ", Root, " port"]),
    {ok, Before} = file:read_file_info(filename:join(Root, "priv/procket")),
    ?assertEqual("", procket_test:sh_ok(["cd ", Root, " && make -s port"])),
    {ok, After} = file:read_file_info(filename:join(Root, "priv/procket")),
    ?assertEqual(Before, After).

checkout(Config) ->
    Project = project("checkout", Config, "[procket]"),
    Clone = filename:join([Project, "_checkouts", "procket"]),
    _ = procket_test:sh_ok(["mkdir -p ", Project, "/_checkouts && ", clone(Config, Clone)]),
    %% What has been built already need not be built again for this.
    ok = procket_test:copy_executables(Clone),
    build_and_run(Project).

%% What a later OTP warns of does not end the build of a dependent, not even where that one makes warnings errors for itself.
warning_in_a_checkout(Config) ->
    Project = project("warning", Config, "[procket]"),
    Clone = filename:join([Project, "_checkouts", "procket"]),
    _ = procket_test:sh_ok(["mkdir -p ", Project, "/_checkouts && ", clone(Config, Clone)]),
    ok = procket_test:copy_executables(Clone),
    _ = procket_test:sh_ok(["echo 'unused() -> ok.' >>", Clone, "/erlang/src/procket_error.erl && echo '{erl_opts, [warnings_as_errors]}.' >>", Project, "/rebar.config"]),
    Compiled = procket_test:sh_ok(["cd ", Project, " && rebar3 compile 2>&1"]),
    ?assertMatch({match, _}, re:run(Compiled, "unused/0 is unused", [unicode]), Compiled).

git_dependency(Config) ->
    Root = proplists:get_value(root, Config),
    Project = project("git", Config, ["[{procket, {git, \"file://", Root, "\", {ref, \"", head(Root), "\"}}}]"]),
    build_and_run(Project).

%% The files of the Hex package are enough: for rebar3, and for Swift, which wants the folder of every target.
package(Config) ->
    Root = proplists:get_value(root, Config),
    Project = project("package", Config, "[procket]"),
    Package = filename:join([Project, "_checkouts", "procket"]),
    _ = procket_test:sh_ok(["cd ", Root, " && scripts/package copy ", Package]),
    Tracked = string:lexemes(procket_test:sh_ok(["git -C ", Root, " ls-files Sources Tests Benchmarks scripts docs erlang/src erlang/include erlang/examples"]), "\n"),
    ?assertEqual([], [File || File <- Tracked, not filelib:is_file(filename:join(Package, File))]),
    _ = procket_test:sh_ok(["cd ", Package, " && swift package describe"]),
    ok = procket_test:copy_executables(Package),
    build_and_run(Project).

%% The C compiler does not find pcap.h: what is built then has no compiler of expressions, says so, and takes instructions.
without_libpcap(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "without_libpcap"),
    {Clone, Program} = {filename:join(Dir, "procket"), filename:join(Dir, "procket/priv/procket")},
    Hides = ["#!/bin/sh\nexec ", os:find_executable("cc"), " -nostdinc \"$@\"\n"],
    ok = filelib:ensure_dir(filename:join([Dir, "bin", "cc"])),
    ok = file:write_file(filename:join([Dir, "bin", "cc"]), Hides),
    _ = procket_test:sh_ok(["chmod +x ", Dir, "/bin/cc && ", clone(Config, Clone)]),
    _ = procket_test:sh_ok(["cd ", Clone, " && PATH=", Dir, "/bin:$PATH && make -s port"]),
    ?assertEqual("procket\n", procket_test:sh_ok(["ls ", Clone, "/priv"])),
    %% The variable says the same.
    ?assertNotMatch({match, _}, re:run(procket_test:sh_ok(["cd ", Clone, " && PROCKET_WITHOUT_PCAP=1 make -n -B port"]), "procket-filter")),
    ok = application:set_env(procket, port_executable, Program),
    try
        {error, {filter, Message}} = gen_raw:open("lo", [{filter, "udp port 53"}]),
        ?assertMatch({match, _}, re:run(Message, "built without libpcap: instructions can be given")),
        ?assertEqual(Program, procket:progname()),
        gen_raw_filter_SUITE:instructions(Config)
    after
        _ = application:stop(procket),
        application:unset_env(procket, port_executable)
    end.

clean(Config) ->
    Project = project("clean", Config, "[]"),
    Clone = filename:join(Project, "procket"),
    _ = procket_test:sh_ok([clone(Config, Clone), " && mkdir -p ", Clone, "/priv ", Clone, "/.build && touch ", Clone, "/priv/procket"]),
    _ = procket_test:sh_ok(["cd ", Clone, " && rebar3 clean"]),
    ?assertNot(filelib:is_file(filename:join(Clone, "priv/procket"))),
    ?assertNot(filelib:is_file(filename:join(Clone, ".build"))).

%% As the build makes them on another system. The constants that differ are those of its own headers.
headers_of_another_system(Config) ->
    Clone = filename:join(proplists:get_value(priv_dir, Config), "headers"),
    _ = procket_test:sh_ok(clone(Config, Clone)),
    Unchanged = procket_test:sh_ok(["cd ", Clone, " && make -s system-header && git status --porcelain"]),
    ?assertEqual("", Unchanged),
    Module = ["-module(constants).\n-export([all/0]).\n-include(\"procket.hrl\").\n-include(\"bpf.hrl\").\n",
        "all() -> {?PF_INET6, ?UNIX_PATH_MAX, ?SOL_SOCKET, ?SO_REUSEADDR, ?BPF_ALIGNMENT}.\n"],
    ok = file:write_file(filename:join(Clone, "constants.erl"), Module),
    [
        begin
            _ = procket_test:sh_ok(["cd ", Clone, " && make -s system-header SYSTEM=", System, " && erlc -I erlang/include constants.erl"]),
            Output = procket_test:sh_ok(["erl -noshell -pa ", Clone, " -eval 'io:format(\"~w\", [constants:all()]), halt().'"]),
            ?assertEqual({System, Constants}, {System, Output})
        end
     || {System, Constants} <- [
            {"darwin", "{30,104,65535,4,4}"}, {"freebsd", "{28,104,65535,4,8}"}, {"linux", "{10,108,1,2,8}"}
        ]
    ].

missing_swift_is_said(Config) ->
    Root = proplists:get_value(root, Config),
    {1, Output} = procket_test:sh(["cd ", Root, " && PATH=/not/there /bin/sh scripts/require swift"]),
    ?assertMatch({match, _}, re:run(Output, "^procket: swift is missing: install .*swift.org/install\n$")).

%% Debian 13 has Swift 6.0.
old_swift_is_said(Config) ->
    Bin = filename:join(proplists:get_value(priv_dir, Config), "bin"),
    Require = fun(Version) ->
        ok = filelib:ensure_dir(filename:join(Bin, "swift")),
        ok = file:write_file(filename:join(Bin, "swift"), ["#!/bin/sh\necho 'Swift version ", Version, " (swift-", Version, "-RELEASE)'\n"]),
        procket_test:sh(["chmod +x ", Bin, "/swift && cd ", proplists:get_value(root, Config), " && PATH=", Bin, ":$PATH scripts/require swift"])
    end,
    {1, Output} = Require("6.0.3"),
    ?assertMatch({match, _}, re:run(Output, "^procket: swift is too old: version 6.0.3 at .*/bin/swift; install Swift 6.2 or later, https://www.swift.org/install\n$")),
    [?assertEqual({0, ""}, Require(Version)) || Version <- ["6.2", "6.2.3", "6.3.1", "6.10", "7.0"]].

%% A project that uses procket, in its data directory.
project(Name, Config, Deps) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), Name),
    Source = filename:join(proplists:get_value(data_dir, Config), "dependent"),
    _ = procket_test:sh_ok(["cp -rL ", Source, " ", Dir]),
    ok = file:write_file(filename:join(Dir, "rebar.config"), ["{deps, ", Deps, "}.\n"]),
    Dir.

build_and_run(Project) ->
    Compiled = procket_test:sh_ok(["cd ", Project, " && rebar3 compile 2>&1"]),
    ?assertEqual(nomatch, re:run(Compiled, "warning", [caseless, unicode]), Compiled),
    Run = "erl -noshell -pa _build/default/lib/*/ebin _build/default/checkouts/*/ebin -run ",
    [
        begin
            Output = procket_test:sh_ok(["cd ", Project, " && ", Run, Module, " main"]),
            ?assertEqual("ok", lists:last(string:lexemes(Output, "\n")))
        end
     || Module <- ["dependent", "headers"]
    ].

clone(Config, To) ->
    ["git clone -q ", proplists:get_value(root, Config), " ", To].

head(Root) ->
    string:trim(procket_test:sh_ok(["git -C ", Root, " rev-parse HEAD"])).
