%% The examples in Markdown and in EDoc comments, and how they are run.
%%
%% In Markdown an example is a fenced block of `sh', `erlang' or `elixir'; those below one heading belong together. A comment before the block,
%% which no reader sees, says what is special about it:
%%   <!-- not run: REASON -->   it cannot be run here
%%   <!-- file: PATH -->        it is part of that file, letter for letter
-module(docs_examples).

-export([markdown/1, edoc/1, run_section/1]).

-type block() :: #{line := pos_integer(), language := string(), text := string(), note => string()}.
-type section() :: {Name :: string(), [block()]}.

%% The sections of a Markdown file that have examples.
-spec markdown(file:filename()) -> [section()].
markdown(File) ->
    {ok, Binary} = file:read_file(File),
    Lines = string:split(unicode:characters_to_list(Binary), "\n", all),
    sections(lists:zip(lists:seq(1, length(Lines)), Lines), File, none, "", [], []).

sections([], _File, _Note, Heading, Blocks, Sections) ->
    [Section || {_, [_ | _]} = Section <- lists:reverse([{Heading, lists:reverse(Blocks)} | Sections])];
sections([{Line, "```" ++ Language} | Lines], File, Note, Heading, Blocks, Sections) ->
    {Text, [_Fence | Rest]} = lists:splitwith(fun({_, L}) -> L =/= "```" end, Lines),
    Block = #{line => Line, language => Language, text => lists:flatten([[L, $\n] || {_, L} <- Text])},
    case {Language, Note} of
        {_, none} when Language =:= ""; Language =:= "text" -> sections(Rest, File, none, Heading, Blocks, Sections);
        {_, none} -> sections(Rest, File, none, Heading, [Block | Blocks], Sections);
        {_, _} -> sections(Rest, File, none, Heading, [Block#{note => Note} | Blocks], Sections)
    end;
sections([{_, "#" ++ _ = New} | Lines], File, _Note, Heading, Blocks, Sections) ->
    sections(Lines, File, none, string:trim(New, both, "# "), [], [{Heading, lists:reverse(Blocks)} | Sections]);
sections([{_, "<!-- " ++ Comment} | Lines], File, _Note, Heading, Blocks, Sections) ->
    sections(Lines, File, string:trim(Comment, trailing, "-> "), Heading, Blocks, Sections);
sections([{_, ""} | Lines], File, Note, Heading, Blocks, Sections) ->
    sections(Lines, File, Note, Heading, Blocks, Sections);
sections([_ | Lines], File, _Note, Heading, Blocks, Sections) ->
    sections(Lines, File, none, Heading, Blocks, Sections).

%% The examples in the comments of an Erlang source, a section each.
-spec edoc(file:filename()) -> [section()].
edoc(File) ->
    {ok, Binary} = file:read_file(File),
    Lines = string:split(unicode:characters_to_list(Binary), "\n", all),
    edoc(lists:zip(lists:seq(1, length(Lines)), Lines), []).

edoc([], Sections) ->
    lists:reverse(Sections);
edoc([{Line, "%% ```"} | Lines], Sections) ->
    {Text, [_End | Rest]} = lists:splitwith(fun({_, L}) -> L =/= "%% '''" end, Lines),
    Block = #{line => Line, language => "erlang", text => lists:flatten([[L, $\n] || {_, "%% " ++ L} <- Text])},
    edoc(Rest, [{"EDoc", [Block]} | Sections]);
edoc([_ | Lines], Sections) ->
    edoc(Lines, Sections).

%% Runs the blocks of a section, one after the other, with one set of variables. Raises at the first that fails.
-spec run_section([block()]) -> ok.
run_section(Blocks) ->
    _ = lists:foldl(fun run/2, erl_eval:new_bindings(), Blocks),
    ok.

run(#{note := "not run: " ++ _}, Bindings) ->
    Bindings;
run(#{note := "file: " ++ Path, text := Text}, Bindings) ->
    {ok, File} = file:read_file(Path),
    case string:find(unicode:characters_to_list(File), string:trim(Text, trailing, "\n")) of
        nomatch -> error({not_in, Path});
        _ -> Bindings
    end;
run(#{language := "sh", text := Text}, Bindings) ->
    _ = shell_script(Text, "sh -e"),
    Bindings;
run(#{language := "elixir", text := Text}, Bindings) ->
    _ = shell_script(Text, ["elixir -pa ", filename:dirname(code:which(procket))]),
    Bindings;
run(#{language := "erlang", text := "1> " ++ _ = Text}, Bindings) ->
    transcript(Text),
    Bindings;
run(#{language := "erlang", text := "-module(" ++ _ = Text}, Bindings) ->
    module(Text),
    Bindings;
run(#{language := "erlang", text := Text}, Bindings) ->
    expressions(Text, Bindings);
run(#{language := Language}, _Bindings) ->
    error({unknown_language, Language}).

shell_script(Text, Interpreter) ->
    File = filename:join(os:getenv("TMPDIR", "/tmp"), "docs-example-" ++ os:getpid()),
    ok = file:write_file(File, unicode:characters_to_binary(Text)),
    procket_test:sh_ok(["exec timeout 60 ", Interpreter, " ", File, " </dev/null"]).

module(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text, 1),
    Forms = [Form || Part <- split(Tokens, [], []), {ok, Form} <- [erl_parse:parse_form(Part)]],
    case compile:forms(Forms, [return, warnings_as_errors, nowarn_unused_function]) of
        {ok, Module, Beam, _Warnings} -> {module, Module} = code:load_binary(Module, "example", Beam);
        Error -> error(Error)
    end.

split([], [], Parts) -> lists:reverse(Parts);
split([{dot, _} = Dot | Tokens], Part, Parts) -> split(Tokens, [], [lists:reverse([Dot | Part]) | Parts]);
split([Token | Tokens], Part, Parts) -> split(Tokens, [Token | Part], Parts).

expressions(Text, Bindings) ->
    {ok, Tokens, _} = erl_scan:string(Text, 1),
    Terminated =
        case lists:last(Tokens) of
            {dot, _} -> Tokens;
            _ -> Tokens ++ [{dot, 1}]
        end,
    lists:foldl(fun evaluate/2, Bindings, split(Terminated, [], [])).

evaluate(Tokens, Bindings) ->
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    Known = lists:foldl(fun fixture/2, Bindings, unbound(Expressions, Bindings)),
    {value, _, New} = erl_eval:exprs(Expressions, Known),
    New.

unbound(Expressions, Bindings) ->
    case erl_lint:exprs(Expressions, erl_eval:bindings(Bindings)) of
        {error, Errors, _} -> [Name || {_File, Infos} <- Errors, {_, erl_lint, {unbound_var, Name}} <- Infos];
        {ok, _} -> []
    end.

%% What the short examples of single functions start from.
fixture(Name, Bindings) ->
    case erl_eval:binding(Name, Bindings) of
        {value, _} -> Bindings;
        unbound -> erl_eval:add_binding(Name, fixture(Name), Bindings)
    end.

%% A descriptor that can be read.
fixture('FD') ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {ip, "127.0.0.1"}]),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    ok = procket:sendto(FD, <<"hello">>, 0, Name),
    FD;
%% A socket of gen_raw that one frame has come to.
fixture('Socket') ->
    {ok, Socket} = gen_raw:open("lo", [{protocol, 16#88b5}, {direction, in}]),
    ok = gen_raw:send(Socket, <<0:96, 16#88b5:16, "hello">>),
    Socket;
%% Somewhere to send to.
fixture('Sockaddr') -> procket_test:sockaddr(9, {127, 0, 0, 1});
%% A filter that takes everything: BPF_RET of the whole packet.
fixture('Length') -> 1;
fixture('Instructions') -> <<6:16/native, 0, 0, 16#ffffffff:32/native>>;
fixture(Name) -> error({unbound, Name}).

%% A session with the shell: what is typed there gives what is shown, but for numbers. Where nothing is shown, anything but an exception.
transcript(Text) ->
    Entries = entries(string:lexemes(Text, "\n"), []),
    File = filename:join(os:getenv("TMPDIR", "/tmp"), "docs-example-" ++ os:getpid()),
    ok = file:write_file(File, unicode:characters_to_binary([[Typed, "\n"] || {Typed, _} <- Entries])),
    Output = procket_test:sh_ok(["exec timeout 60 erl -pa ", filename:dirname(code:which(procket)), " < ", File]),
    [_Banner | Shown] = re:split(Output, "^\\d+> ", [multiline, {return, list}]),
    _ = [check(Typed, Expected, Got) || {{Typed, Expected}, Got} <- lists:zip(Entries, lists:sublist(Shown, length(Entries)))],
    ok.

entries([], Entries) ->
    lists:reverse(Entries);
entries([Line | Lines], Entries) ->
    {match, [Typed]} = re:run(Line, "^\\d+> (.*)$", [{capture, all_but_first, list}]),
    {Shown, Rest} = lists:splitwith(fun(L) -> re:run(L, "^\\d+> ") =:= nomatch end, Lines),
    entries(Rest, [{Typed, lists:join("\n", Shown)} | Entries]).

check(Typed, Expected, Got) ->
    case {shape(Expected), shape(Got)} of
        {Same, Same} -> ok;
        {[], _} -> string:find(Got, "** ") =:= nomatch orelse error({Typed, Got});
        _ -> error({Typed, {expected, Expected}, {got, Got}})
    end.

%% The words, with every number the same: descriptors, ports and times differ, and so does the order of a map's keys.
shape(Text) ->
    lists:sort(string:lexemes(re:replace(Text, "\\d+", "0", [global, {return, list}]), " \n,{}")).
