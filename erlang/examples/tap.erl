%% @doc A host of Erlang's own on a TAP device: it answers ARP and ping.
%%
%% ```
%% 1> c("erlang/examples/tap.erl", [{i, "erlang/include"}]).
%% 2> {ok, Tap} = tap:start("erl0", {10,9,8,1}, {10,9,8,2}).
%% 3> os:cmd("ping -c 1 10.9.8.2").
%% 4> tap:stop(Tap).
%% '''
-module(tap).

-export([start/3, start/4, stop/1]).

-include("procket.hrl").

%% linux/if_tun.h
-define(TUNSETIFF, 16#400454ca).
-define(IFF_TAP, 16#0002).
-define(IFF_NO_PI, 16#1000).
%% linux/sockios.h, net/if.h
-define(SIOCSIFADDR, 16#8916).
-define(SIOCSIFNETMASK, 16#891c).
-define(SIOCGIFFLAGS, 16#8913).
-define(SIOCSIFFLAGS, 16#8914).
-define(IFF_UP, 16#1).

-define(MAC, <<16#02, "prckt">>).

%% @equiv start(Name, System, Host, [])
-spec start(string(), inet:ip4_address(), inet:ip4_address()) -> {ok, pid()} | {error, procket:posix()}.
start(Name, System, Host) ->
    start(Name, System, Host, []).

%% @doc Makes the TAP device `Name', gives the system's end the address `System' (with 24 bits of network), and answers for `Host'.
%% Options: those of {@link procket:dev/2}.
-spec start(string(), inet:ip4_address(), inet:ip4_address(), [procket:open_opt()]) -> {ok, pid()} | {error, procket:posix()}.
start(Name, System, Host, Options) ->
    case procket:dev("net/tun", Options) of
        {ok, FD} ->
            {ok, _} = procket:ioctl(FD, ?TUNSETIFF, ifreq(Name, <<(?IFF_TAP bor ?IFF_NO_PI):16/native>>)),
            configure(Name, System),
            {ok, spawn(fun() -> loop(FD, list_to_binary(tuple_to_list(Host))) end)};
        {error, _} = Error ->
            Error
    end.

%% @doc Ends it; the device goes with its last descriptor.
-spec stop(pid()) -> ok.
stop(Tap) ->
    Monitor = monitor(process, Tap),
    Tap ! stop,
    receive
        {'DOWN', Monitor, process, Tap, _} -> ok
    end.

configure(Name, System) ->
    {ok, FD} = procket:socket(inet, dgram, 0),
    {ok, _} = procket:ioctl(FD, ?SIOCSIFADDR, ifreq(Name, sockaddr(System))),
    {ok, _} = procket:ioctl(FD, ?SIOCSIFNETMASK, ifreq(Name, sockaddr({255, 255, 255, 0}))),
    {ok, <<_:?IFNAMSIZ/binary, Flags:16/native, _/binary>>} = procket:ioctl(FD, ?SIOCGIFFLAGS, ifreq(Name, <<>>)),
    {ok, _} = procket:ioctl(FD, ?SIOCSIFFLAGS, ifreq(Name, <<(Flags bor ?IFF_UP):16/native>>)),
    procket:close(FD).

%% struct ifreq, 40 bytes on 64-bit systems.
ifreq(Name, Data) ->
    <<(list_to_binary(Name))/binary, 0:((?IFNAMSIZ - length(Name)) * 8), Data/binary, 0:((24 - byte_size(Data)) * 8)>>.

sockaddr({A, B, C, D}) ->
    <<(procket:sockaddr_common(procket:family(inet), 16))/binary, 0:16, A, B, C, D, 0:64>>.

loop(FD, Host) ->
    case procket:read(FD, 65535) of
        {ok, Frame} ->
            _ = [procket:write(FD, Reply) || Reply <- answer(Frame, Host)],
            loop(FD, Host);
        {error, eagain} ->
            ok = procket:select(FD, read),
            receive
                {procket, FD, ready, read} -> loop(FD, Host);
                {procket, FD, error, _} -> procket:close(FD);
                stop -> procket:close(FD)
            end;
        {error, _} ->
            procket:close(FD)
    end.

%% ARP: who has Host?
answer(<<_:48, Peer:6/binary, 16#0806:16, 1:16, 16#0800:16, 6, 4, 1:16, _:48, PeerIP:4/binary, _:48, Host:4/binary, _/binary>>, Host) ->
    [<<Peer/binary, ?MAC/binary, 16#0806:16, 1:16, 16#0800:16, 6, 4, 2:16, ?MAC/binary, Host/binary, Peer/binary, PeerIP/binary>>];
%% ICMP echo, in IPv4 without options: the same data back, its checksum made anew.
answer(<<_:48, Peer:6/binary, 16#0800:16, IP:12/binary, PeerIP:4/binary, Host:4/binary, 8, 0, _:16, Echo/binary>>, Host) ->
    <<16#45, _, Length:16, _/binary>> = IP,
    Data = binary:part(Echo, 0, min(byte_size(Echo), Length - 24)),
    Sum = packet:makesum(<<0, 0, 0:16, Data/binary>>),
    [<<Peer/binary, ?MAC/binary, 16#0800:16, IP/binary, Host/binary, PeerIP/binary, 0, 0, Sum:16, Data/binary>>];
answer(_Frame, _Host) ->
    [].
