%% @private The Erlang side of `make demo'. It binds one address of loopback, beside a resolver that serves another.
-module(demo).

-export([main/1, policy/1]).

-spec main([string()]) -> no_return().
main([Opener]) ->
    Options = [{progname, Opener}, {exec, [""]}],
    say("the BEAM, process ~s, runs as ~s", [os:getpid(), who(os:getpid())]),
    say("without the opener, port 53: ~p", [procket:open(53, [{protocol, udp}, {exec, [""]}])]),
    udp(Options),
    tcp(Options),
    [say("the port program ~s, process ~p, runs as ~s", [Role, Pid, who(integer_to_list(Pid))]) || #{role := Role, os_pid := Pid} <- procket:info()],
    halt(0).

%% What is opened and what is not.
-spec policy([string()]) -> no_return().
policy([Opener]) ->
    Options = [{ip, {127, 0, 0, 1}}, {progname, Opener}, {exec, [""]}],
    say("port 53: ~s", [outcome(procket:open(53, [{protocol, udp} | Options]))]),
    say("port 80: ~s", [outcome(procket:open(80, [{protocol, tcp} | Options]))]),
    say("/dev/zero: ~s", [outcome(procket:dev("zero", Options))]),
    halt(0).

outcome({ok, _FD}) -> "opened";
outcome({error, Reason}) -> io_lib:format("~p", [{error, Reason}]).

udp(Options) ->
    FD = open(53, [{protocol, udp}, {ip, {127, 0, 0, 1}} | Options]),
    {ok, Server} = gen_udp:open(0, [{fd, FD}, binary]),
    {ok, Client} = gen_udp:open(0, [binary]),
    ok = gen_udp:send(Client, {127, 0, 0, 1}, 53, <<"who is there?">>),
    receive {udp, Server, IP, Port, Question} -> ok = gen_udp:send(Server, IP, Port, <<Question/binary, " gen_udp is.">>) end,
    receive {udp, Client, {127, 0, 0, 1}, 53, Answer} -> say("udp, 127.0.0.1 port 53 answers: ~s", [Answer]) end,
    ok = gen_udp:close(Server),
    ok = procket:close(FD).

tcp(Options) ->
    FD = open(80, [{protocol, tcp}, {ip, {127, 0, 0, 1}} | Options]),
    {ok, Listener} = gen_tcp:listen(0, [{fd, FD}, binary, {active, false}]),
    {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, 80, [binary, {active, false}]),
    {ok, Server} = gen_tcp:accept(Listener),
    ok = gen_tcp:send(Server, <<"gen_tcp says hello.">>),
    {ok, Answer} = gen_tcp:recv(Client, 0),
    say("tcp, 127.0.0.1 port 80 answers: ~s", [Answer]),
    ok = gen_tcp:close(Listener),
    ok = procket:close(FD).

open(Port, Options) ->
    case procket:open(Port, Options) of
        {ok, FD} ->
            say("procket:open(~b, ~0p) -> {ok, ~b}", [Port, lists:sublist(Options, 2), FD]),
            FD;
        {error, eaddrinuse} ->
            say("port ~b of 127.0.0.1 is in use on this machine: stop what serves it, and try again", [Port]),
            halt(1);
        {error, Reason} ->
            say("procket:open(~b) -> {error, ~p}", [Port, Reason]),
            halt(1)
    end.

who(Pid) ->
    {ok, Status} = file:read_file("/proc/" ++ Pid ++ "/status"),
    {match, [Real, Effective, Saved]} = re:run(Status, "Uid:\\s+(\\d+)\\s+(\\d+)\\s+(\\d+)", [{capture, [1, 2, 3], list}]),
    {match, [Capabilities]} = re:run(Status, "CapEff:\\s+(\\S+)", [{capture, [1], list}]),
    io_lib:format("user ~s, effective ~s, saved ~s, capabilities in force ~s", [Real, Effective, Saved, Capabilities]).

say(Format, Args) ->
    io:format("  " ++ Format ++ "~n", Args).
