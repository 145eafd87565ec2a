%% What README, guides and EDoc say is so: their examples run, their links lead somewhere, the HTML is made without a warning.
-module(docs_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [markdown_examples, edoc_examples, links, html, architecture_names_every_folder_and_module, contributing_names_every_target, every_export_is_documented, security_names_tests].

suite() ->
    [{timetrap, {minutes, 10}}].

init_per_suite(Config) ->
    Root = procket_test:project_root(),
    case procket_test:need("git", procket_test:need_root(Config)) of
        {skip, _} = Skip -> Skip;
        Config -> [{root, Root} | Config]
    end.

end_per_suite(_Config) ->
    ok.

%% Each section in a node and in namespaces of its own, in a copy of the sources: what a reader has who has just built it.
markdown_examples(Config) ->
    run_all(documents(Config), fun docs_examples:markdown/1, Config).

edoc_examples(Config) ->
    run_all(sources(Config), fun docs_examples:edoc/1, Config).

run_all(Files, Examples, Config) ->
    Dir = string:trim(procket_test:sh_ok("mktemp -d")),
    try
        _ = procket_test:copy_sources(Dir),
        _ = procket_test:sh_ok(["mkdir -p ", Dir, "/_build/default/lib/procket && cd ", Dir, "/_build/default/lib/procket && cp -rL ",
            filename:dirname(code:which(procket)), " ebin && ln -s ../../../../priv priv && chmod -R a+rX ", Dir]),
        Results = [
            {File, Section, Blocks, run_section(Dir, Blocks)}
         || File <- Files, {Section, Blocks} <- Examples(filename:join(proplists:get_value(root, Config), File))
        ],
        Skipped = [{File, Line, Why} || {File, _, Blocks, _} <- Results, #{line := Line, note := "not run: " ++ Why} <- Blocks],
        ct:pal("not run:~n~ts", [[io_lib:format("  ~ts:~b: ~ts~n", [File, Line, Why]) || {File, Line, Why} <- Skipped]]),
        ?assertEqual([], [{File, Section, Output} || {File, Section, _, {Status, Output}} <- Results, Status =/= 0]),
        Count = length(lists:append([Blocks || {_, _, Blocks, _} <- Results])),
        ?assert(Count > length(Skipped)),
        {comment, lists:flatten(io_lib:format("~b examples run, ~b not", [Count - length(Skipped), length(Skipped)]))}
    after
        procket_test:sh(["rm -rf ", Dir])
    end.

run_section(Dir, Blocks) ->
    Terms = filename:join(Dir, "section.term"),
    ok = file:write_file(Terms, io_lib:format("~0tp.~n", [Blocks])),
    Paths = [[filename:dirname(code:which(Module)), " "] || Module <- [?MODULE, procket]],
    %% Nothing can be written but the copy and what is empty: an example changes nothing on this machine.
    Line = ["exec unshare --net --mount --propagation private sh -ec 'ip link set lo up; mount --bind ", Dir, " ", Dir, "; cd ", Dir, "; "
        "mount -t tmpfs tmpfs /run; mount -t tmpfs -o mode=1777 tmpfs /dev/shm; mount -o remount,bind,ro /; "
        "export HOME=", Dir, " TMPDIR=/dev/shm LANG=C.UTF-8; exec timeout 120 erl -noshell -pa ", Paths, " -run docs_SUITE run_in_node ", Terms, "' </dev/null"],
    procket_test:sh(Line).

%% In the node of the section.
run_in_node([Terms]) ->
    {ok, [Blocks]} = file:consult(Terms),
    try
        ok = docs_examples:run_section(Blocks),
        halt(0)
    catch
        Class:Reason:Stack ->
            io:format("~tp~n", [{Class, Reason, Stack}]),
            halt(1)
    end.

%% Every relative link of a document leads to a file.
links(Config) ->
    Root = proplists:get_value(root, Config),
    Links = [
        {File, Link}
     || File <- documents(Config),
        {ok, Text} <- [file:read_file(filename:join(Root, File))],
        {match, Found} <- [re:run(Text, "\\]\\(([^)#]+)[^)]*\\)", [global, {capture, all_but_first, list}])],
        [Link] <- Found,
        string:find(Link, "://") =:= nomatch
    ],
    ?assert(length(Links) > 10),
    ?assertEqual([], [L || {File, Link} = L <- Links, not filelib:is_file(filename:join([Root, filename:dirname(File), Link]))]).

%% `make docs' says nothing, makes a page for every document and public module, and none of their links is broken.
html(Config) ->
    Dir = string:trim(procket_test:sh_ok("mktemp -d")),
    try
        _ = procket_test:copy_sources(Dir),
        Output = procket_test:sh_ok(["cd ", Dir, " && make -s docs 2>&1"]),
        ?assertEqual(nomatch, re:run(Output, "warning|error", [caseless])),
        Pages = filelib:wildcard("**/*.html", filename:join(Dir, "doc")),
        Wanted = ["procket.html", "gen_raw.html", "procket_pcap.html", "packet.html", "bpf.html", "procket_ioctl.html", "overview-summary.html", "guides.html"] ++
            [filename:rootname(File) ++ ".html" || File <- documents(Config)],
        ?assertEqual([], Wanted -- Pages),
        %% What is private stays so.
        ?assertNot(lists:member("procket_port.html", Pages)),
        Shell = procket_test:sh_ok(["cd ", Dir, " && rebar3 compile >/dev/null && erl -noshell -pa _build/default/lib/procket/ebin -eval 'shell_default:h(procket, socket, 3), halt().' </dev/null"]),
        ?assertMatch({match, _}, re:run(Shell, "socket\\(2\\)"), Shell),
        Links = [{Page, Link} || Page <- Pages, Link <- hrefs(filename:join([Dir, "doc", Page]))],
        ?assert(length(Links) > 100),
        ?assertEqual([], [L || {Page, Link} = L <- Links, broken(filename:join([Dir, "doc", Page]), Link)])
    after
        procket_test:sh(["rm -rf ", Dir])
    end.

hrefs(Page) ->
    {ok, Text} = file:read_file(Page),
    case re:run(Text, "\\s(?:href|src)=\"([^\"]+)\"", [global, {capture, all_but_first, list}]) of
        {match, Found} -> [Link || [Link] <- Found, string:find(Link, ":") =:= nomatch];
        nomatch -> []
    end.

broken(Page, "#" ++ Anchor) ->
    not has_anchor(Page, Anchor);
broken(Page, Link) ->
    [Path | Anchor] = string:split(Link, "#"),
    Target = filename:join(filename:dirname(Page), Path),
    case {filelib:is_regular(Target), Anchor} of
        {true, [Name]} -> not has_anchor(Target, Name);
        {Exists, _} -> not Exists
    end.

has_anchor(Page, Anchor) ->
    {ok, Text} = file:read_file(Page),
    lists:any(fun(Attribute) -> string:find(Text, [Attribute, "=\"", Anchor, "\""]) =/= nomatch end, ["name", "id"]).

%% docs/architecture.md shows the tree as it is.
architecture_names_every_folder_and_module(Config) ->
    Root = proplists:get_value(root, Config),
    {ok, Text} = file:read_file(filename:join(Root, "docs/architecture.md")),
    Folders = [
        Folder
     || Folder <- wildcards(["{Sources,Tests,erlang,docs,scripts,.ci,.github}", "{Sources,Tests,erlang,docs}/*", "Sources/*/*"], Config),
        filelib:is_dir(filename:join(Root, Folder))
    ],
    ?assert(length(Folders) > 15),
    ?assertEqual([], [F || F <- Folders, string:find(Text, [$`, F, "/`"]) =:= nomatch]),
    Modules = [filename:basename(File, ".erl") || File <- wildcards(["erlang/src/*.erl"], Config)],
    ?assertEqual([], [M || M <- Modules, string:find(Text, [$`, M, $`]) =:= nomatch]).

