%% Machines that lack what most have: proc(5), and other users. Each node of these tests has namespaces of its own.
-module(confined_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [program_without_proc, no_arguments, calls_without_proc, namespace_without_proc, select_without_proc, passed_without_proc, capture_without_proc,
        one_user, one_user_filter, no_right_to_change_the_user].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need("unshare", procket_test:need_root(Config)).

end_per_suite(_Config) ->
    ok.

init_per_testcase(Case, Config) when Case =:= one_user; Case =:= one_user_filter ->
    case procket_test:sh("unshare -Urn true") of
        {0, _} -> filter(Case, Config);
        {_, Output} -> {skip, "no user namespaces here: " ++ Output}
    end;
init_per_testcase(passed_without_proc, Config) -> procket_test:need("perl", Config);
init_per_testcase(_, Config) -> Config.

filter(one_user_filter, Config) ->
    case filelib:is_regular(procket_command:filter()) of
        true -> Config;
        false -> {skip, "built without libpcap"}
    end;
filter(one_user, Config) ->
    Config.

end_per_testcase(_, _Config) ->
    ok.

%% Its arguments do not come from there.
program_without_proc(_Config) ->
    Program = procket:progname(),
    ?assertMatch({0, "procket 1" ++ _}, procket_test:sh([without_proc(), Program, " --version"])),
    ?assertMatch({64, "usage" ++ _}, procket_test:sh([without_proc(), Program, " --no-such-role"])),
    %% At the end of its input a worker ends; with another argument it would not have begun.
    ?assertEqual({0, ""}, procket_test:sh([without_proc(), Program, " worker </dev/null"])),
    case filelib:is_regular(procket_command:filter()) of
        true -> ?assertMatch({64, "usage: procket-filter" ++ _}, procket_test:sh([without_proc(), procket_command:filter()]));
        false -> ok
    end.

%% The kernel gives such a program one that is empty.
no_arguments(Config) ->
    case procket_test:need("python3", Config) of
        {skip, _} = Skip ->
            Skip;
        _ ->
            Line = ["python3 -c 'import ctypes, sys; ctypes.CDLL(None).execve(sys.argv[1].encode(), (ctypes.c_char_p * 1)(None), (ctypes.c_char_p * 1)(None))' "],
            ?assertMatch({64, "usage" ++ _}, procket_test:sh([Line, procket:progname()]))
    end.

calls_without_proc(_Config) ->
    ?assertMatch(
        {true, {error, enoent}, ok, [opener, worker], [false, false]},
        procket_test:run_node(
            without_proc(),
            "{ok, A} = procket:socket(inet, dgram, udp), {ok, B} = procket:open(0, [{protocol, udp}, {ip, {127,0,0,1}}, {exec, [\"\"]}]), "
            "{ok, _} = procket:dev(\"null\", [{exec, [\"\"]}]), "
            "{ok, Address} = procket:getsockname(B, <<0:128>>), ok = procket:sendto(A, <<\"x\">>, 0, Address), ok = procket:select(B, read), "
            "receive {procket, B, ready, read} -> ok end, {ok, <<\"x\">>} = procket:recv(B, 10), "
            "Info = procket:info(), "
            "{is_integer(A), file:read_link(\"/proc/self\"), procket:close(A), lists:sort([Role || #{role := Role} <- Info]), [is_map_key(user, I) || I <- Info]}"
        )
    ).

%% An opener finds its way back from another namespace.
namespace_without_proc(_Config) ->
    procket_test:with_netns(fun(Name) ->
        ?assertEqual(
            {ok, ok, {error, enoent}},
            procket_test:run_node(
                without_proc(),
                "Open = fun(Options) -> {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127,0,0,1}}, {exec, [\"\"]} | Options]), procket:close(FD) end, "
                "Namespace = {namespace, \"/run/netns/" ++ Name ++ "\"}, {ok, L} = gen_udp:open(0), {ok, P} = inet:port(L), "
                %% The port is taken here, and there it is not.
                "{error, eaddrinuse} = procket:open(P, [{protocol, udp}, {exec, [\"\"]}]), "
                "{ok, _} = procket:open(P, [{protocol, udp}, {exec, [\"\"]}, Namespace]), "
                "{error, eaddrinuse} = procket:open(P, [{protocol, udp}, {exec, [\"\"]}]), "
                "{Open([Namespace]), Open([]), procket:open(0, [{protocol, udp}, {exec, [\"\"]}, {namespace, \"/no/such\"}])}"
            )
        )
    end).

%% A descriptor that something other than close/1 closed, and one in whose place another stands.
select_without_proc(_Config) ->
    ?assertEqual(
        [ebadf, ebadf, read],
        procket_test:run_node(
            without_proc(),
            "[{ok, A}, {ok, B}, {ok, C}] = [procket:open(0, [{protocol, udp}, {ip, {127,0,0,1}}, {exec, [\"\"]}]) || _ <- [1, 2, 3]], "
            "[ok = procket:select(FD, read) || FD <- [A, B, C]], "
            "ok = procket_fd:close(A), ok = procket_fd:close(B), true = lists:any(fun(_) -> {ok, A} =:= procket:socket(inet, dgram, udp) end, lists:seq(1, 50)), "
            "Closed = [receive {procket, FD, error, Reason} -> Reason after 10000 -> nothing end || FD <- [A, B]], "
            "{ok, Address} = procket:getsockname(C, <<0:128>>), ok = procket:sendto(A, <<\"x\">>, 0, Address), "
            "Closed ++ [receive {procket, C, ready, read} -> read after 10000 -> nothing end]"
        )
    ).

passed_without_proc(_Config) ->
    Launch = fun(Count) ->
        procket_test:sh_ok([
            "unshare -m sh -e <<'END'\nmount --make-rprivate /\nmount -t tmpfs none /proc\n",
            activation_SUITE:launcher([{"LISTEN_FDS", Count}]), " ", activation_SUITE:erl("procket:listen_fds()", "-noinput"), "\nEND"
        ])
    end,
    ?assertEqual("[{\"unknown\",3},{\"unknown\",4}]", Launch("2")),
    ?assertEqual("{error,ebadf}", Launch("200")).

capture_without_proc(_Config) ->
    ?assertEqual([<<"first">>, <<"second">>], procket_test:run_node(["unshare -n ", without_proc()], captures([]))).

%% `unshare -r' maps one user: there is no other to become, and the capture process goes on without any rights.
one_user(_Config) ->
    {Packets, Status} = procket_test:run_node("unshare -Urn", captures_and_status([])),
    ?assertEqual([<<"first">>, <<"second">>], Packets),
    [?assertMatch({match, _}, re:run(Status, Set ++ ":\\s0+\n"), Set) || Set <- ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]],
    ?assertMatch({match, _}, re:run(Status, "NoNewPrivs:\\s1\n")),
    ?assertMatch({match, _}, re:run(Status, "Seccomp:\\s2\n")),
    ?assertMatch({match, _}, re:run(Status, "Uid:\\s0\\s0\\s0\\s0\n")).

one_user_filter(_Config) ->
    ?assertEqual([<<"second">>], procket_test:run_node("unshare -Urn", captures([{filter, "udp[8:4] = 0x7365636f"}]))).

%% There is another user, but root may not become it: no packet is received with the rights of root.
no_right_to_change_the_user(_Config) ->
    Opened = procket_test:run_node(
        "setpriv --bounding-set=-setuid,-setgid --inh-caps=-setuid,-setgid ",
        "ok = logger:set_primary_config(level, none), gen_raw:open(\"lo\", [])"
    ),
    ?assertEqual({error, eperm}, Opened).

%% Two datagrams over lo, as they were captured; with the status of the capture process.
captures(Options) ->
    "element(1, " ++ captures_and_status(Options) ++ ")".

captures_and_status(Options) ->
    lists:flatten(io_lib:format(
        "begin _ = os:cmd(\"ip link set lo up\"), {ok, Rx} = gen_raw:open(\"lo\", [{direction, in} | ~p]), {ok, U} = gen_udp:open(0), "
        "[ok = gen_udp:send(U, {127,0,0,1}, 9, Data) || Data <- [\"first\", \"second\"]], "
        "Udp = fun(<<_:14/binary, 4:4, 5:4, _, _:16, _:32, _, 17, _/binary>> = Packet) -> [binary:part(Packet, 42, byte_size(Packet) - 42)]; (_) -> [] end, "
        "Collect = fun Collect(Found) -> case lists:member(<<\"second\">>, Found) of true -> Found; "
        "false -> {ok, Packets} = gen_raw:recv(Rx, 4000), Collect(Found ++ lists:append(lists:map(Udp, Packets))) end end, "
        "{Collect([]), case file:read_file(\"/proc/\" ++ raw_test:capture_pid(Rx) ++ \"/status\") of {ok, Text} -> binary_to_list(Text); _ -> none end} end",
        [Options]
    )).

%% The begin of a shell line that runs the rest of it where /proc is an empty directory.
without_proc() ->
    "unshare -m sh -c 'mount --make-rprivate / && mount -t tmpfs none /proc && exec \"$@\"' -- ".
