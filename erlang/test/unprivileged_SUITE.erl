%% A BEAM that runs as an unprivileged user made for the test.
-module(unprivileged_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [refused_without_an_opener, refused_with_the_default_exec, setuid_opener, setuid_opener_of_another_group, gen_raw, demo].

suite() ->
    [{timetrap, {minutes, 3}}].

init_per_suite(Config) ->
    case procket_test:need_root(Config) of
        Config -> procket_test:need("setpriv", Config);
        Skip -> Skip
    end.

end_per_suite(_Config) ->
    ok.

refused_without_an_opener(_Config) ->
    with_beam(fun(Eval, _Lib, _User) ->
        ?assertEqual("{error,eacces}", Eval("procket:open(53, [{protocol, udp}, {exec, [\"\"]}])")),
        ?assertEqual("{error,eperm}", Eval("procket:open(0, [{protocol, icmp}, {exec, [\"\"]}])")),
        ?assertMatch("{ok," ++ _, Eval("procket:open(0, [{protocol, udp}, {exec, [\"\"]}])"))
    end).

%% With sudo after it, where it is installed and allows nothing: refused, and not asked for a password.
refused_with_the_default_exec(_Config) ->
    with_beam(fun(Eval, _Lib, _User) ->
        Output = Eval("procket:open(53, [{protocol, udp}])"),
        ?assertEqual("{error,eacces}", lists:last(string:lexemes(Output, "\n")))
    end).

setuid_opener(_Config) ->
    with_beam(fun(Eval, Lib, User) ->
        Opener = setuid(Lib, User),
        procket_test:with_netns(fun(Name) ->
            Open = fun(What) -> Eval(["procket:", What, ", {progname, \"", Opener, "\"}, {exec, [\"\"]}, {namespace, \"/run/netns/", Name, "\"}])"]) end,
            ?assertMatch("{ok," ++ _, Open("open(53, [{protocol, udp}")),
            ?assertMatch("{ok," ++ _, Open("open(80, [{protocol, tcp}")),
            ?assertMatch("{ok," ++ _, Open("open(0, [{protocol, icmp}")),
            ?assertMatch("{ok," ++ _, Open("open(0, [{protocol, 8}, {family, packet}, {type, raw}")),
            ?assertMatch("{ok," ++ _, Open("dev(\"net/tun\", [{protocol, udp}"))
        end)
    end).

setuid_opener_of_another_group(_Config) ->
    with_beam(fun(Eval, Lib, _User) ->
        Opener = setuid(Lib, "root"),
        ?assertEqual("{error,eacces}", Eval(["procket:open(53, [{protocol, udp}, {progname, \"", Opener, "\"}, {exec, [\"\"]}])"]))
    end).

%% The opener opens the sockets; the capture process has the rights of the BEAM's user.
gen_raw(_Config) ->
    with_beam(fun(Eval, Lib, User) ->
        Opener = setuid(Lib, User),
        raw_test:with_veth(fun(Name) ->
            Options = ["[{progname, \"", Opener, "\"}, {exec, [\"\"]}, {namespace, \"/run/netns/", Name, "\"}]"],
            ?assertEqual("{error,eperm}", Eval("gen_raw:open(\"lo\", [{exec, [\"\"]}])")),
            Id = string:trim(procket_test:sh_ok("id -u " ++ User)),
            ?assertEqual(
                lists:flatten(["{ok,[<<1,1,1,1,1,1,2,2,2,2,2,2,136,181,7>>],", Id, "}"]),
                Eval([
                    "begin {ok, Rx} = gen_raw:open(\"rx0\", [{filter, \"ether proto 0x88b5\"} | ", Options, "]),"
                    " {ok, Tx} = gen_raw:open(\"tx0\", ", Options, "),"
                    " ok = gen_raw:send(Tx, <<16#010101010101:48, 16#020202020202:48, 16#88b5:16, 7>>),"
                    " {ok, Packets} = gen_raw:recv(Rx, 5000),"
                    " Pids = [integer_to_list(Pid) || Port <- erlang:ports(), {os_pid, Pid} <- [erlang:port_info(Port, os_pid)], is_integer(Pid)],"
                    " Captures = [Pid || Pid <- Pids, {ok, Line} <- [file:read_file(\"/proc/\" ++ Pid ++ \"/cmdline\")],"
                    " string:find(Line, \"capture\") =/= nomatch],"
                    " [User] = lists:usort([hd(tl(string:lexemes(string:find(element(2, file:read_file(\"/proc/\" ++ Pid ++ \"/status\")),"
                    " \"Uid:\"), \"\\t\"))) || Pid <- Captures]), {ok, Packets, binary_to_integer(User)} end"
                ])
            )
        end)
    end).

%% What make demo runs.
demo(_Config) ->
    Root = procket_test:project_root(),
    Ebin = filename:absname(filename:dirname(code:which(procket))),
    case procket_test:sh(["cd ", Root, " && unshare --net sh -c 'ip link set lo up && erlang/examples/demo ", Ebin, "'"]) of
        {0, Output} ->
            [?assertMatch({match, _}, re:run(Output, Line), {Line, Output}) || Line <- [
                "runs as user 65534, effective 65534",
                "without the opener, port 53: \\{error,eacces\\}",
                "udp, 127.0.0.1 port 53 answers: who is there\\? gen_udp is",
                "tcp, 127.0.0.1 port 80 answers: gen_tcp says hello"
            ]];
        Failed ->
            error(Failed)
    end.

setuid(Lib, Group) ->
    Opener = filename:join(Lib, "opener"),
    _ = procket_test:sh_ok(["cp ", Lib, "/priv/procket ", Opener, " && chown root:", Group, " ", Opener, " && chmod 4750 ", Opener]),
    Opener.

%% Calls `Fun' with a function that evaluates an expression in a BEAM of a new unprivileged user.
with_beam(Fun) ->
    procket_test:with_user(fun(User) ->
        Dir = string:trim(procket_test:sh_ok("mktemp -d")),
        try
            Lib = procket_test:copy_application(Dir),
            Eval = fun(Expression) ->
                Line = [
                    "cd / && env -i PATH=\"$PATH\" HOME=", Dir, " setpriv --reuid=", User, " --regid=", User, " --init-groups ",
                    "erl -noshell -kernel logger_level error -pa ", Lib, "/ebin -eval 'io:format(\"~w\", [", Expression, "]), halt().'"
                ],
                procket_test:sh_ok(Line)
            end,
            Fun(Eval, Lib, User)
        after
            procket_test:sh(["rm -rf ", Dir])
        end
    end).