%% And the Makefile declares each of those that make no file.
contributing_names_every_target(Config) ->
    [Makefile, Contributing] = [
        begin
            {ok, Text} = file:read_file(filename:join(proplists:get_value(root, Config), File)),
            Text
        end
     || File <- ["Makefile", "CONTRIBUTING.md"]
    ],
    {match, Found} = re:run(Makefile, "^([a-z-]+):(?!=)", [multiline, global, {capture, all_but_first, list}]),
    Targets = lists:append(Found),
    ?assert(length(Targets) > 15),
    ?assertEqual([], [T || T <- Targets, re:run(Contributing, ["make ", T, "(?![a-z-])"]) =:= nomatch]),
    {match, [Phony]} = re:run(Makefile, "^\\.PHONY: (.*)$", [multiline, {capture, all_but_first, list}]),
    ?assertEqual(lists:sort(Targets), lists:sort(string:lexemes(Phony, " "))).

%% Each exported function of a public module has a comment with @doc or @equiv, and a -spec.
every_export_is_documented(Config) ->
    Root = proplists:get_value(root, Config),
    [
        begin
            {ok, Text} = file:read_file(filename:join(Root, File)),
            Module = list_to_atom(filename:basename(File, ".erl")),
            Private = re:run(Text, "^%% @private", []) =/= nomatch,
            Exports = [F || F <- Module:module_info(exports), element(1, F) =/= module_info, not Private],
            ?assertEqual([], [F || {Name, _} = F <- Exports, documented(Text, Name) < length(proplists:lookup_all(Name, Exports))], File)
        end
     || File <- sources(Config), string:prefix(File, "erlang/src/") =/= nomatch
    ].

