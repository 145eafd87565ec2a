%% @doc A UDP echo server on all addresses that answers from the address that it was asked at: recvmsg and sendmsg with `IP_PKTINFO', see ip(7).
%%
%% ```
%% 1> c("erlang/examples/pktinfo_echo.erl").
%% 2> {ok, Echo} = pktinfo_echo:start(7).
%% 3> pktinfo_echo:stop(Echo).
%% '''
-module(pktinfo_echo).

-export([start/1, start/2, stop/1]).

-define(SIZE, 65535).
-define(SOCKADDR_SIZE, 16).
%% Room for one struct in_pktinfo: a header of 16 bytes and 12 of data, aligned.
-define(CONTROL_SIZE, 32).

%% @equiv start(Port, [])
-spec start(inet:port_number()) -> {ok, pid()} | {error, procket:posix()}.
start(Port) ->
    start(Port, []).

%% @doc Options: those of {@link procket:open/2}.
-spec start(inet:port_number(), [procket:open_opt()]) -> {ok, pid()} | {error, procket:posix()}.
start(Port, Options) ->
    case procket:open(Port, [{protocol, udp} | Options]) of
        {ok, FD} ->
            ok = procket:setsockopt(FD, 'IPPROTO_IP', 'IP_PKTINFO', <<1:32/native>>),
            {ok, spawn(fun() -> loop(FD) end)};
        {error, _} = Error ->
            Error
    end.

%% @doc Ends the server and frees the port.
-spec stop(pid()) -> ok.
stop(Echo) ->
    Monitor = monitor(process, Echo),
    Echo ! stop,
    receive
        {'DOWN', Monitor, process, Echo, _} -> ok
    end.

loop(FD) ->
    case procket:recvmsg(FD, ?SIZE, 0, ?CONTROL_SIZE, ?SOCKADDR_SIZE) of
        {ok, Data, _Flags, Control, Peer} ->
            _ = procket:sendmsg(FD, Data, 0, [answer_from(C) || C <- Control], Peer),
            loop(FD);
        {error, eagain} ->
            ok = procket:select(FD, read),
            receive
                {procket, FD, ready, read} -> loop(FD);
                {procket, FD, error, _} -> procket:close(FD);
                stop -> procket:close(FD)
            end
    end.

%% struct in_pktinfo: the interface, the local address, the destination. The kernel sends from the local address; the interface is left to it.
answer_from({Level, Type, <<_Index:32, Local:4/binary, Destination:4/binary>>}) ->
    {Level, Type, <<0:32, Local/binary, Destination/binary>>}.
