%% A program as they are written for procket: with its headers, its calls, and matching on exactly what they return.
-module(dependent).
-export([main/0]).

-include_lib("procket/include/procket.hrl").
-include_lib("procket/include/ioctl.hrl").
-include_lib("procket/include/packet.hrl").
-include_lib("procket/include/bpf.hrl").

-define(TUNSETIFF, ?IOW($T, 202, 4)).
-define(IFF_TUN, 16#0001).
-define(IFF_NO_PI, 16#1000).
-define(SIOCSIFADDR, 16#8916).
-define(SIOCSIFNETMASK, 16#891c).
-define(SIOCGIFFLAGS, 16#8913).
-define(SIOCSIFFLAGS, 16#8914).

main() ->
    ok = bound(),
    ok = ping(),
    ok = stream(),
    ok = filtered(),
    case os:cmd("id -u") of
        "0\n" -> ok = tunnel();
        _ -> io:put_chars("tunnel: skipped, needs root\n")
    end,
    io:put_chars("ok\n"),
    halt().

bound() ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {type, dgram}, {family, inet}, {ip, {127, 0, 0, 1}}]),
    {ok, <<?PF_INET:16/native, Port:16, 127, 0, 0, 1, _/binary>>} = procket:getsockname(FD, <<0:(16 * 8)>>),
    {ok, Socket} = gen_udp:open(0, [binary, {fd, FD}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_udp:close(Socket),
    ok = procket:close(FD).

%% A raw socket handed to gen_udp.
ping() ->
    case procket:open(0, [{protocol, icmp}, {type, raw}, {family, inet}]) of
        {ok, FD} ->
            {ok, Socket} = gen_udp:open(0, [binary, {fd, FD}]),
            Sum = packet:makesum(<<8, 0, 0:16, 77:16, 1:16, "ping">>),
            ok = gen_udp:send(Socket, {127, 0, 0, 1}, 0, <<8, 0, Sum:16, 77:16, 1:16, "ping">>),
            receive
                {udp, Socket, {127, 0, 0, 1}, _, <<_:20/binary, 0, 0, _:16, 77:16, 1:16, "ping">>} -> ok
            after 5000 -> exit(no_reply)
            end,
            ok = gen_udp:close(Socket),
            procket:close(FD);
        {error, eperm} ->
            ok
    end.

%% read, write and close on the descriptor of a gen_tcp socket.
stream() ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    {ok, Peer} = gen_tcp:accept(Listener),
    {ok, FD} = inet:getfd(Socket),
    {error, eagain} = procket:read(FD, 16),
    ok = gen_tcp:send(Peer, <<"over tcp">>),
    {ok, <<"over tcp">>} = read(FD, 16),
    ok = procket:write(FD, <<"and back">>),
    {ok, <<"and back">>} = gen_tcp:recv(Peer, 8),
    ok = procket:setsockopt(FD, ?SOL_SOCKET, ?SO_REUSEADDR, <<1:32/native>>),
    ok = procket:close(FD),
    {error, closed} = gen_tcp:recv(Peer, 0, 5000),
    %% At once: the port still has the number, which will be another descriptor's.
    ok = gen_tcp:close(Socket),
    ok = gen_tcp:close(Peer),
    gen_tcp:close(Listener).

filtered() ->
    {ok, FD} = procket:socket(?PF_INET, ?SOCK_DGRAM, 17),
    {ok, _} = packet:filter(FD, [?BPF_STMT(?BPF_RET + ?BPF_K, 0)]),
    ok = packet:unfilter(FD),
    <<6:16/native, 0:48>> = bpf:insn(#insn{code = ?BPF_RET}),
    procket:close(FD).

tunnel() ->
    {ok, FD} = procket:dev("net/tun"),
    Interface = "dep" ++ os:getpid(),
    {ok, _} = procket:ioctl(FD, ?TUNSETIFF, ifreq(Interface, <<(?IFF_TUN bor ?IFF_NO_PI):16/native>>)),
    {ok, Socket} = procket:socket(inet, dgram, 0),
    {ok, _} = procket:ioctl(Socket, ?SIOCSIFADDR, ifreq(Interface, sockaddr({10, 9, 4, 1}))),
    {ok, _} = procket:ioctl(Socket, ?SIOCSIFNETMASK, ifreq(Interface, sockaddr({255, 255, 255, 0}))),
    {ok, <<_:?IFNAMSIZ/binary, Flags:16/native, _/binary>>} = procket:ioctl(Socket, ?SIOCGIFFLAGS, ifreq(Interface, <<>>)),
    {ok, _} = procket:ioctl(Socket, ?SIOCSIFFLAGS, ifreq(Interface, <<(Flags bor 1):16/native>>)),
    ok = procket:close(Socket),
    %% A packet from the system to an address behind the device, and one from behind it to the system.
    {ok, Udp} = gen_udp:open(0, [binary, {active, true}]),
    {ok, Port} = inet:port(Udp),
    ok = gen_udp:send(Udp, {10, 9, 4, 2}, 4444, <<"out">>),
    ok = until(FD, Port),
    IP = <<16#45, 0, 30:16, 0:32, 64, 17, 0:16, 10, 9, 4, 2, 10, 9, 4, 1>>,
    <<Head:10/binary, _:16, Addresses/binary>> = IP,
    Sum = packet:makesum(IP),
    ok = procket:write(FD, <<Head/binary, Sum:16, Addresses/binary, 4444:16, Port:16, 10:16, 0:16, "in">>),
    receive
        {udp, Udp, {10, 9, 4, 2}, 4444, <<"in">>} -> ok
    after 5000 -> exit(nothing_through_the_tunnel)
    end,
    procket:close(FD).

%% Others use the device too: the system's own neighbour discovery.
until(FD, Port) ->
    case read(FD, 1500) of
        {ok, <<16#45, _:64, 17, _:16, 10, 9, 4, 1, 10, 9, 4, 2, Port:16, 4444:16, _:32, "out">>} -> ok;
        {ok, _} -> until(FD, Port)
    end.

read(FD, Length) ->
    read(FD, Length, 500).

read(FD, Length, Tries) when Tries > 0 ->
    case procket:read(FD, Length) of
        {error, eagain} ->
            timer:sleep(10),
            read(FD, Length, Tries - 1);
        Result ->
            Result
    end.

ifreq(Interface, Data) ->
    <<(list_to_binary(Interface))/binary, 0:((?IFNAMSIZ - length(Interface)) * 8), Data/binary, 0:((24 - byte_size(Data)) * 8)>>.

sockaddr({A, B, C, D}) ->
    <<(procket:sockaddr_common(?PF_INET, 16))/binary, 0:16, A, B, C, D, 0:64>>.
