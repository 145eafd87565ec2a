%% The calls on sockets, each against the kernel: datagrams, streams, Unix sockets.
-module(calls_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

-define(MSG_PEEK, 2).
-define(MSG_TRUNC, 16#20).
-define(MSG_DONTWAIT, 16#40).
-define(MSG_ERRQUEUE, 16#2000).

all() ->
    [
        sendto_and_recvfrom, zero_length_datagram, zero_bytes_asked, long_datagram, peek_and_trunc, short_salen, connected_datagrams, error_queue,
        sendto_errors, connect_tcp, connect_refused, connect_null, connect_in_progress, listen_and_accept, accept_short_salen, accept_nothing,
        accept_errors, end_of_file, partial_write, megabytes, writev_stream, writev_datagram, read_errors, unix_abstract, unix_path
    ].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

%% Datagrams

sendto_and_recvfrom(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:sendto(A, <<"one">>, 0, NameB),
        ok = procket:sendto(A, <<"two">>, 0, NameB),
        ?assertEqual({ok, <<"one">>, NameA}, procket:recvfrom(B, 100, 0, 16)),
        ?assertEqual({ok, <<"tw">>}, procket:recvfrom(B, 2)),
        ?assertEqual({error, eagain}, procket:recvfrom(B, 100)),
        ?assertEqual({error, eagain}, procket:recv(B, 100))
    end).

zero_length_datagram(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:sendto(A, <<>>, 0, NameB),
        ?assertEqual({ok, <<>>, NameA}, procket:recvfrom(B, 100, 0, 16)),
        ?assertEqual({error, eagain}, procket:recvfrom(B, 100, 0, 16))
    end).

%% Asking for nothing of a datagram takes it away, as recv(2) does.
zero_bytes_asked(_Config) ->
    socket_test:with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:sendto(A, <<"gone">>, 0, NameB),
        ?assertEqual({ok, <<>>}, procket:recv(B, 0)),
        ?assertEqual({error, eagain}, procket:recv(B, 0)),
        ok = procket:sendto(A, <<"gone">>, 0, NameB),
        ?assertEqual({ok, <<>>}, procket:read(B, 0)),
        {ok, Pipe} = procket:dev("null"),
        ?assertEqual({ok, <<>>}, procket:read(Pipe, 0)),
        ok = procket:close(Pipe)
    end).

long_datagram(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        [
            begin
                Data = rand:bytes(Size),
                ok = procket:sendto(A, Data, 0, NameB),
                ?assertEqual({ok, Data, NameA}, procket:recvfrom(B, 65535, 0, 16))
            end
         || Size <- [1400, 32_000, 32_700, 32_768, 65_000, 65_507]
        ],
        ?assertEqual({error, emsgsize}, procket:sendto(A, rand:bytes(65_508), 0, NameB)),
        ?assertEqual({error, emsgsize}, procket:sendto(A, <<0:(20_000_000 * 8)>>, 0, NameB))
    end).

peek_and_trunc(_Config) ->
    socket_test:with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:sendto(A, <<"datagram">>, 0, NameB),
        ?assertEqual({ok, <<"data">>, <<>>}, procket:recvfrom(B, 4, ?MSG_PEEK, 0)),
        ?assertEqual({ok, <<"data", 0, 0, 0, 0>>, <<>>}, procket:recvfrom(B, 4, ?MSG_PEEK bor ?MSG_TRUNC, 0)),
        {ok, <<"data">>, Flags, []} = procket:recvmsg(B, 4, 0, 0),
        ?assertEqual(?MSG_TRUNC, Flags band ?MSG_TRUNC)
    end).

short_salen(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        [ok = procket:sendto(A, <<"x">>, 0, NameB) || _ <- lists:seq(1, 3)],
        <<Head:4/binary, _/binary>> = NameA,
        ?assertEqual({ok, <<"x">>, <<Head/binary, 0:96>>}, procket:recvfrom(B, 1, 0, 4)),
        ?assertEqual({ok, <<"x">>, <<>>}, procket:recvfrom(B, 1, 0, 0)),
        ?assertEqual({ok, <<"x">>, NameA}, procket:recvfrom(B, 1, 0, 10_000))
    end).

connected_datagrams(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:connect(A, NameB),
        ok = procket:sendto(A, <<"connected">>),
        ok = procket:sendto(A, <<"with flags">>, ?MSG_DONTWAIT),
        ok = procket:write(A, <<"written">>),
        ?assertEqual({ok, <<"connected">>, NameA}, procket:recvfrom(B, 100, 0, 16)),
        ?assertEqual({ok, <<"with flags">>}, procket:recv(B, 100)),
        ?assertEqual({ok, <<"written">>}, procket:read(B, 100))
    end).

%% What comes back when nobody listens: through the error queue, see ip(7), IP_RECVERR.
error_queue(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:setsockopt(FD, 'IPPROTO_IP', 'IP_RECVERR', <<1:32/native>>),
    Nobody = procket_test:sockaddr(procket_test:free_port(udp), {127, 0, 0, 1}),
    ok = procket:sendto(FD, <<"anyone?">>, 0, Nobody),
    procket_test:wait_until(fun() ->
        case procket:recvmsg(FD, 100, ?MSG_ERRQUEUE, 512, 16) of
            {ok, <<"anyone?">>, Flags, [{0, 11, <<Errno:32/native, _/binary>>}], Nobody} ->
                ?assertEqual(econnrefused, procket:errno_id(Errno)),
                Flags band ?MSG_ERRQUEUE =/= 0;
            {error, eagain} ->
                false
        end
    end),
    ok = procket:close(FD).

sendto_errors(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, edestaddrreq}, procket:sendto(FD, <<"x">>)),
    ?assertEqual({error, einval}, procket:sendto(FD, <<"x">>, 0, <<2:16/native>>)),
    ?assertEqual({error, einval}, procket:sendto(FD, <<"x">>, 0, <<0:8000>>)),
    {ok, Broken} = procket:socket(inet, stream, tcp),
    ?assertEqual({error, epipe}, procket:sendto(Broken, <<"x">>)),
    ?assertEqual({error, enotconn}, procket:recv(Broken, 1)),
    lists:foreach(fun procket:close/1, [FD, Broken]).

%% Streams

connect_tcp(_Config) ->
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    {ok, FD} = procket:socket(inet, stream, tcp),
    case procket:connect(FD, procket_test:sockaddr(Port, {127, 0, 0, 1})) of
        ok -> ok;
        {error, einprogress} -> socket_test:await(FD, write)
    end,
    ?assertEqual({ok, <<0:32>>}, procket:getsockopt(FD, 'SOL_SOCKET', 'SO_ERROR', <<0:32>>)),
    {ok, Peer} = gen_tcp:accept(Listener, 5000),
    ok = procket:write(FD, <<"hello">>),
    ?assertEqual({ok, <<"hello">>}, gen_tcp:recv(Peer, 5, 5000)),
    ok = gen_tcp:send(Peer, <<"world">>),
    socket_test:await(FD, read),
    ?assertEqual({ok, <<"world">>}, procket:read(FD, 100)),
    %% The first call after a connection in progress tells that it is there, the next that it was.
    _ = procket:connect(FD, procket_test:sockaddr(Port, {127, 0, 0, 1})),
    ?assertEqual({error, eisconn}, procket:connect(FD, procket_test:sockaddr(Port, {127, 0, 0, 1}))),
    lists:foreach(fun gen_tcp:close/1, [Peer, Listener]),
    ok = procket:close(FD).

connect_refused(_Config) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    case procket:connect(FD, procket_test:sockaddr(procket_test:free_port(tcp), {127, 0, 0, 1})) of
        {error, econnrefused} -> ok;
        {error, einprogress} ->
            socket_test:await(FD, write),
            {ok, <<Errno:32/native>>} = procket:getsockopt(FD, 'SOL_SOCKET', 'SO_ERROR', <<0:32>>),
            ?assertEqual(econnrefused, procket:errno_id(Errno))
    end,
    ok = procket:close(FD).

%% A NULL address is what the kernel makes of it: einval for a stream.
connect_null(_Config) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    ?assertEqual({error, einval}, procket:connect(FD, <<>>)),
    ?assertEqual({error, einval}, procket:connect(FD, <<0:8000>>)),
    ok = procket:close(FD).

connect_in_progress(_Config) ->
    {ok, Listener} = procket:open(0, [{protocol, tcp}, {ip, "127.0.0.1"}, {backlog, 0}]),
    {ok, Name} = procket:getsockname(Listener, <<0:128>>),
    %% One fits into the queue of a backlog of 0: those after it wait.
    FDs = [
        begin
            {ok, FD} = procket:socket(inet, stream, tcp),
            Result = procket:connect(FD, Name),
            ?assert(lists:member(Result, [ok, {error, einprogress}])),
            {FD, Result}
        end
     || _ <- lists:seq(1, 4)
    ],
    {Last, {error, einprogress}} = lists:last(FDs),
    ?assertEqual({error, ealready}, procket:connect(Last, Name)),
    [ok = procket:close(FD) || {FD, _} <- FDs],
    ok = procket:close(Listener).

listen_and_accept(_Config) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
    ok = procket:listen(FD),
    ok = procket:listen(FD, 1),
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:128>>),
    {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
    socket_test:await(FD, read),
    {ok, Peer, Address} = procket:accept(FD, 16),
    {ok, ClientPort} = inet:port(Client),
    ?assertEqual(procket_test:sockaddr(ClientPort, {127, 0, 0, 1}), Address),
    ok = procket:write(Peer, <<"accepted">>),
    ?assertEqual({ok, <<"accepted">>}, gen_tcp:recv(Client, 8, 5000)),
    ok = gen_tcp:close(Client),
    lists:foreach(fun procket:close/1, [Peer, FD]).

accept_short_salen(_Config) ->
    socket_test:with_listener(fun(FD, Connect) ->
        {Client, Name} = Connect(),
        <<Head:3/binary, _/binary>> = Name,
        {ok, Peer, Address} = procket:accept(FD, 3),
        ?assertEqual(<<Head/binary, 0:104>>, Address),
        {Client2, _} = Connect(),
        {ok, Peer2} = procket:accept(FD),
        ?assertMatch({ok, Name2} when Name2 =/= <<>>, procket:getsockname(Peer2, <<0:128>>)),
        lists:foreach(fun gen_tcp:close/1, [Client, Client2]),
        lists:foreach(fun procket:close/1, [Peer, Peer2])
    end).

accept_nothing(_Config) ->
    socket_test:with_listener(fun(FD, _Connect) ->
        ?assertEqual({error, eagain}, procket:accept(FD)),
        ?assertEqual({error, eagain}, procket:accept(FD, 16))
    end).

accept_errors(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, enotsup}, procket:accept(FD)),
    ?assertEqual({error, enotsup}, procket:listen(FD)),
    ok = procket:close(FD).

end_of_file(_Config) ->
    socket_test:with_stream(fun(FD, Peer) ->
        ok = gen_tcp:send(Peer, <<"last">>),
        ok = gen_tcp:close(Peer),
        socket_test:await(FD, read),
        ?assertEqual({ok, <<"last">>}, procket:read(FD, 100)),
        socket_test:await(FD, read),
        ?assertEqual({ok, <<>>}, procket:read(FD, 100)),
        ?assertEqual({ok, <<>>}, procket:recv(FD, 100))
    end).

partial_write(_Config) ->
    socket_test:with_stream(fun(FD, _Peer) ->
        {Sent, Result} = socket_test:fill(FD, 0),
        ?assertEqual({error, eagain}, Result),
        ?assert(Sent > 0)
    end).

megabytes(_Config) ->
    socket_test:with_stream(fun(FD, Peer) ->
        Data = rand:bytes(10_000_000),
        spawn_link(fun() -> write_all(FD, Data) end),
        {ok, Received} = gen_tcp:recv(Peer, byte_size(Data), 60_000),
        ?assert(Data =:= Received),
        spawn_link(fun() -> ok = gen_tcp:send(Peer, Data) end),
        ?assert(Data =:= read_all(FD, byte_size(Data), []))
    end).

write_all(_FD, <<>>) ->
    ok;
write_all(FD, Data) ->
    case procket:write(FD, Data) of
        ok -> ok;
        {ok, Sent} -> write_all(FD, binary:part(Data, Sent, byte_size(Data) - Sent));
        {error, eagain} ->
            socket_test:await(FD, write),
            write_all(FD, Data)
    end.

read_all(_FD, 0, Chunks) ->
    iolist_to_binary(lists:reverse(Chunks));
read_all(FD, Left, Chunks) ->
    case procket:read(FD, 3_000_000) of
        {ok, Chunk} -> read_all(FD, Left - byte_size(Chunk), [Chunk | Chunks]);
        {error, eagain} ->
            socket_test:await(FD, read),
            read_all(FD, Left, Chunks)
    end.

writev_stream(_Config) ->
    socket_test:with_stream(fun(FD, Peer) ->
        ok = procket:writev(FD, [<<"a">>, <<>>, <<"bc">>]),
        ok = procket:write(FD, [<<"d">>, <<"e">>]),
        ?assertEqual({ok, <<"abcde">>}, gen_tcp:recv(Peer, 5, 5000))
    end).

writev_datagram(_Config) ->
    socket_test:with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:connect(A, NameB),
        ok = procket:writev(A, [<<"one ">>, <<"datagram">>]),
        ?assertEqual({ok, <<"one datagram">>}, procket:recv(B, 100))
    end).

