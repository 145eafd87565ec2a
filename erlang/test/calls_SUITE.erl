%% The calls on descriptors, each against the kernel.
-module(calls_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

-define(MSG_PEEK, 2).
-define(MSG_TRUNC, 16#20).
-define(MSG_CTRUNC, 8).
-define(MSG_DONTWAIT, 16#40).
-define(MSG_ERRQUEUE, 16#2000).
-define(SOL_SOCKET, 1).
-define(SCM_RIGHTS, 1).
-define(SCM_CREDENTIALS, 2).

all() ->
    [
        sendto_and_recvfrom, zero_length_datagram, zero_bytes_asked, long_datagram, peek_and_trunc, short_salen, connected_datagrams, error_queue,
        sendto_errors, connect_tcp, connect_refused, connect_null, connect_in_progress, listen_and_accept, accept_short_salen, accept_nothing, accept_errors,
        end_of_file, partial_write, megabytes, writev_stream, writev_datagram, read_errors, unix_abstract, unix_path,
        recvmsg_plain, pktinfo, pktinfo6, timestamps, credentials, rights, rights_bad, rights_cut, control_truncated, bad_control,
        sockopts, sockopt_names, sockopt_errors, getsockopt_size, ioctl_structure, ioctl_integer, ioctl_short_buffer, ioctl_errors,
        nonblock, blocking_mode, blocking_pipe, foreign_descriptor, reused_number, bad_descriptors, wrong_types,
        setns_and_back, constants, constants_both_ways, byte_order, wordalign, hundred_callers, hundred_thousand_calls
    ].

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_testcase(Case, Config) when Case =:= setns_and_back -> procket_test:need_root(Config);
init_per_testcase(_, Config) -> Config.

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

%% Datagrams

sendto_and_recvfrom(_Config) ->
    with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:sendto(A, <<"one">>, 0, NameB),
        ok = procket:sendto(A, <<"two">>, 0, NameB),
        ?assertEqual({ok, <<"one">>, NameA}, procket:recvfrom(B, 100, 0, 16)),
        ?assertEqual({ok, <<"tw">>}, procket:recvfrom(B, 2)),
        ?assertEqual({error, eagain}, procket:recvfrom(B, 100)),
        ?assertEqual({error, eagain}, procket:recv(B, 100))
    end).

zero_length_datagram(_Config) ->
    with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:sendto(A, <<>>, 0, NameB),
        ?assertEqual({ok, <<>>, NameA}, procket:recvfrom(B, 100, 0, 16)),
        ?assertEqual({error, eagain}, procket:recvfrom(B, 100, 0, 16))
    end).

%% Asking for nothing of a datagram takes it away, as recv(2) does.
zero_bytes_asked(_Config) ->
    with_udp_pair(fun(A, _NameA, B, NameB) ->
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
    with_udp_pair(fun(A, NameA, B, NameB) ->
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
    with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:sendto(A, <<"datagram">>, 0, NameB),
        ?assertEqual({ok, <<"data">>, <<>>}, procket:recvfrom(B, 4, ?MSG_PEEK, 0)),
        ?assertEqual({ok, <<"data", 0, 0, 0, 0>>, <<>>}, procket:recvfrom(B, 4, ?MSG_PEEK bor ?MSG_TRUNC, 0)),
        {ok, <<"data">>, Flags, []} = procket:recvmsg(B, 4, 0, 0),
        ?assertEqual(?MSG_TRUNC, Flags band ?MSG_TRUNC)
    end).

short_salen(_Config) ->
    with_udp_pair(fun(A, NameA, B, NameB) ->
        [ok = procket:sendto(A, <<"x">>, 0, NameB) || _ <- lists:seq(1, 3)],
        <<Head:4/binary, _/binary>> = NameA,
        ?assertEqual({ok, <<"x">>, <<Head/binary, 0:96>>}, procket:recvfrom(B, 1, 0, 4)),
        ?assertEqual({ok, <<"x">>, <<>>}, procket:recvfrom(B, 1, 0, 0)),
        ?assertEqual({ok, <<"x">>, NameA}, procket:recvfrom(B, 1, 0, 10_000))
    end).

connected_datagrams(_Config) ->
    with_udp_pair(fun(A, NameA, B, NameB) ->
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
        {error, einprogress} -> await(FD, write)
    end,
    ?assertEqual({ok, <<0:32>>}, procket:getsockopt(FD, 'SOL_SOCKET', 'SO_ERROR', <<0:32>>)),
    {ok, Peer} = gen_tcp:accept(Listener, 5000),
    ok = procket:write(FD, <<"hello">>),
    ?assertEqual({ok, <<"hello">>}, gen_tcp:recv(Peer, 5, 5000)),
    ok = gen_tcp:send(Peer, <<"world">>),
    await(FD, read),
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
            await(FD, write),
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
    await(FD, read),
    {ok, Peer, Address} = procket:accept(FD, 16),
    {ok, ClientPort} = inet:port(Client),
    ?assertEqual(procket_test:sockaddr(ClientPort, {127, 0, 0, 1}), Address),
    ok = procket:write(Peer, <<"accepted">>),
    ?assertEqual({ok, <<"accepted">>}, gen_tcp:recv(Client, 8, 5000)),
    ok = gen_tcp:close(Client),
    lists:foreach(fun procket:close/1, [Peer, FD]).

accept_short_salen(_Config) ->
    with_listener(fun(FD, Connect) ->
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
    with_listener(fun(FD, _Connect) ->
        ?assertEqual({error, eagain}, procket:accept(FD)),
        ?assertEqual({error, eagain}, procket:accept(FD, 16))
    end).

accept_errors(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, eopnotsupp}, procket:accept(FD)),
    ?assertEqual({error, eopnotsupp}, procket:listen(FD)),
    ok = procket:close(FD).

end_of_file(_Config) ->
    with_stream(fun(FD, Peer) ->
        ok = gen_tcp:send(Peer, <<"last">>),
        ok = gen_tcp:close(Peer),
        await(FD, read),
        ?assertEqual({ok, <<"last">>}, procket:read(FD, 100)),
        await(FD, read),
        ?assertEqual({ok, <<>>}, procket:read(FD, 100)),
        ?assertEqual({ok, <<>>}, procket:recv(FD, 100))
    end).

partial_write(_Config) ->
    with_stream(fun(FD, _Peer) ->
        {Sent, Result} = fill(FD, 0),
        ?assertEqual({error, eagain}, Result),
        ?assert(Sent > 0)
    end).

fill(FD, Sent) ->
    Data = <<0:(1_000_000 * 8)>>,
    case procket:write(FD, Data) of
        ok -> fill(FD, Sent + byte_size(Data));
        {ok, Part} when Part < byte_size(Data) -> fill(FD, Sent + Part);
        Error -> {Sent, Error}
    end.

megabytes(_Config) ->
    with_stream(fun(FD, Peer) ->
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
            await(FD, write),
            write_all(FD, Data)
    end.

read_all(_FD, 0, Chunks) ->
    iolist_to_binary(lists:reverse(Chunks));
read_all(FD, Left, Chunks) ->
    case procket:read(FD, 3_000_000) of
        {ok, Chunk} -> read_all(FD, Left - byte_size(Chunk), [Chunk | Chunks]);
        {error, eagain} ->
            await(FD, read),
            read_all(FD, Left, Chunks)
    end.

writev_stream(_Config) ->
    with_stream(fun(FD, Peer) ->
        ok = procket:writev(FD, [<<"a">>, <<>>, <<"bc">>]),
        ok = procket:write(FD, [<<"d">>, <<"e">>]),
        ok = procket:writev(FD, []),
        ?assertEqual({ok, <<"abcde">>}, gen_tcp:recv(Peer, 5, 5000))
    end).

writev_datagram(_Config) ->
    with_udp_pair(fun(A, _NameA, B, NameB) ->
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

unix_path(Config) ->
    Path = unicode:characters_to_binary("/tmp/procket-calls-" ++ os:getpid()),
    Sockaddr = <<(procket:sockaddr_common(procket:family(local), 0))/binary, Path/binary, 0>>,
    _ = Config,
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

%% Control messages

recvmsg_plain(_Config) ->
    with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:sendmsg(A, <<"one">>, 0, [], NameB),
        ?assertEqual({ok, <<"one">>, 0, [], NameA}, procket:recvmsg(B, 100, 0, 100, 16)),
        ?assertEqual({error, eagain}, procket:recvmsg(B, 100, 0, 100, 16)),
        ?assertEqual({error, eagain}, procket:recvmsg(B, 100, 0, 0)),
        ok = procket:connect(A, NameB),
        ok = procket:sendmsg(A, <<"two">>, 0, []),
        ?assertEqual({ok, <<"two">>, 0, []}, procket:recvmsg(B, 100, 0, 0))
    end).

pktinfo(_Config) ->
    with_udp_pair(fun(A, _NameA, B, <<_:16, Port:16, _/binary>>) ->
        ok = procket:setsockopt(B, 'IPPROTO_IP', 'IP_PKTINFO', <<1:32/native>>),
        {ok, Any} = procket:socket(inet, dgram, udp),
        %% Sent from 127.0.0.3, to an address of the loopback network.
        From = [{0, 8, <<0:32, 127, 0, 0, 3, 0:32>>}],
        ok = procket:sendmsg(Any, <<"x">>, 0, From, procket_test:sockaddr(Port, {127, 0, 0, 1})),
        {ok, Index} = net:if_name2index("lo"),
        ?assertMatch(
            {ok, <<"x">>, 0, [{0, 8, <<Index:32/native, 127, 0, 0, 1, 127, 0, 0, 1>>}], <<_:32, 127, 0, 0, 3, _/binary>>},
            procket:recvmsg(B, 100, 0, 64, 16)
        ),
        ok = procket:close(Any),
        _ = A
    end).

pktinfo6(_Config) ->
    {ok, B} = procket:open(0, [{protocol, udp}, {ip, "::1"}]),
    {ok, Name} = procket:getsockname(B, <<0:224>>),
    ok = procket:setsockopt(B, 'IPPROTO_IPV6', 'IPV6_RECVPKTINFO', <<1:32/native>>),
    {ok, A} = procket:socket(inet6, dgram, udp),
    ok = procket:sendto(A, <<"x">>, 0, Name),
    {ok, Index} = net:if_name2index("lo"),
    ?assertMatch({ok, <<"x">>, 0, [{41, 50, <<1:128, Index:32/native>>}], _}, procket:recvmsg(B, 100, 0, 64, 28)),
    lists:foreach(fun procket:close/1, [A, B]).

timestamps(_Config) ->
    with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:setsockopt(B, 'SOL_SOCKET', 'SO_TIMESTAMPNS', <<1:32/native>>),
        ok = procket:sendto(A, <<"x">>, 0, NameB),
        {ok, <<"x">>, 0, [{?SOL_SOCKET, _, <<Seconds:64/native, Nano:64/native>>}]} = procket:recvmsg(B, 100, 0, 64),
        ?assert(abs(Seconds - os:system_time(second)) < 60),
        ?assert(Nano < 1_000_000_000)
    end).

credentials(_Config) ->
    with_unix_pair(fun(A, B) ->
        ok = procket:setsockopt(B, 'SOL_SOCKET', 'SO_PASSCRED', <<1:32/native>>),
        ok = procket:write(A, <<"x">>),
        {ok, <<"x">>, 0, [{?SOL_SOCKET, ?SCM_CREDENTIALS, <<_Pid:32/native, Uid:32/native, _Gid:32/native>>}]} =
            procket:recvmsg(B, 100, 0, 64),
        ?assertEqual(string:trim(procket_test:sh_ok("id -u")), integer_to_list(Uid))
    end).

rights(_Config) ->
    with_unix_pair(fun(A, B) ->
        {ok, Socket} = gen_udp:open(0),
        {ok, FD} = inet:getfd(Socket),
        {ok, Name} = procket:getsockname(FD, <<0:128>>),
        Two = <<FD:32/native, FD:32/native>>,
        ok = procket:sendmsg(A, <<"x">>, 0, [{?SOL_SOCKET, ?SCM_RIGHTS, Two}]),
        {ok, <<"x">>, _, [{?SOL_SOCKET, ?SCM_RIGHTS, <<FD1:32/native, FD2:32/native>>}]} = procket:recvmsg(B, 100, 0, 64),
        ?assertEqual(3, length(lists:usort([FD, FD1, FD2]))),
        ok = gen_udp:close(Socket),
        ?assertEqual({ok, Name}, procket:getsockname(FD1, <<0:128>>)),
        ok = procket:close(FD1),
        ?assertEqual({ok, Name}, procket:getsockname(FD2, <<0:128>>)),
        ok = procket:close(FD2)
    end).

rights_bad(_Config) ->
    with_unix_pair(fun(A, B) ->
        ?assertEqual({error, ebadf}, procket:sendmsg(A, <<"x">>, 0, [{?SOL_SOCKET, ?SCM_RIGHTS, <<9999:32/native>>}])),
        ?assertError(badarg, procket:sendmsg(A, <<"x">>, 0, [{?SOL_SOCKET, ?SCM_RIGHTS, <<1, 2, 3>>}])),
        ?assertEqual({error, eagain}, procket:recv(B, 1))
    end).

%% Descriptors for which there was no room are closed, not left in the worker.
rights_cut(_Config) ->
    with_unix_pair(fun(A, B) ->
        {ok, FD} = procket:socket(inet, dgram, udp),
        Worker = procket_test:os_pid(worker),
        Before = {procket_test:open_fds(), procket_test:open_fds(Worker)},
        Rights = [{?SOL_SOCKET, ?SCM_RIGHTS, <<FD:32/native, FD:32/native, FD:32/native>>}],
        ok = procket:sendmsg(A, <<"x">>, 0, Rights),
        {ok, <<"x">>, Flags, [{?SOL_SOCKET, ?SCM_RIGHTS, Got}]} = procket:recvmsg(B, 100, 0, 24),
        ?assertEqual(?MSG_CTRUNC, Flags band ?MSG_CTRUNC),
        [ok = procket:close(F) || <<F:32/native>> <= Got],
        ok = procket:sendmsg(A, <<"y">>, 0, Rights),
        {ok, <<"y">>, _, []} = procket:recvmsg(B, 100, 0, 0),
        procket_test:wait_until(fun() -> {procket_test:open_fds(), procket_test:open_fds(Worker)} =:= Before end),
        ok = procket:close(FD)
    end).

control_truncated(_Config) ->
    with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:setsockopt(B, 'IPPROTO_IP', 'IP_PKTINFO', <<1:32/native>>),
        ok = procket:sendto(A, <<"x">>, 0, NameB),
        {ok, <<"x">>, Flags, _} = procket:recvmsg(B, 100, 0, 8),
        ?assertEqual(?MSG_CTRUNC, Flags band ?MSG_CTRUNC)
    end).

bad_control(_Config) ->
    with_udp_pair(fun(A, _NameA, _B, NameB) ->
        ?assertError(badarg, procket:sendmsg(A, <<"x">>, 0, [x], NameB)),
        ?assertError(badarg, procket:sendmsg(A, <<"x">>, 0, [{1, 2, 3}], NameB)),
        ?assertEqual({error, einval}, procket:sendmsg(A, <<"x">>, 0, [{0, 8, <<1>>}], NameB))
    end).

%% Options and requests

sockopts(_Config) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    ?assertEqual({ok, <<0:32>>}, procket:getsockopt(FD, 1, 2, <<0:32>>)),
    ok = procket:setsockopt(FD, 1, 2, <<1:32/native>>),
    ?assertEqual({ok, <<1:32/native>>}, procket:getsockopt(FD, 'SOL_SOCKET', 'SO_REUSEADDR', <<0:32>>)),
    ok = procket:close(FD).

sockopt_names(_Config) ->
    {ok, FD} = procket:socket(inet6, stream, tcp),
    [
        begin
            ok = procket:setsockopt(FD, Level, Option, <<1:32/native>>),
            ?assertEqual({ok, <<1:32/native>>}, procket:getsockopt(FD, Level, Option, <<0:32>>))
        end
     || {Level, Option} <- [{'SOL_SOCKET', 'SO_REUSEPORT'}, {'IPPROTO_IPV6', 'IPV6_V6ONLY'}, {'IPPROTO_TCP', 'TCP_NODELAY'}, {'SOL_TCP', 'TCP_QUICKACK'}]
    ],
    ok = procket:close(FD).

sockopt_errors(_Config) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    ?assertEqual({error, unsupported}, procket:setsockopt(FD, 'SOL_SOCKET', 'SO_NOT_THERE', <<1:32/native>>)),
    ?assertEqual({error, unsupported}, procket:getsockopt(FD, 'SOL_NOT_THERE', 'SO_REUSEADDR', <<0:32>>)),
    ?assertEqual({error, enoprotoopt}, procket:setsockopt(FD, 1, 9999, <<1:32/native>>)),
    ?assertEqual({error, einval}, procket:setsockopt(FD, 1, 2, <<1>>)),
    ok = procket:close(FD).

getsockopt_size(_Config) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    ok = procket:setsockopt(FD, 1, 2, <<1:32/native>>),
    ?assertEqual({ok, <<1, 0>>}, procket:getsockopt(FD, 1, 2, <<0:16>>)),
    ?assertEqual({ok, <<1:32/native>>}, procket:getsockopt(FD, 1, 2, <<0:800>>)),
    {ok, Info} = procket:getsockopt(FD, 'IPPROTO_TCP', 'TCP_INFO', <<0:(1000 * 8)>>),
    ?assert(byte_size(Info) > 100 andalso byte_size(Info) < 1000),
    ok = procket:close(FD).

%% SIOCGIFINDEX
ioctl_structure(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    {ok, Index} = net:if_name2index("lo"),
    Ifreq = <<"lo", 0:(38 * 8)>>,
    {ok, Got} = procket:ioctl(FD, 16#8933, Ifreq),
    ?assertMatch(<<"lo", 0:112, Index:32/native, 0:(20 * 8)>>, Got),
    ok = procket:close(FD).

%% FIONBIO by pointer, and by value what TUNSETPERSIST takes.
ioctl_integer(_Config) ->
    case procket:dev("net/tun") of
        {ok, FD} ->
            {ok, _} = procket:ioctl(FD, 16#400454ca, <<0:128, 16#1002:16/native, 0:(22 * 8)>>),
            ?assertEqual({ok, <<>>}, procket:ioctl(FD, 16#400454cb, 0)),
            ?assertEqual({ok, <<>>}, procket:ioctl(FD, 16#400454c9, 1)),
            ok = procket:close(FD);
        {error, Reason} when Reason =:= eacces; Reason =:= eperm; Reason =:= enoent ->
            {skip, "no /dev/net/tun"}
    end.

%% The kernel writes a whole struct ifreq: the rest of it does not land in memory of others.
ioctl_short_buffer(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({ok, <<"lo">>}, procket:ioctl(FD, 16#8933, <<"lo">>)),
    Worker = procket_test:os_pid(worker),
    [procket:ioctl(FD, 16#8933, <<"lo">>) || _ <- lists:seq(1, 1000)],
    ?assertEqual(Worker, procket_test:os_pid(worker)),
    ok = procket:close(FD).

ioctl_errors(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, enotty}, procket:ioctl(FD, 16#ffff, <<0:320>>)),
    ?assertEqual({error, enodev}, procket:ioctl(FD, 16#8933, <<"nothere", 0:(33 * 8)>>)),
    ?assertEqual({error, efault}, procket:ioctl(FD, 16#8933, 1)),
    ok = procket:close(FD).

%% Blocking mode

nonblock(_Config) ->
    {ok, Socket} = socket:open(inet, dgram, udp),
    {ok, FD} = socket:getopt(Socket, otp, fd),
    ok = procket:set_sock_nonblock(FD),
    ?assertEqual(ebadf, procket:set_sock_nonblock(9999)),
    ok = socket:close(Socket).

blocking_mode(_Config) ->
    with_blocking(dgram, fun(FD) ->
        ?assertEqual({error, eagain}, procket:recv(FD, 10)),
        ?assertEqual({error, eagain}, procket:recvmsg(FD, 10, 0, 100, 16)),
        ?assertEqual({error, eagain}, procket:read(FD, 10)),
        ?assert(is_blocking(FD))
    end),
    with_blocking(stream, fun(FD) ->
        ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
        ok = procket:listen(FD),
        ?assertEqual({error, eagain}, procket:accept(FD)),
        ?assert(is_blocking(FD))
    end),
    with_listener(fun(Listener, _) ->
        {ok, Name} = procket:getsockname(Listener, <<0:128>>),
        with_blocking(stream, fun(FD) ->
            ?assert(lists:member(procket:connect(FD, Name), [ok, {error, einprogress}])),
            {_, Result} = fill(FD, 0),
            ?assertEqual({error, eagain}, Result),
            ?assert(is_blocking(FD))
        end)
    end).

%% A pipe that another process reads: the worker never waits for it.
blocking_pipe(_Config) ->
    Path = "/tmp/procket-fifo-" ++ os:getpid(),
    _ = procket_test:sh_ok(["mkfifo ", Path]),
    try
        {ok, File} = prim_file:open(list_to_binary(Path), [read, write]),
        FD = fd_of(Path),
        ?assertEqual({error, eagain}, procket:read(FD, 10)),
        ok = procket:write(FD, <<"pipe">>),
        ?assertEqual({ok, <<"pipe">>}, procket:read(FD, 10)),
        {_, Result} = fill(FD, 0),
        ?assertEqual({error, eagain}, Result),
        ok = prim_file:close(File)
    after
        file:delete(Path)
    end.

fd_of(Path) ->
    {ok, Names} = file:list_dir("/proc/self/fd"),
    [FD] = [list_to_integer(N) || N <- Names, file:read_link("/proc/self/fd/" ++ N) =:= {ok, Path}],
    FD.

with_blocking(Type, Fun) ->
    {ok, FD} = procket:socket(inet, Type, 0),
    %% FIONBIO
    {ok, _} = procket:ioctl(FD, 16#5421, <<0:32>>),
    ?assert(is_blocking(FD)),
    Fun(FD),
    ok = procket:close(FD).

is_blocking(FD) ->
    {ok, Info} = file:read_file("/proc/self/fdinfo/" ++ integer_to_list(FD)),
    {match, [Octal]} = re:run(Info, "flags:\\s*([0-7]+)", [{capture, [1], list}]),
    list_to_integer(Octal, 8) band 8#4000 =:= 0.

%% Whose descriptor

foreign_descriptor(_Config) ->
    {ok, Socket} = gen_udp:open(0, [binary, {active, false}, {ip, {127, 0, 0, 1}}]),
    {ok, FD} = inet:getfd(Socket),
    {ok, Port} = inet:port(Socket),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    ?assertEqual(procket_test:sockaddr(Port, {127, 0, 0, 1}), Name),
    ok = procket:sendto(FD, <<"to itself">>, 0, Name),
    ?assertEqual({ok, <<"to itself">>}, procket:recv(FD, 100)),
    ok = gen_udp:close(Socket).

reused_number(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    ok = procket:close(FD),
    ?assertEqual({error, ebadf}, procket:getsockname(FD, <<0:128>>)),
    {ok, FD2} = procket:socket(inet6, dgram, udp),
    ?assertEqual(FD, FD2),
    ?assertMatch({ok, <<10:16/native, _/binary>>}, procket:getsockname(FD2, <<0:224>>)),
    %% No copy holds the address.
    {ok, FD3} = procket:socket(inet, dgram, udp),
    ok = procket:bind(FD3, Name),
    lists:foreach(fun procket:close/1, [FD2, FD3]).

bad_descriptors(_Config) ->
    Calls = [
        fun(FD) -> procket:bind(FD, <<>>) end, fun(FD) -> procket:connect(FD, <<>>) end, fun(FD) -> procket:listen(FD) end,
        fun(FD) -> procket:accept(FD) end, fun(FD) -> procket:accept(FD, 16) end, fun(FD) -> procket:recv(FD, 1) end, fun(FD) -> procket:recvfrom(FD, 1, 0, 16) end,
        fun(FD) -> procket:recvmsg(FD, 1, 0, 0) end, fun(FD) -> procket:recvmsg(FD, 1, 0, 100, 16) end, fun(FD) -> procket:sendto(FD, <<>>) end,
        fun(FD) -> procket:sendmsg(FD, <<>>, 0, []) end, fun(FD) -> procket:read(FD, 1) end, fun(FD) -> procket:write(FD, <<"x">>) end, fun(FD) -> procket:writev(FD, [<<"x">>]) end,
        fun(FD) -> procket:setsockopt(FD, 1, 2, <<>>) end, fun(FD) -> procket:getsockopt(FD, 1, 2, <<>>) end,
        fun(FD) -> procket:getsockname(FD, <<>>) end, fun(FD) -> procket:ioctl(FD, 1, <<>>) end, fun(FD) -> procket:select(FD, read) end, fun(FD) -> procket:close(FD) end
    ],
    [?assertEqual({error, ebadf}, Call(FD)) || Call <- Calls, FD <- [9999, 16#7fffffff, 16#80000000, 1 bsl 40]].

wrong_types(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    Calls = [
        fun() -> procket:bind(FD, x) end, fun() -> procket:bind(-1, <<>>) end, fun() -> procket:connect(FD, []) end, fun() -> procket:listen(FD, 1 bsl 31) end,
        fun() -> procket:accept(FD, -1) end, fun() -> procket:recvfrom(FD, -1) end, fun() -> procket:recvfrom(FD, 1, 1 bsl 31, 0) end,
        fun() -> procket:recvmsg(FD, 1, 0, -1) end, fun() -> procket:sendto(FD, "list") end, fun() -> procket:sendto(FD, <<>>, a) end, fun() -> procket:sendmsg(FD, <<>>, 0, x) end,
        fun() -> procket:read(FD, a) end, fun() -> procket:write(FD, 1) end, fun() -> procket:writev(FD, <<>>) end, fun() -> procket:setsockopt(FD, "a", 1, <<>>) end,
        fun() -> procket:getsockopt(FD, 1, 1, 4) end, fun() -> procket:getsockname(FD, 16) end, fun() -> procket:ioctl(FD, a, <<>>) end, fun() -> procket:ioctl(FD, 1, a) end,
        fun() -> procket:select(FD, both) end, fun() -> procket:select_stop(x) end, fun() -> procket:setns(x) end, fun() -> procket:alloc(x) end, fun() -> procket:buf(x) end,
        fun() -> procket:memcpy(make_ref(), x) end, fun() -> procket:set_sock_nonblock(x) end
    ],
    [
        try Call() of
            Result -> error({no_exception, N, Result})
        catch
            error:function_clause -> ok;
            error:badarg -> ok
        end
     || {N, Call} <- lists:enumerate(Calls)
    ],
    ok = procket:close(FD).

%% The worker's namespace, and with it that of the sockets made afterwards.
setns_and_back(_Config) ->
    procket_test:with_netns(fun(Name) ->
        ?assertEqual({error, enoent}, procket:setns("/run/netns/not-there")),
        ?assertEqual({error, einval}, procket:setns("/etc/passwd")),
        ok = procket:setns("/run/netns/" ++ Name, 16#40000000),
        {ok, FD} = procket:socket(inet, dgram, udp),
        %% SIOCGIFCONF would list them all: the namespace has loopback alone.
        ?assertMatch({ok, _}, procket:ioctl(FD, 16#8933, <<"lo", 0:(38 * 8)>>)),
        ok = procket:setns("/proc/" ++ os:getpid() ++ "/ns/net"),
        {ok, Link} = file:read_link("/proc/" ++ os:getpid() ++ "/ns/net"),
        ?assertEqual({ok, Link}, file:read_link("/proc/" ++ procket_test:os_pid(worker) ++ "/ns/net")),
        ok = procket:close(FD)
    end).

%% Constants and arithmetic

constants(_Config) ->
    [
        begin
            ?assert(length(Table) > Least),
            ?assertEqual([], [C || C = {N, V} <- Table, not (is_atom(N) andalso is_integer(V))])
        end
     || {Table, Least} <- [{procket:socket_level(), 30}, {procket:socket_optname(), 200}, {procket:socket_protocol(), 20}]
    ].

constants_both_ways(_Config) ->
    ?assertEqual(1, procket:socket_level('SOL_SOCKET')),
    ?assertEqual('SOL_SOCKET', procket:socket_level(1)),
    ?assertEqual(41, procket:socket_level('IPPROTO_IPV6')),
    ?assertEqual(15, procket:socket_optname('SO_REUSEPORT')),
    ?assertEqual('SO_REUSEPORT', procket:socket_optname(15)),
    %% Of those that share a number, the one of every socket.
    ?assertEqual(['SO_DEBUG', 'SO_REUSEADDR', 'SO_TYPE', 'SO_ERROR'], [procket:socket_optname(N) || N <- [1, 2, 3, 4]]),
    ?assertEqual(26, procket:socket_optname('IPV6_V6ONLY')),
    ?assertEqual(58, procket:socket_protocol('IPPROTO_ICMPV6')),
    ?assertEqual('IPPROTO_UDP', procket:socket_protocol(17)),
    ?assertEqual(undefined, procket:socket_optname('SO_NOT_THERE')),
    ?assertEqual(undefined, procket:socket_level(123456)),
    ?assertEqual(undefined, procket:socket_protocol(123456)).

byte_order(_Config) ->
    <<Long:32/native>> = <<1, 2, 3, 4>>,
    <<Short:16/native>> = <<1, 2>>,
    ?assertEqual(16#01020304, procket:ntohl(Long)),
    ?assertEqual(16#01020304, procket:ntohl(<<1, 2, 3, 4>>)),
    ?assertEqual(16#0102, procket:ntohs(Short)),
    ?assertEqual(16#0102, procket:ntohs(<<1, 2>>)),
    ?assertError(function_clause, procket:ntohs(16#10000)).

wordalign(_Config) ->
    ?assertEqual([0, 7, 6, 1, 0, 7], [procket:wordalign(N, 8) || N <- [0, 1, 2, 7, 8, 9]]),
    ?assertEqual([0, 3, 2, 1, 0], [procket:wordalign(N, 4) || N <- [0, 1, 2, 3, 4]]),
    ?assertEqual(erlang:system_info({wordsize, external}) - 1, procket:wordalign(1)),
    ?assertError(function_clause, procket:wordalign(1, 0)).

%% Neither answers nor descriptors are mixed up.
hundred_callers(_Config) ->
    {ok, Shared} = procket:socket(inet, dgram, udp),
    ok = procket:bind(Shared, procket_test:sockaddr(0, {127, 0, 0, 1})),
    {ok, SharedName} = procket:getsockname(Shared, <<0:128>>),
    Run = fun() ->
        {ok, Own} = procket:socket(inet, dgram, udp),
        ok = procket:bind(Own, procket_test:sockaddr(0, {127, 0, 0, 1})),
        {ok, Name} = procket:getsockname(Own, <<0:128>>),
        [
            begin
                ?assertEqual({ok, Name}, procket:getsockname(Own, <<0:128>>)),
                ?assertEqual({ok, SharedName}, procket:getsockname(Shared, <<0:128>>)),
                Data = rand:bytes(rand:uniform(2000)),
                ok = procket:sendto(Own, Data, 0, Name),
                ?assertEqual({ok, Data, Name}, procket:recvfrom(Own, 65535, 0, 16))
            end
         || _ <- lists:seq(1, 50)
        ],
        ok = procket:close(Own)
    end,
    Monitors = [element(2, spawn_monitor(Run)) || _ <- lists:seq(1, 100)],
    [receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(normal, Reason) end || Monitor <- Monitors],
    ok = procket:close(Shared).

hundred_thousand_calls(_Config) ->
    with_udp_pair(fun(A, NameA, B, NameB) ->
        Mixed = fun() ->
            ok = procket:sendto(A, <<"x">>, 0, NameB),
            {ok, <<"x">>, NameA} = procket:recvfrom(B, 10, 0, 16),
            {error, eagain} = procket:recv(B, 10),
            {ok, NameB} = procket:getsockname(B, <<0:128>>),
            {error, ebadf} = procket:getsockname(9999, <<0:128>>),
            ok = procket:setsockopt(A, 1, 2, <<1:32/native>>),
            {ok, _} = procket:getsockopt(A, 1, 2, <<0:32>>),
            {ok, _} = procket:ioctl(A, 16#8933, <<"lo", 0:(38 * 8)>>),
            {ok, FD} = procket:socket(inet, stream, tcp),
            ok = procket:close(FD)
        end,
        Mixed(),
        Worker = procket_test:os_pid(worker),
        Before = {procket_test:open_fds(), procket_test:open_fds(Worker), length(processes())},
        [Mixed() || _ <- lists:seq(1, 10_000)],
        ?assertEqual(Worker, procket_test:os_pid(worker)),
        procket_test:wait_until(fun() -> {procket_test:open_fds(), procket_test:open_fds(Worker), length(processes())} =:= Before end)
    end).

%% What the cases share

with_udp_pair(Fun) ->
    [A, B] = [
        begin
            {ok, FD} = procket:socket(inet, dgram, udp),
            ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
            FD
        end
     || _ <- [1, 2]
    ],
    {ok, NameA} = procket:getsockname(A, <<0:128>>),
    {ok, NameB} = procket:getsockname(B, <<0:128>>),
    try
        Fun(A, NameA, B, NameB)
    after
        lists:foreach(fun procket:close/1, [A, B])
    end.

with_unix_pair(Fun) ->
    Sockaddr = fun(N) ->
        Name = iolist_to_binary(["procket-", os:getpid(), "-", integer_to_list(erlang:unique_integer([positive])), N]),
        <<(procket:sockaddr_common(procket:family(local), 0))/binary, 0, Name/binary>>
    end,
    {ok, A} = procket:socket(local, dgram, 0),
    {ok, B} = procket:socket(local, dgram, 0),
    NameB = Sockaddr("b"),
    ok = procket:bind(B, NameB),
    ok = procket:connect(A, NameB),
    try
        Fun(A, B)
    after
        lists:foreach(fun procket:close/1, [A, B])
    end.

with_listener(Fun) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
    ok = procket:listen(FD),
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:128>>),
    Connect = fun() ->
        {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
        {ok, ClientPort} = inet:port(Client),
        await(FD, read),
        {Client, procket_test:sockaddr(ClientPort, {127, 0, 0, 1})}
    end,
    try
        Fun(FD, Connect)
    after
        procket:close(FD)
    end.

%% A connected descriptor, and its peer in gen_tcp.
with_stream(Fun) ->
    with_listener(fun(FD, Connect) ->
        {Peer, _} = Connect(),
        {ok, Stream} = procket:accept(FD),
        try
            Fun(Stream, Peer)
        after
            gen_tcp:close(Peer),
            procket:close(Stream)
        end
    end).

await(FD, Direction) ->
    ok = procket:select(FD, Direction),
    receive
        {procket, FD, ready, Direction} -> ok;
        {procket, FD, error, Reason} -> error(Reason)
    after 10_000 -> error({not_ready, Direction})
    end.
