%% make install-setuid, install-caps and uninstall, into a directory of the test.
-module(install_SUITE).
-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [setuid, setuid_without_a_group, capabilities, prefix, complete_before_it_has_its_name, replaces, old_files, linked, nothing_to_remove, needs_root].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need("make", procket_test:need_root(Config)).

end_per_suite(_Config) ->
    ok.

init_per_testcase(Case, Config) ->
    Dir = string:trim(procket_test:sh_ok("mktemp -d -p /var/tmp")),
    Dirs = [{destdir, Dir}, {installed, Dir ++ "/usr/local/lib/procket/procket"} | Config],
    case lists:member(Case, [capabilities, old_files]) of
        true -> procket_test:need("setcap", Dirs);
        false -> Dirs
    end.

end_per_testcase(_Case, Config) ->
    procket_test:sh(["rm -rf ", proplists:get_value(destdir, Config)]).

setuid(Config) ->
    {0, Output} = make("install-setuid", "GROUP=daemon", Config),
    says(Output, ["installed: -rwsr-x--- 1 root daemon ", "rights:    members of daemon ", "policy:    .*/etc/procket/policy.conf, new", "use:       procket:open\\("]),
    Path = proplists:get_value(installed, Config),
    ?assertEqual({8#4750, 0, 1}, mode(Path)),
    ?assertEqual({8#755, 0, 0}, mode(filename:dirname(Path))),
    same_as_built(Path),
    Policy = policy("@daemon", Config),
    %% One that is there stays.
    ok = file:write_file(Policy, "deny * any on * in *\n"),
    {0, _} = make("install-setuid", "GROUP=daemon", Config),
    ?assertEqual({ok, <<"deny * any on * in *\n">>}, file:read_file(Policy)),
    {0, Removed} = make("uninstall", "", Config),
    says(Removed, ["removed:   " ++ Path, "stays:     .*/etc/procket\n"]),
    ?assertEqual({error, enoent}, file:read_file_info(filename:dirname(Path))).

setuid_without_a_group(Config) ->
    {2, Output} = make("install-setuid", "", Config),
    says(Output, ["procket: which group may run it\\?"]),
    {2, Unknown} = make("install-setuid", "GROUP=no-such-group", Config),
    says(Unknown, ["procket: there is no group no-such-group"]),
    ?assertEqual({error, enoent}, file:read_file_info(proplists:get_value(installed, Config))).

capabilities(Config) ->
    Path = proplists:get_value(installed, Config),
    {0, Output} = make("install-caps", "GROUP=daemon", Config),
    says(Output, ["rights:    members of daemon can have opened what the policy and cap_net_bind_service,cap_net_raw\\+ep allow"]),
    ?assertEqual({8#750, 0, 1}, mode(Path)),
    ?assertMatch({match, _}, re:run(procket_test:sh_ok(["getcap ", Path]), "cap_net_bind_service,cap_net_raw[=+]ep")),
    ok = file:delete(policy("@daemon", Config)),
    {0, Everybody} = make("install-caps", "CAPS=cap_net_raw+ep", Config),
    says(Everybody, ["rights:    ALL users of this machine can have opened what the policy and cap_net_raw\\+ep allow", "GROUP=… leaves it"]),
    ?assertEqual({8#755, 0, 0}, mode(Path)),
    _ = policy("*", Config),
    same_as_built(Path).

prefix(Config) ->
    {0, _} = make("install-setuid", "GROUP=daemon PREFIX=/opt", Config),
    ?assertEqual({8#4750, 0, 1}, mode(proplists:get_value(destdir, Config) ++ "/opt/lib/procket/procket")).

%% Owner, group and mode are set when the file gets its name: mv(1) is the last to touch it.
complete_before_it_has_its_name(Config) ->
    Dir = proplists:get_value(destdir, Config),
    Bin = Dir ++ "/bin",
    ok = file:make_dir(Bin),
    ok = file:write_file(Bin ++ "/mv", [
        "#!/bin/sh\nfor file; do case $file in */.procket-*) stat -c '%a %U %G' \"$file\" >>", Dir, "/seen ;; esac; done\nexec ", os:find_executable("mv"), " \"$@\"\n"
    ]),
    _ = procket_test:sh_ok(["chmod 755 ", Bin, "/mv"]),
    {0, _} = make("install-setuid", "GROUP=daemon", [{path, Bin ++ ":$PATH"} | Config]),
    ?assertEqual({ok, <<"4750 root daemon\n">>}, file:read_file(Dir ++ "/seen")),
    ?assertEqual({8#4750, 0, 1}, mode(proplists:get_value(installed, Config))).

%% A new file takes the place of the old one: what runs the old one, or has it open, does not get the new one's rights.
replaces(Config) ->
    Path = proplists:get_value(installed, Config),
    {0, _} = make("install-setuid", "GROUP=daemon", Config),
    {ok, #file_info{inode = Old}} = file:read_file_info(Path),
    {0, Output} = make("install-setuid", "GROUP=daemon", Config),
    says(Output, ["policy:    .*/etc/procket/policy.conf says what they may open"]),
    {ok, #file_info{inode = New}} = file:read_file_info(Path),
    ?assertNotEqual(Old, New),
    ?assertEqual({ok, ["procket"]}, file:list_dir(filename:dirname(Path))),
    {0, Removed} = make("uninstall", "", Config),
    says(Removed, ["stays:     .*/etc/procket\n"]).

%% A link to a file that was replaced or removed has nothing of its rights.
old_files(Config) ->
    Path = proplists:get_value(installed, Config),
    Link = proplists:get_value(destdir, Config) ++ "/link",
    [
        begin
            {0, _} = make(Install, "GROUP=daemon", Config),
            _ = procket_test:sh_ok(["rm -f ", Link, " && ln ", Path, " ", Link]),
            {0, _} = make(Next, "GROUP=daemon", Config),
            ?assertEqual({8#600, 0, 0}, mode(Link)),
            ?assertEqual("", procket_test:sh_ok(["getcap ", Link]))
        end
     || Install <- ["install-setuid", "install-caps"], Next <- ["install-setuid", "install-caps", "uninstall"]
    ].

%% Full RELRO, no symbols, and no directory that the user might write to is searched for libraries.
linked(Config) ->
    case procket_test:need("readelf", Config) of
        {skip, Reason} ->
            {comment, Reason};
        _ ->
            Programs = [procket:progname() | [Filter || Filter <- [procket:progname() ++ "-filter"], filelib:is_file(Filter)]],
            [
                begin
                    Dynamic = procket_test:sh_ok(["readelf -dlW ", Program]),
                    ?assertEqual(nomatch, re:run(Dynamic, "RUNPATH|RPATH")),
                    ?assertMatch({match, _}, re:run(Dynamic, "GNU_RELRO")),
                    ?assertMatch({match, _}, re:run(Dynamic, "BIND_NOW|NOW")),
                    ?assertEqual(nomatch, re:run(procket_test:sh_ok(["readelf -SW ", Program]), "\\.symtab|\\.debug"))
                end
             || Program <- Programs
            ]
    end.

nothing_to_remove(Config) ->
    {0, Output} = make("uninstall", "", Config),
    says(Output, ["there is no " ++ proplists:get_value(installed, Config)]).

needs_root(Config) ->
    %% Also where another user may not read the checkout.
    {1, Output} = procket_test:sh(["cd / && setpriv --reuid 65534 --regid 65534 --clear-groups sh -s remove <", procket_test:project_root(), "/scripts/install"]),
    says(Output, ["procket: run this as root"]),
    Config.

make(Target, Variables, Config) ->
    procket_test:sh(["PATH=", proplists:get_value(path, Config, "$PATH"), " make -s -C ", procket_test:project_root(), " ", Target, " DESTDIR=", proplists:get_value(destdir, Config), " ", Variables, " 2>&1"]).

says(Output, Expressions) ->
    [?assertMatch({match, _}, re:run(Output, Expression, [unicode]), {Expression, Output}) || Expression <- Expressions].

%% The policy that was written: it lets these open what the built-in one allows.
policy(Who, Config) ->
    Path = proplists:get_value(destdir, Config) ++ "/etc/procket/policy.conf",
    ?assertEqual([{8#644, 0, 0}, {8#755, 0, 0}], [mode(P) || P <- [Path, filename:dirname(Path)]]),
    _ = procket_test:sh_ok([procket:progname(), " --check-policy ", Path]),
    BuiltIn = procket_test:sh_ok([procket:progname(), " --explain"]),
    Rules = fun(Text) -> [string:lexemes(Line, " ") || "allow" ++ _ = Line <- string:lexemes(Text, "\n")] end,
    {ok, Written} = file:read_file(Path),
    ?assertEqual([["allow", Who | What] || ["allow", "*" | What] <- Rules(BuiltIn)], Rules(binary_to_list(Written))),
    Path.

mode(Path) ->
    {ok, #file_info{mode = Mode, uid = User, gid = Group}} = file:read_file_info(Path),
    {Mode band 8#7777, User, Group}.

same_as_built(Path) ->
    _ = procket_test:sh_ok(["cmp ", Path, " ", procket:progname()]).