%% The table of docs/security.md has a row for each section before it, and its tests are there: `suite:case' and `Suite.test'.
security_names_tests(Config) ->
    Root = proplists:get_value(root, Config),
    {ok, Text} = file:read_file(filename:join(Root, "docs/security.md")),
    [Claims, Behind] = binary:split(Text, <<"\n## How it is tested\n">>),
    [_, Behind2] = binary:split(Behind, <<"| section | claim | tests |\n">>),
    [Table, _] = binary:split(Behind2, <<"\n\n">>),
    ?assertEqual(all_matches("^##+ (.*)$", Claims), all_matches("^\\| ([^|`-]+) \\|", Table)),
    Rows = binary:split(Table, <<"\n">>, [global]),
    Names = [Name || Row <- tl(Rows), Name <- all_matches("`([^` ]+)`", lists:nth(4, binary:split(Row, <<"|">>, [global])))],
    ?assert(length(Names) > 100),
    Swift = [{filename:basename(File, ".swift"), element(2, file:read_file(filename:join(Root, File)))} || File <- wildcards(["Tests/*/*Tests.swift"], Config)],
    ?assertEqual([], [Name || Name <- Names, not is_test(string:split(Name, ":"), Swift)]).

is_test([Suite, Case], _Swift) ->
    Module = list_to_atom(Suite ++ "_SUITE"),
    {module, Module} =:= code:ensure_loaded(Module) andalso lists:member(list_to_atom(Case), Module:all());
is_test([Name], Swift) ->
    [Suite | Test] = string:split(Name, "."),
    Test =/= [] andalso re:run(proplists:get_value(Suite, Swift, ""), ["^\\s*(@Test|\\]).*\\bfunc ", Test, "\\("], [multiline]) =/= nomatch.

all_matches(Expression, Text) ->
    case re:run(Text, Expression, [multiline, global, {capture, all_but_first, list}]) of
        {match, Found} -> lists:append(Found);
        nomatch -> []
    end.

%% For how many arities.
documented(Text, Name) ->
    case re:run(Text, ["^%% @(doc|equiv) [^\n]*\n(%%[^\n]*\n)*-spec ", atom_to_list(Name), "\\("], [multiline, global]) of
        {match, Found} -> length(Found);
        nomatch -> 0
    end.

documents(Config) ->
    wildcards(["*.md", "docs/*.md", "docs/guides/*.md"], Config).

sources(Config) ->
    wildcards(["erlang/src/*.erl", "erlang/examples/*.erl"], Config).

wildcards(Patterns, Config) ->
    lists:append([filelib:wildcard(Pattern, proplists:get_value(root, Config)) || Pattern <- Patterns]).
