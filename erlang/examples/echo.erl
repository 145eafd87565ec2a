%% @doc An echo server on a low port: udp or tcp, inet or inet6, from a BEAM that need not be privileged.
%%
%% ```
%% 1> c("erlang/examples/echo.erl").
%% 2> {ok, Echo} = echo:start(7, [{protocol, udp}]).
%% 3> echo:stop(Echo).
%% '''
-module(echo).

-export([start/1, start/2, stop/1]).

%% @equiv start(Port, [{protocol, tcp}])
-spec start(inet:port_number()) -> {ok, pid()} | {error, procket:posix()}.
start(Port) ->
    start(Port, [{protocol, tcp}]).

%% @doc Answers on `Port' with what comes in. The options are those of {@link procket:open/2}; `{protocol, tcp | udp}' among them.
-spec start(inet:port_number(), [procket:open_opt()]) -> {ok, pid()} | {error, procket:posix()}.
start(Port, Options) ->
    %% With a backlog a tcp socket listens from now on.
    case procket:open(Port, [{backlog, 128} | Options]) of
        {ok, FD} -> {ok, spawn(fun() -> init(FD, Options) end)};
        {error, _} = Error -> Error
    end.

%% @doc Ends the server and frees the port.
-spec stop(pid()) -> ok.
stop(Echo) ->
    Monitor = monitor(process, Echo),
    Echo ! stop,
    receive
        {'DOWN', Monitor, process, Echo, _} -> ok
    end.

init(FD, Options) ->
    Family = [F || {family, F} <- Options],
    %% Port 0: the descriptor is bound already, and gen_udp and gen_tcp bind to any other number again.
    case proplists:get_value(protocol, Options, tcp) of
        udp ->
            {ok, Socket} = gen_udp:open(0, [{fd, FD}, binary, {active, true}] ++ Family),
            udp(Socket);
        tcp ->
            {ok, Socket} = gen_tcp:listen(0, [{fd, FD}, binary, {active, false}] ++ Family),
            Acceptor = spawn_link(fun() -> accept(Socket) end),
            receive stop -> ok end,
            unlink(Acceptor),
            exit(Acceptor, kill),
            ok = gen_tcp:close(Socket)
    end,
    %% gen_udp and gen_tcp leave a descriptor that they were given open.
    ok = procket:close(FD).

udp(Socket) ->
    receive
        {udp, Socket, IP, Port, Data} ->
            _ = gen_udp:send(Socket, IP, Port, Data),
            udp(Socket);
        stop ->
            gen_udp:close(Socket)
    end.

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    Pid = spawn(fun() -> receive go -> tcp(Socket) end end),
    ok = gen_tcp:controlling_process(Socket, Pid),
    Pid ! go,
    accept(Listener).

tcp(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Data} ->
            _ = gen_tcp:send(Socket, Data),
            tcp(Socket);
        {error, _} ->
            gen_tcp:close(Socket)
    end.
