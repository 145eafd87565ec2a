%% The system calls that each role makes, as strace(1) sees them, against the filters that it takes on: a filter has what is made, and
%% nothing else; and what only the start of an opener needs is refused by the second one. The suites in suites/0 run once more for it, in a node whose port programs are traced.
-module(trace_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [finds_what_is_missing_and_what_is_unused, filters].

suite() ->
    [{timetrap, {minutes, 8}}].

init_per_testcase(filters, Config) ->
    case procket_machine:need(Config, ["strace", "sudo", "cc"]) of
        {skip, _} = Skip ->
            Skip;
        _ ->
            case procket_test:sh("strace -D -n -o /dev/null true") of
                {0, _} -> Config;
                {_, Output} -> {skip, "no process can be traced here: " ++ Output}
            end
    end;
init_per_testcase(_, Config) ->
    Config.

end_per_testcase(_, _Config) ->
    ok.

%% Together they make every call of the API, and each in more than one way.
suites() ->
    [calls_SUITE, message_SUITE, options_SUITE, memory_SUITE, select_SUITE, vectored_SUITE, open_SUITE, published_SUITE, gen_raw_SUITE,
        gen_raw_fd_SUITE].

%% What they leave out.
also() ->
    %% For a node whose beam.smp has capabilities.
    "{ok, FD} = procket:socket(inet, dgram, udp), {ok, Other} = procket_calls:run(procket_calls:duplicate(FD)), [ok = procket:close(N) || N <- [FD, Other]]".

%% What a filter lets through although no run here need make it: {Roles, Call, Why}.
exceptions() ->
    All = [worker, opener, capture],
    [
        {All, "brk", "the allocator takes memory, as much as the requests of the moment need"},
        {All, "mmap", "the same, in larger pieces"},
        {All, "munmap", "and gives it back"},
        {All, "mremap", "the same, for an array that grows beyond 128 kB"},
        {All, "futex", "locks of the C library and of Swift: some versions wake others that are not there"},
        {All, "clock_gettime", "where the machine's clock is not read through the vDSO"},
        {All, "write", "the Swift runtime says why it stops"},
        {All, "restart_syscall", "the kernel goes on with it after SIGSTOP and SIGCONT"},
        {All, "fstat", "fstat(3) of some C libraries"},
        {All, "newfstatat", "fstat(3) of the others"},
        {[worker], "kcmp", "where there is no proc(5): confined_SUITE"},
        {[opener], {"ioctl", 16#894c}, "where there is no proc(5): confined_SUITE"},
        {[opener], {"fcntl", 4}, "a device whose driver takes O_NONBLOCK away"},
        {[capture], {"fcntl", 4}, "a device that others opened in blocking mode"}
    ].

finds_what_is_missing_and_what_is_unused(_Config) ->
    %% read always, ioctl for 7 and 8, openat without the bit 1; all others return.
    Program = [
        {16#20, 0, 0, 0},
        {16#15, 0, 1, 0}, {6, 0, 0, 16#7fff0000},
        {16#15, 0, 5, 16}, {16#20, 0, 0, 24}, {16#15, 1, 0, 7}, {16#15, 0, 1, 8}, {6, 0, 0, 16#7fff0000}, {6, 0, 0, 16#50026},
        {16#15, 0, 4, 257}, {16#20, 0, 0, 32}, {16#45, 1, 0, 1}, {6, 0, 0, 16#7fff0000}, {6, 0, 0, 16#50026},
        {6, 0, 0, 16#50026}
    ],
    Made = [{0, "read", [3, 0, 0]}, {16, "ioctl", [3, 7, 0]}, {16, "ioctl", [3, 8, 0]}, {257, "openat", [0, 0, 2]}],
    ?assertEqual({[], []}, compare(Program, Made, [])),
    ?assertEqual({[], [0]}, compare(Program, tl(Made), [])),
    ?assertEqual({[], [{16, 8}]}, compare(Program, lists:delete({16, "ioctl", [3, 8, 0]}, Made), [])),
    ?assertEqual({[], []}, compare(Program, tl(Made), [0])),
    ?assertEqual({["write"], []}, compare(Program, [{1, "write", [1]} | Made], [])),
    ?assertEqual({["ioctl(3,9)", "openat(0,0,1)"], []}, compare(Program, Made ++ [{16, "ioctl", [3, 9]}, {257, "openat", [0, 0, 1]}], [])),
    %% A second one: no write, no read of 4.
    Second = [
        {16#20, 0, 0, 0},
        {16#15, 0, 1, 1}, {6, 0, 0, 16#50026},
        {16#15, 0, 4, 0}, {16#20, 0, 0, 16}, {16#15, 0, 1, 4}, {6, 0, 0, 16#50026}, {6, 0, 0, 16#7fff0000},
        {6, 0, 0, 16#7fff0000}
    ],
    ?assertEqual({[], [257]}, compare_later(Program, [{Second, lists:droplast(Made)}], [])),
    ?assertEqual({["read(4)", "write"], []}, compare_later(Program, [{Second, [{0, "read", [4, 0]}, {1, "write", [1]} | Made]}], [])),
    ?assertEqual({[], [{16, 8}]}, compare_later([{16#20, 0, 0, 0}, {16#15, 0, 1, 1}, {6, 0, 0, 16#7fff0000} | tl(Program)], [{Second, lists:delete({16, "ioctl", [3, 8, 0]}, Made)}], [])),
    ?assertEqual(
        [{[{16#15, 0, 1, 16#3b}, {6, 0, 0, 16#80000000}], [{0, "read", [3, 16#7f, 1]}, {317, "seccomp", [1, 0]}]}, {[{6, 0, 0, 1}], [{0, "read", [4]}]}],
        parse(<<"9  [  9] mmap(0, 0x1, 0x3) = 0x7f\n9  [317] seccomp(0x1, 0, {len=2, filter=[BPF_JUMP(0x5|0|0x10, 0x3b, 0, 0x1), BPF_STMT(0x6|0, 0x80000000)]}) = 0\n"
            "9  [  0] read(0x3, 0x7f, 0x1) = 0x1\n9  [317] seccomp(0x1, 0, {len=1, filter=[BPF_STMT(0x6|0, 0x1)]}) = 0\n9  [  0] read(0x4) = 0\n9  [231] +++ exited with 0 +++\n">>)
    ),
    ?assertEqual([], parse(<<"9  [  9] mmap(0, 0x1, 0x3) = 0x7f\n">>)),
    ?assertEqual([], parse(<<>>)).

filters(Config) ->
    Dir = filename:join(proplists:get_value(priv_dir, Config), "traces"),
    ok = file:make_dir(Dir),
    Outcome = run_traced(Dir),
    ok = run_privileged(Dir),
    Results = [{Role, role(Role, filelib:wildcard(filename:join(Dir, atom_to_list(Role) ++ ".*")))} || Role <- [worker, opener, capture]],
    ct:pal("~p~n~p", [Outcome, Results]),
    [?assertMatch({_, {N, [], []}} when N > 0, Result) || Result <- Results],
    {comment, io_lib:format("traced: ~p", [[{Role, N} || {Role, {N, _, _}} <- Results]])}.

%% How many traces there are, what is missing in the filter and what is unused.
role(Role, Files) ->
    Parsed = [Phases || File <- Files, [_ | _] = Phases <- [parse(element(2, file:read_file(File)))]],
    case lists:usort([Program || [{Program, _} | _] <- Parsed]) of
        [Program] ->
            Made = lists:usort(lists:append([Calls || Phases <- Parsed, {_, Calls} <- Phases])),
            Excepted = lists:append([excepted(Call) || {Roles, Call, _} <- exceptions(), lists:member(Role, Roles)]),
            {Missing, Unused} = compare(Program, Made, Excepted),
            {Later, Idle} = compare_later(Program, [Phase || [_, Phase] <- Parsed], Excepted),
            {length(Parsed), Missing ++ Later, Unused ++ Idle};
        Programs ->
            {length(Parsed), Programs, none}
    end.

excepted({Name, Value}) -> [{Number, Value} || Number <- call_number(Name)];
excepted(Name) -> call_number(Name).

%% By the name that this machine's C library gives it; none where the architecture has no such call.
call_number(Name) ->
    case procket_test:sh(["echo '#include <sys/syscall.h>\nSYS_", Name, "' | cc -E -P - | tail -n 1"]) of
        {0, "SYS_" ++ _} -> [];
        {0, Digits} -> [list_to_integer(string:trim(Digits))]
    end.

%% Runs the suites in a node of its own.
run_traced(Dir) ->
    Real = procket:progname(),
    Wrapper = wrapper(filename:join(Dir, "procket"), Real, Dir),
    _ = [ok = file:make_symlink(Filter, filename:join(Dir, "procket-filter")) || Filter <- [Real ++ "-filter"], filelib:is_file(Filter)],
    Paths = [["'", Path, "' "] || Path <- code:get_path(), filelib:is_dir(Path), Path =/= "."],
    Tests = filename:dirname(code:which(?MODULE)),
    Expression = io_lib:format(
        "Result = ct:run_test([{dir, ~p}, {suite, ~w}, {auto_compile, false}, {logdir, ~p}]), io:format(\"~~p~~n\", [Result]), ~s, halt().",
        [Tests, suites(), Dir, also()]
    ),
    file:write_file(filename:join(Dir, "expression"), Expression),
    procket_test:sh([
        "cd '", Dir, "' && erl -noinput -noshell -pa ", Paths, " -procket port_executable '\"", Wrapper, "\"' -eval \"$(cat expression)\" </dev/null"
    ]).

%% An opener that has rights which its caller has not, and so asks a policy.
run_privileged(Dir) ->
    procket_machine:with(fun(#{user := User, lib := Lib} = Machine) ->
        Wrapper = wrapper(filename:join(Lib, "traced"), Lib ++ "/priv/procket", Dir),
        procket_machine:sudoers(Machine, [User, " ALL = (root) NOPASSWD: ", Wrapper, " opener\n"]),
        procket_machine:policy(Machine, "deny daemon any\ndeny @daemon any\ndeny * udp 54\nallow * any on * in *\n"),
        procket_test:with_netns(fun(Name) ->
            Options = ["{exec, [\"sudo\"]}, {progname, \"", Wrapper, "\"}"],
            Ask = fun(Requests) ->
                Calls = lists:join(", ", [["procket:", Function, "(", First, ", [", Others, Options, "])"] || {Function, First, Others} <- Requests]),
                procket_machine:eval(Machine, lists:flatten(["[case Result of {ok, _} -> ok; {error, Reason} -> Reason end || Result <- [", Calls, "]]"]))
            end,
            %% What is logged waits until it is read, and sudo waits with it: few requests at a time.
            procket_machine:with_log(Machine, fun(Next) ->
                ?assertEqual("[ok,eacces]", Ask([{"open", "53", "{protocol, udp}, "}, {"open", "54", "{protocol, udp}, "}])),
                ?assert(is_logged("request=\"udp 54\"", Next))
            end),
            ?assertEqual("[ok,ok,ok,ok,ok]", Ask([
                {"open", "80", "{interface, \"lo\"}, "},
                {"dev", "\"net/tun\"", ""},
                {"dev", "\"null\"", ""},
                {"open", "0", "{protocol, 8}, {family, packet}, {type, raw}, {interface, \"lo\"}, "},
                {"open", "53", ["{protocol, udp}, {namespace, \"/run/netns/", Name, "\"}, "]}
            ]))
        end)
    end),
    ok.

%% sudo writes lines too.
is_logged(Text, Next) ->
    case Next() of
        none -> false;
        Line -> string:find(Line, Text) =/= nomatch orelse is_logged(Text, Next)
    end.

wrapper(Path, Program, Dir) ->
    ok = file:write_file(Path, ["#!/bin/sh\nexec strace -D -f -n -v -X raw -e 'raw=!seccomp' -o '", Dir, "'/$1.$$ '", Program, "' \"$@\"\n"]),
    _ = procket_test:sh_ok(["chmod 755 ", Path]),
    Path.

%% {Missing, Unused}: calls that were made and are not let through, and numbers, or numbers with a value of an argument, that are let
%% through and were not made.
compare(Program, Made, Excepted) ->
    Missing = [written(Program, Call) || {Number, _, Args} = Call <- Made, not allows(Program, Number, Args)],
    Unused = lists:append([
        case look(Program, Number) of
            {oneof, Argument, Values} -> [{Number, Value} || Value <- Values, [] =:= [made || {N, _, Args} <- Made, N =:= Number, lists:nth(Argument + 1, Args) =:= Value]];
            refused -> [];
            _ -> [Number || not lists:keymember(Number, 1, Made)]
        end
     || Number <- lists:seq(0, 500)
    ]),
    {lists:usort(Missing), Unused -- Excepted}.

%% The same of what is made under a second filter, which may differ: a call that is let through and was made before it alone is unused.
compare_later(_Program, [], _Excepted) ->
    {[], []};
compare_later(Program, Phases, Excepted) ->
    Missing = [written(Second, Call) || {Second, Calls} <- Phases, {Number, _, Args} = Call <- Calls, not allows(Second, Number, Args)],
    {_, Unused} = compare(Program, lists:append([Calls || {_, Calls} <- Phases]), Excepted),
    LetThrough = fun(Number) -> lists:any(fun({Second, _}) -> look(Second, Number) =/= refused end, Phases) end,
    {lists:usort(Missing), [Call || Call <- Unused, LetThrough(case Call of {Number, _} -> Number; Number -> Number end)]}.

written(Program, {Number, Name, Args}) ->
    case look(Program, Number) of
        refused -> Name;
        {_, Argument, _} -> lists:flatten([Name, "(", lists:join(",", [integer_to_list(Arg) || Arg <- lists:sublist(Args, Argument + 1)]), ")"])
    end.

allows(Program, Number, Args) ->
    case look(Program, Number) of
        allowed -> true;
        refused -> false;
        {oneof, Argument, Values} -> lists:member(lists:nth(Argument + 1, Args) band 16#ffffffff, Values);
        {noneof, Argument, Values} -> not lists:member(lists:nth(Argument + 1, Args) band 16#ffffffff, Values);
        {without, Argument, Bits} -> lists:nth(Argument + 1, Args) band Bits =:= 0
    end.

%% What a program does with a number: struct seccomp_data has it at 0, and the arguments from 16 on, 8 bytes each.
look(Program, Number) when is_integer(Number) ->
    step(Program, Number).

%% The architecture is looked at first, and is the right one.
step([{16#20, _, _, 4}, {16#15, True, _, _} | Rest], Number) -> step(lists:nthtail(True, Rest), Number);
step([{16#20, _, _, 0} | Rest], Number) -> step(Rest, Number);
step([{16#20, _, _, Offset} | Rest], _) -> argument(Rest, (Offset - 16) div 8);
step([{16#15, True, False, K} | Rest], Number) -> step(lists:nthtail(jump(Number =:= K, True, False), Rest), Number);
step([{16#35, True, False, K} | Rest], Number) -> step(lists:nthtail(jump(Number >= K, True, False), Rest), Number);
step([{6, _, _, 16#7fff0000} | _], _) -> allowed;
step([{6, _, _, _} | _], _) -> refused.

jump(true, True, _) -> True;
jump(false, _, False) -> False.

argument([{16#45, _, _, Bits} | _], Argument) -> {without, Argument, Bits};
argument(Program, Argument) ->
    {Jumps, [{6, _, _, Then} | _]} = lists:splitwith(fun({Code, _, _, _}) -> Code =:= 16#15 end, Program),
    {case Then of 16#7fff0000 -> oneof; _ -> noneof end, Argument, [K || {_, _, _, K} <- Jumps]}.

%% Each filter of a trace, and each different call that was made under it and before the next one. `[]' where it ended before.
parse(Trace) ->
    Phases = lists:foldl(fun parse/2, [], binary:split(Trace, <<"\n">>, [global])),
    lists:reverse([{Program, lists:usort(Calls)} || {Program, Calls} <- Phases]).

parse(Line, Phases) ->
    Before =
        case Phases of
            [{Program, Calls} | Earlier] -> [{Program, made(Line) ++ Calls} | Earlier];
            [] -> []
        end,
    case re:run(Line, "seccomp\\(0x1, 0, {len") of
        nomatch ->
            Before;
        {match, _} ->
            {match, Instructions} = re:run(Line, "BPF_(STMT|JUMP)\\(([^)]*)\\)", [global, {capture, all_but_first, list}]),
            [{[instruction(Words) || [_, Words] <- Instructions], []} | Before]
    end.

instruction(Words) ->
    case string:lexemes(Words, ", ") of
        [Code, K] -> {code(Code), 0, 0, number(K)};
        [Code, K, True, False] -> {code(Code), number(True), number(False), number(K)}
    end.

code(Words) ->
    lists:foldl(fun(Word, Code) -> number(Word) bor Code end, 0, string:lexemes(Words, "|")).

made(Line) ->
    case re:run(Line, "\\[ *(\\d+)\\] (\\w+)\\(([^)]*)", [{capture, all_but_first, list}]) of
        {match, [Number, Name, Args]} -> [{list_to_integer(Number), Name, [number(Arg) || Arg <- lists:takewhile(fun is_written_number/1, string:lexemes(Args, ", "))]}];
        nomatch -> []
    end.

number("0x" ++ Digits) -> list_to_integer(lists:takewhile(fun is_hex/1, Digits), 16);
number(Digits) -> list_to_integer(Digits).

%% Not a structure.
is_written_number([C | _]) -> C =/= ${.

is_hex(C) -> C >= $0 andalso C =< $9 orelse C >= $a andalso C =< $f.
