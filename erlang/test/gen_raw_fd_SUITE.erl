%% Sockets of gen_raw on descriptors that have no ring: TAP, UDP, ICMP, netlink.
-module(gen_raw_fd_SUITE).
-include_lib("stdlib/include/assert.hrl").
-include_lib("procket/include/bpf.hrl").
-compile([export_all, nowarn_export_all]).

-define(TUNSETIFF, 16#400454ca).
-define(IFF_TUN, 16#0001).
-define(IFF_TAP, 16#0002).
-define(IFF_NO_PI, 16#1000).

all() ->
    [udp_boundaries, udp_unconnected, udp_error_passes, connection_ends, no_connection, filter_throws_away, last_ones_come, dropped_is_counted, tap_both_ways, tun_removed, icmp, netlink, closed_descriptor, opened_again, no_messages, idle].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

%% Two sockets on loopback that send to each other.
udp() ->
    {ok, A} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    {ok, B} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    {ok, NameA} = procket:getsockname(A, <<0:128>>),
    {ok, NameB} = procket:getsockname(B, <<0:128>>),
    ok = procket:connect(A, NameB),
    ok = procket:connect(B, NameA),
    {A, B}.

udp_boundaries(_Config) ->
    {A, B} = udp(),
    {ok, Socket} = gen_raw:open({fd, B}, [{active, true}, {timestamps, true}, {snaplen, 40_000}]),
    {ok, Back} = gen_raw:open({fd, A}, []),
    Datagrams = [<<>>, <<"one">>, binary:copy(<<"x">>, 65_507), <<"two">>],
    ok = gen_raw:send(Back, Datagrams),
    Packets = raw_test:collect(Socket, 4),
    ?assertEqual([{byte_size(D), binary:part(D, 0, min(40_000, byte_size(D)))} || D <- Datagrams], [{L, P} || {_, L, P} <- Packets]),
    ?assertEqual({ok, #{received => 4, delivered => 4, queued => 0, kernel_dropped => 0, truncated => 1, sent => 0}}, gen_raw:stats(Socket)),
    ok = gen_raw:send(Socket, <<"back">>),
    ?assertEqual({ok, [<<"back">>]}, gen_raw:recv(Back, 5000)),
    ?assertEqual({ok, #{fd => B}}, gen_raw:info(Socket)),
    ok = gen_raw:close(Socket),
    %% The descriptor is still the caller's.
    ok = procket:sendto(B, <<"mine">>),
    ?assertEqual({ok, [<<"mine">>]}, gen_raw:recv(Back, 5000)),
    ok = gen_raw:close(Back),
    lists:foreach(fun procket:close/1, [A, B]).

udp_unconnected(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    {ok, Socket} = gen_raw:open({fd, FD}, []),
    ?assertEqual({error, {edestaddrreq, 0}}, gen_raw:send(Socket, [<<"a">>, <<"b">>])),
    ok = gen_raw:close(Socket),
    ok = procket:close(FD).

%% Nobody is there, then somebody is.
udp_error_passes(_Config) ->
    {A, B} = udp(),
    {ok, Name} = procket:getsockname(B, <<0:128>>),
    {ok, Own} = procket:getsockname(A, <<0:128>>),
    ok = procket:close(B),
    {ok, Socket} = gen_raw:open({fd, A}, [{active, true}]),
    ok = gen_raw:send(Socket, <<"anybody?">>),
    receive {raw_error, Socket, econnrefused} -> ok after 30_000 -> error(no_error) end,
    {ok, Again} = procket:socket(inet, dgram, udp),
    ok = procket:bind(Again, Name),
    ok = procket:sendto(Again, <<"yes">>, 0, Own),
    ?assertEqual([<<"yes">>], raw_test:collect(Socket, 1)),
    ok = gen_raw:close(Socket),
    lists:foreach(fun procket:close/1, [A, Again]).

%% The other end of a connection with messages is closed: an empty message is one, and the end comes once.
connection_ends(_Config) ->
    {A, B} = seqpacket(),
    {ok, Socket} = gen_raw:open({fd, B}, [{active, true}]),
    Messages = [<<"one">>, <<>>, <<"two">>],
    [ok = procket:sendto(A, Message) || Message <- Messages],
    ?assertEqual(Messages, raw_test:collect(Socket, 3)),
    [ok = procket:sendto(A, Message) || Message <- Messages],
    ok = procket:close(A),
    ?assertEqual(Messages, raw_test:collect(Socket, 3)),
    receive {raw_error, Socket, Reason} -> ?assertEqual(enodata, Reason) after 30_000 -> error(no_error) end,
    receive {raw_closed, Socket} -> ok after 30_000 -> error(not_closed) end,
    receive {raw, Socket, _} = More -> error(More) after 0 -> ok end,
    ok = procket:close(B).

%% Nothing can come from the beginning: with a filter too, for which what waits is thrown away.
no_connection(_Config) ->
    Filter = [bpf:stmt(?BPF_RET + ?BPF_K, 16#ffff)],
    {A, B} = seqpacket(),
    ok = procket:close(A),
    {ok, Alone} = procket:socket(local, seqpacket, 0),
    [
        begin
            {ok, Socket} = gen_raw:open({fd, FD}, [{active, true} | Options]),
            receive {raw_error, Socket, Reason} -> ok after 30_000 -> error(no_error) end,
            receive {raw_closed, Socket} -> ok after 30_000 -> error(not_closed) end
        end
     || {FD, Reason} <- [{B, enodata}, {Alone, enotconn}], Options <- [[], [{filter, Filter}]]
    ],
    lists:foreach(fun procket:close/1, [B, Alone]).

seqpacket() ->
    {ok, Listener} = procket:socket(local, seqpacket, 0),
    %% An abstract name of the kernel's choice.
    ok = procket:bind(Listener, <<1:16/native>>),
    {ok, Name} = procket:getsockname(Listener, <<0:64>>),
    ok = procket:listen(Listener, 1),
    {ok, A} = procket:socket(local, seqpacket, 0),
    ok = procket:connect(A, Name),
    {ok, B} = procket:accept(Listener),
    ok = procket:close(Listener),
    {A, B}.

%% What waits from before the filter is not delivered.
filter_throws_away(_Config) ->
    {A, B} = udp(),
    [ok = procket:sendto(A, Data) || Data <- [<<"before">>, <<"Xbefore">>]],
    %% The first byte behind the header of UDP.
    Filter = [
        bpf:stmt(?BPF_LD + ?BPF_B + ?BPF_ABS, 8), bpf:jump(?BPF_JMP + ?BPF_JEQ + ?BPF_K, $X, 0, 1), bpf:stmt(?BPF_RET + ?BPF_K, 16#ffff), bpf:stmt(?BPF_RET + ?BPF_K, 0)
    ],
    {ok, Socket} = gen_raw:open({fd, B}, [{active, true}, {filter, Filter}]),
    [ok = procket:sendto(A, Data) || Data <- [<<"no">>, <<"Xyes">>, <<"no">>, <<"Xtoo">>]],
    ?assertEqual([<<"Xyes">>, <<"Xtoo">>], raw_test:collect(Socket, 2)),
    ok = gen_raw:close(Socket),
    lists:foreach(fun procket:close/1, [A, B]).

%% A receiver that does not ask: what the socket's buffer does not hold is lost, and counted.
%% What is left of several that were read at once comes also when nothing follows it.
last_ones_come(_Config) ->
    {A, B} = udp(),
    %% SO_RCVBUFFORCE
    ok = procket:setsockopt(B, 'SOL_SOCKET', 33, <<1_000_000:32/native>>),
    {ok, Tx} = gen_raw:open({fd, A}, []),
    [
        begin
            ok = gen_raw:send(Tx, [binary:copy(<<"x">>, 1400) || _ <- lists:seq(1, Sent)]),
            {ok, Socket} = gen_raw:open({fd, B}, []),
            ?assertEqual(Sent, drained(Socket, 0)),
            ok = gen_raw:close(Socket)
        end
     || Sent <- lists:seq(93, 97)
    ],
    ok = gen_raw:close(Tx),
    lists:foreach(fun procket:close/1, [A, B]).

dropped_is_counted(_Config) ->
    {A, B} = udp(),
    {ok, Socket} = gen_raw:open({fd, B}, []),
    Sent = 6000,
    {ok, Tx} = gen_raw:open({fd, A}, []),
    %% In lists that the backlog of the loopback device holds: what it drops no socket counts.
    [ok = gen_raw:send(Tx, lists:duplicate(500, binary:copy(<<"x">>, 1400))) || _ <- lists:seq(1, Sent div 500)],
    %% What waits in the descriptor is counted when it is read.
    Received = drained(Socket, 0),
    ?assert(Received > 0 andalso Received < Sent),
    Dropped = Sent - Received,
    ?assertMatch({ok, #{received := Sent, delivered := Received, kernel_dropped := Dropped, queued := 0}}, gen_raw:stats(Socket)),
    [ok = gen_raw:close(S) || S <- [Socket, Tx]],
    lists:foreach(fun procket:close/1, [A, B]).

drained(Socket, Count) ->
    case gen_raw:recv(Socket, 500) of
        {ok, Packets} -> drained(Socket, Count + length(Packets));
        {error, timeout} -> Count
    end.

device(Flags) ->
    {ok, FD} = procket:dev("net/tun"),
    {ok, <<Name:16/binary, _/binary>>} = procket:ioctl(FD, ?TUNSETIFF, <<"prckt%d", 0:(9 * 8), (Flags bor ?IFF_NO_PI):16/native, 0:176>>),
    Interface = binary_to_list(hd(binary:split(Name, <<0>>))),
    _ = procket_test:sh(["echo 1 >/proc/sys/net/ipv6/conf/", Interface, "/disable_ipv6"]),
    _ = procket_test:sh_ok(["ip link set ", Interface, " up"]),
    {FD, Interface}.

%% What goes out of the interface comes in at the descriptor, and the other way.
tap_both_ways(_Config) ->
    {FD, Interface} = device(?IFF_TAP),
    {ok, Tap} = gen_raw:open({fd, FD}, [{active, true}]),
    {ok, Net} = gen_raw:open(Interface, [{active, true}, {direction, in}]),
    ok = gen_raw:send(Net, raw_test:frames(200)),
    ?assertEqual(raw_test:frames(200), raw_test:collect(Tap, 200)),
    ok = gen_raw:send(Tap, raw_test:frames(300)),
    ?assertEqual(raw_test:frames(300), raw_test:collect(Net, 300)),
    [ok = gen_raw:close(Socket) || Socket <- [Tap, Net]],
    ok = procket:close(FD),
    %% It goes with its last descriptor.
    procket_test:wait_until(fun() -> element(1, net:if_name2index(Interface)) =:= error end).

tun_removed(_Config) ->
    {FD, Interface} = device(?IFF_TUN),
    {ok, Tun} = gen_raw:open({fd, FD}, [{active, true}]),
    {ok, Net} = gen_raw:open(Interface, [{active, true}]),
    ?assertMatch({ok, #{link_type := 101}}, gen_raw:info(Net)),
    _ = procket_test:sh_ok(["ip link del ", Interface]),
    receive {raw_error, Tun, Reason} -> ?assert(lists:member(Reason, [ebadfd, eio, enodev]), Reason) after 30_000 -> error(no_error) end,
    receive {raw_closed, Tun} -> ok after 30_000 -> error(not_closed) end,
    receive {raw_error, Net, enetdown} -> ok after 30_000 -> error(no_error) end,
    receive {raw_error, Net, enodev} -> ok after 30_000 -> error(no_error) end,
    receive {raw_closed, Net} -> ok after 30_000 -> error(not_closed) end,
    ok = procket:close(FD).

icmp(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, icmp}]),
    ok = procket:connect(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
    {ok, Socket} = gen_raw:open({fd, FD}, [{active, true}]),
    Echo = fun(Sum) -> <<8, 0, Sum:16, 16#beef:16, 1:16, "echo">> end,
    ok = gen_raw:send(Socket, Echo(packet:makesum(Echo(0)))),
    %% The request and the answer, each with its header of IPv4.
    Types = [Type || <<_:160, Type, 0, _:16, 16#beef:16, 1:16, "echo">> <- raw_test:collect(Socket, 2)],
    ?assertEqual([0, 8], lists:sort(Types)),
    ok = gen_raw:close(Socket),
    ok = procket:close(FD).

netlink(_Config) ->
    {ok, FD} = procket:socket(netlink, raw, 0),
    {ok, Socket} = gen_raw:open({fd, FD}, [{active, true}]),
    %% RTM_GETLINK, NLM_F_REQUEST and NLM_F_DUMP.
    ok = gen_raw:send(Socket, <<32:32/native, 18:16/native, 16#301:16/native, 7:32/native, 0:32, 0:128>>),
    [<<_:32, 16:16/native, _:16, 7:32/native, _/binary>> | _] = raw_test:collect(Socket, 1),
    ok = gen_raw:close(Socket),
    ok = procket:close(FD).

%% What the BEAM closes is closed: the port is free.
closed_descriptor(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    {ok, Socket} = gen_raw:open({fd, FD}, [{active, true}]),
    ok = procket:close(FD),
    receive {raw_error, Socket, ebadf} -> ok after 30_000 -> error(no_error) end,
    receive {raw_closed, Socket} -> ok after 30_000 -> error(not_closed) end,
    {ok, Other} = procket:socket(inet, dgram, udp),
    procket_test:wait_until(fun() -> procket:bind(Other, Name) =:= ok end),
    ok = procket:close(Other).

%% One descriptor, many sockets one after the other, that end in either way: only the last one is remembered.
opened_again(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    Ends = [fun gen_raw:close/1, fun(Socket) -> exit(Socket, kill) end],
    [
        begin
            {ok, Socket} = gen_raw:open({fd, FD}, []),
            Monitor = monitor(process, Socket),
            _ = End(Socket),
            receive {'DOWN', Monitor, process, Socket, _} -> ok end
        end
     || End <- Ends ++ Ends
    ],
    {ok, Last} = gen_raw:open({fd, FD}, [{active, true}]),
    ?assertEqual([Last], gen_raw_server:sockets(FD)),
    ok = gen_raw:close(Last),
    ok = procket:close(FD).

no_messages(_Config) ->
    {ok, Stream} = procket:socket(inet, stream, tcp),
    ?assertEqual({error, enotsup}, gen_raw:open({fd, Stream}, [])),
    ok = procket:close(Stream),
    ?assertEqual({error, ebadf}, gen_raw:open({fd, 12_345}, [])),
    {ok, File} = prim_file:open("/etc/passwd", [read]),
    <<FD:32/native>> = prim_file:get_handle(File),
    ?assertEqual({error, enotsup}, gen_raw:open({fd, FD}, [])),
    ok = prim_file:close(File),
    {ok, Device} = procket:dev("net/tun"),
    ?assertEqual({error, enotsock}, gen_raw:open({fd, Device}, [{filter, [bpf:stmt(?BPF_RET + ?BPF_K, 0)]}])),
    ok = procket:close(Device).

idle(_Config) ->
    {A, B} = udp(),
    {ok, Socket} = gen_raw:open({fd, B}, [{active, true}]),
    timer:sleep(200),
    Before = raw_test:switches(Socket),
    timer:sleep(1000),
    ?assertEqual(Before, raw_test:switches(Socket)),
    ok = gen_raw:close(Socket),
    lists:foreach(fun procket:close/1, [A, B]).
