%% Descriptors that a service manager passes: in a node of its own, started by a launcher that passes some.
-module(activation_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [passed, systemd_socket_activate, names, without_names, none, another_process, malformed, not_open, idempotent, children_get_none, httpd].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need("perl", Config).

end_per_suite(_Config) ->
    ok.

init_per_testcase(systemd_socket_activate, Config) -> procket_test:need("systemd-socket-activate", Config);
init_per_testcase(_, Config) -> Config.

%% They work: gen_tcp serves on the first, gen_udp on the second.
passed(_Config) ->
    Expression = "[{\"web\", 3}, {\"dns\", 4}] = procket:listen_fds(), "
        "{ok, L} = gen_tcp:listen(0, [{fd, 3}, {active, false}]), {ok, P} = inet:port(L), "
        "{ok, C} = gen_tcp:connect({127,0,0,1}, P, []), {ok, S} = gen_tcp:accept(L), ok = gen_tcp:send(C, \"tcp\"), {ok, \"tcp\"} = gen_tcp:recv(S, 3), "
        "{ok, U} = gen_udp:open(0, [{fd, 4}]), {ok, Q} = inet:port(U), {ok, D} = gen_udp:open(0), ok = gen_udp:send(D, {127,0,0,1}, Q, \"udp\"), "
        "receive {udp, U, _, _, \"udp\"} -> done end",
    ?assertEqual("done", launch([{"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "web:dns"}], Expression)).

systemd_socket_activate(_Config) ->
    Port = procket_test:free_port(tcp),
    Address = "127.0.0.1:" ++ integer_to_list(Port),
    %% It starts the program when the first connection comes.
    Line = ["{ for i in 1 2 3 4 5 6 7 8 9; do sleep 0.3; perl -MIO::Socket::INET -e 'exit(!IO::Socket::INET->new(\"", Address, "\"))' && break; done; } & "
        "exec timeout 30 systemd-socket-activate -l ", Address, " --fdname=web ", erl("procket:listen_fds()"), " 2>/dev/null"],
    ?assertEqual({0, "[{\"web\",3}]"}, procket_test:sh(Line)).

names(_Config) ->
    ?assertEqual("[{\"a\",3},{[],4}]", launch([{"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "a:"}], "procket:listen_fds()")),
    ?assertEqual("{error,einval}", launch([{"LISTEN_FDS", "2"}, {"LISTEN_FDNAMES", "a"}], "procket:listen_fds()")),
    ?assertEqual("{error,einval}", launch([{"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "a:b"}], "procket:listen_fds()")).

without_names(_Config) ->
    ?assertEqual("[{\"unknown\",3},{\"unknown\",4}]", launch([{"LISTEN_FDS", "2"}], "procket:listen_fds()")).

none(_Config) ->
    ?assertEqual([], procket:listen_fds()),
    ?assertEqual("[]", launch([{"LISTEN_FDS", "0"}], "procket:listen_fds()")),
    ?assertEqual("[]", launch([], "procket:listen_fds()")).

another_process(_Config) ->
    ?assertEqual("[]", launch([{"LISTEN_FDS", "2"}, {"LISTEN_PID", "1"}], "procket:listen_fds()")).

malformed(_Config) ->
    [?assertEqual("{error,einval}", launch([{"LISTEN_FDS", Number}], "procket:listen_fds()")) || Number <- ["two", "2x", "-1", ""]].

not_open(_Config) ->
    [?assertEqual("{error,ebadf}", launch([{"LISTEN_FDS", Number}], "procket:listen_fds()")) || Number <- ["200", "99999999999999999999"]].

idempotent(_Config) ->
    Expression = "A = procket:listen_fds(), A = procket:listen_fds(), {ok, _} = procket:open(0, [{protocol, udp}]), A = procket:listen_fds()",
    ?assertEqual("[{\"unknown\",3}]", launch([{"LISTEN_FDS", "1"}], Expression)).

%% Neither a command, nor a port program of ours, has what was passed.
children_get_none(_Config) ->
    Expression = "[{_, 3}, {_, 4}] = procket:listen_fds(), eacces = procket:errno_id(13), "
        "Sockets = fun(Pid) -> Dir = \"/proc/\" ++ Pid ++ \"/fd/\", {ok, Names} = file:list_dir(Dir), "
        "[L || N <- Names, {ok, \"socket:\" ++ _ = L} <- [file:read_link(Dir ++ N)]] end, "
        "{ok, Passed} = file:read_link(\"/proc/self/fd/3\"), true = lists:member(Passed, Sockets(\"self\")), "
        "Children = [integer_to_list(P) || X <- erlang:ports(), {os_pid, P} <- [erlang:port_info(X, os_pid)], is_integer(P)], "
        "{length(Children) > 0, [P || P <- Children, lists:member(Passed, Sockets(P))], string:find(os:cmd(\"ls -l /proc/self/fd\"), Passed)}",
    ?assertEqual("{true,[],nomatch}", launch([{"LISTEN_FDS", "2"}], Expression)).

%% inets' web server takes a descriptor from the command line.
httpd(_Config) ->
    case code:lib_dir(inets) of
        {error, _} ->
            {skip, "needs inets"};
        _ ->
            Expression = "{ok, _} = application:ensure_all_started(inets), "
                "{ok, _} = inets:start(httpd, [{port, 8080}, {server_name, \"x\"}, {server_root, \"/tmp\"}, {document_root, \"/usr/share\"}]), "
                "{ok, S} = socket:open(3, #{dup => true}), {ok, #{port := P}} = socket:sockname(S), "
                %% Without options for ssl, httpc looks for the certificates of the machine, which a bare one has not.
                "{ok, {{_, Status, _}, _, _}} = httpc:request(get, {\"http://127.0.0.1:\" ++ integer_to_list(P) ++ \"/not/there\", []}, [{ssl, []}], []), Status",
            ?assertEqual("404", launch([{"LISTEN_FDS", "2"}], Expression, "-httpd_8080 3"))
    end.

%% What a node prints that a launcher starts.
launch(Environment, Expression) ->
    launch(Environment, Expression, "").

launch(Environment, Expression, Flags) ->
    procket_test:sh_ok([launcher(Environment), " ", erl(Expression, Flags)]).

%% The begin of a shell line that runs the rest of it with a tcp socket as descriptor 3 and a udp socket as 4, both on free ports of loopback.
launcher(Environment) ->
    Set = [["$ENV{", Name, "}=q(", Value, ");"] || {Name, Value} <- Environment],
    ["exec perl -e '"
        "use Socket; use POSIX (); $^F = 99; "
        "socket($s, PF_INET, SOCK_STREAM, 0) && bind($s, sockaddr_in(0, INADDR_LOOPBACK)) && listen($s, 5) or die; "
        "socket($u, PF_INET, SOCK_DGRAM, 0) && bind($u, sockaddr_in(0, INADDR_LOOPBACK)) or die; "
        "POSIX::dup2(fileno($s), 20); POSIX::dup2(fileno($u), 21); POSIX::dup2(20, 3); POSIX::dup2(21, 4); POSIX::close($_) for 5..21; "
        "$ENV{LISTEN_PID} = $$;", Set, " exec @ARGV or die;'"].

erl(Expression) ->
    erl(Expression, "").

erl(Expression, Flags) ->
    ["erl -noshell ", Flags, " -pa ", filename:dirname(code:which(procket)), " -eval '",
        "io:format(\"~0p\", [begin ", Expression, " end]), halt().'"].