read_errors(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, eagain}, procket:read(FD, 10)),
    ?assertEqual({error, edestaddrreq}, procket:write(FD, <<"x">>)),
    ok = procket:close(FD).

%% Unix sockets

unix_abstract(_Config) ->
    Name = iolist_to_binary(["procket-", os:getpid()]),
    Sockaddr = <<(procket:sockaddr_common(procket:family(local), 0))/binary, 0, Name/binary>>,
    {ok, A} = procket:socket(local, dgram, 0),
    {ok, B} = procket:socket(local, dgram, 0),
    ok = procket:bind(A, Sockaddr),
    ?assertEqual({ok, Sockaddr}, procket:getsockname(A, <<0:880>>)),
    ok = procket:sendto(B, <<"abstract">>, 0, Sockaddr),
    ?assertEqual({ok, <<"abstract">>, <<1:16/native>>}, unnamed(procket:recvfrom(A, 100, 0, 110))),
    lists:foreach(fun procket:close/1, [A, B]).

%% The kernel gives no address at all, or that of the family alone, for an unbound Unix socket.
unnamed({ok, Data, <<>>}) -> {ok, Data, <<1:16/native>>};
unnamed(Other) -> Other.

unix_path(_Config) ->
    Path = unicode:characters_to_binary("/tmp/procket-calls-" ++ os:getpid()),
    Sockaddr = <<(procket:sockaddr_common(procket:family(local), 0))/binary, Path/binary, 0>>,
    {ok, FD} = procket:socket(unix, stream, 0),
    ok = procket:bind(FD, Sockaddr),
    try
        ok = procket:listen(FD),
        {ok, Client} = gen_tcp:connect({local, Path}, 0, [local, binary, {active, false}]),
        {ok, Peer} = procket:accept(FD),
        ok = procket:write(Peer, <<"unix">>),
        ?assertEqual({ok, <<"unix">>}, gen_tcp:recv(Client, 4, 5000)),
        ok = gen_tcp:close(Client),
        lists:foreach(fun procket:close/1, [Peer, FD])
    after
        file:delete(Path)
    end.
