%% Several at once: recvmmsg/5, sendmmsg/3 and call/1.
-module(vectored_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        datagrams, fewer_than_asked_for, nothing_there, cut_and_truncated, long_datagrams, connected, some_sent, bad_messages, errors_of_many,
        pipeline, pipeline_with_errors, pipeline_brings_descriptors, too_many_descriptors, pipeline_of_nothing, pipeline_bad_calls,
        pipeline_through_the_server
    ].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) -> Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

datagrams(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        Data = [<<N:32, 0:(8 * N)>> || N <- lists:seq(1, 64)],
        ?assertEqual({ok, 64}, procket:sendmmsg(A, [{D, NameB} || D <- Data], 0)),
        ?assertEqual({ok, [{D, NameA} || D <- Data]}, procket:recvmmsg(B, 64, 100, 0, 16)),
        %% Without room for addresses none is asked for.
        {ok, 2} = procket:sendmmsg(A, [{<<>>, NameB}, {<<"x">>, NameB}], 0),
        ?assertEqual({ok, [{<<>>, <<>>}, {<<"x">>, <<>>}]}, procket:recvmmsg(B, 2, 100, 0, 0))
    end).

fewer_than_asked_for(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        {ok, 3} = procket:sendmmsg(A, [{<<N>>, NameB} || N <- [1, 2, 3]], 0),
        ?assertEqual({ok, [{<<1>>, NameA}, {<<2>>, NameA}]}, procket:recvmmsg(B, 2, 10, 0, 16)),
        ?assertEqual({ok, [{<<3>>, NameA}]}, procket:recvmmsg(B, 100_000, 10, 0, 16))
    end).

nothing_there(_Config) ->
    socket_test:with_udp_pair(fun(A, _NameA, _B, _NameB) ->
        ?assertEqual({error, eagain}, procket:recvmmsg(A, 64, 1500, 0, 16)),
        ?assertEqual({ok, 0}, procket:sendmmsg(A, [], 0))
    end).

cut_and_truncated(_Config) ->
    MsgPeek = 2,
    MsgTrunc = 16#20,
    socket_test:with_udp_pair(fun(A, <<Head:4/binary, _/binary>> = NameA, B, NameB) ->
        {ok, 1} = procket:sendmmsg(A, [{<<"datagram">>, NameB}], 0),
        ?assertEqual({ok, [{<<"data">>, NameA}]}, procket:recvmmsg(B, 1, 4, MsgPeek, 16)),
        ?assertEqual({ok, [{<<"data", 0:32>>, NameA}]}, procket:recvmmsg(B, 1, 4, MsgPeek bor MsgTrunc, 16)),
        ?assertEqual({ok, [{<<>>, <<Head/binary, 0:96>>}]}, procket:recvmmsg(B, 1, 0, 0, 4))
    end).

long_datagrams(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:setsockopt(B, 'SOL_SOCKET', 'SO_RCVBUF', <<4_000_000:32/native>>),
        Data = [rand:bytes(60_000) || _ <- [1, 2]],
        {ok, Sent} = procket:sendmmsg(A, [{D, NameB} || D <- Data], 0),
        ?assertEqual(2, Sent),
        ?assert({ok, [{D, NameA} || D <- Data]} =:= procket:recvmmsg(B, 1000, 65_535, 0, 16))
    end).

connected(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:connect(A, NameB),
        ?assertEqual({ok, 2}, procket:sendmmsg(A, [{<<"1">>, <<>>}, {<<"2">>, <<>>}], 0)),
        ?assertEqual({ok, [{<<"1">>, NameA}, {<<"2">>, NameA}]}, procket:recvmmsg(B, 8, 10, 0, 16))
    end).

%% A later one fails: those before it were sent.
some_sent(_Config) ->
    socket_test:with_udp_pair(fun(A, _NameA, B, NameB) ->
        TooLong = binary:copy(<<0>>, 70_000),
        ?assertEqual({ok, 1}, procket:sendmmsg(A, [{<<"1">>, NameB}, {TooLong, NameB}, {<<"3">>, NameB}], 0)),
        ?assertEqual({error, emsgsize}, procket:sendmmsg(A, [{TooLong, NameB}, {<<"3">>, NameB}], 0)),
        ?assertMatch({ok, [{<<"1">>, _}]}, procket:recvmmsg(B, 8, 10, 0, 16)),
        %% No more than the kernel takes at once.
        ?assertEqual({ok, 1024}, procket:sendmmsg(A, [{<<"x">>, NameB} || _ <- lists:seq(1, 2000)], 0))
    end).

bad_messages(_Config) ->
    socket_test:with_udp_pair(fun(A, _NameA, _B, NameB) ->
        ?assertError(badarg, procket:sendmmsg(A, [{a, NameB}], 0)),
        ?assertError(badarg, procket:sendmmsg(A, [<<"x">>], 0)),
        ?assertError(badarg, procket:sendmmsg(A, [{<<"x">>, NameB} | x], 0)),
        ?assertError(function_clause, procket:sendmmsg(A, x, 0)),
        ?assertError(function_clause, procket:recvmmsg(A, 0, 10, 0, 0)),
        ?assertError(function_clause, procket:recvmmsg(A, 1, -1, 0, 0)),
        ?assertEqual({error, einval}, procket:sendmmsg(A, [{<<"x">>, binary:copy(<<0>>, 200)}], 0))
    end).

errors_of_many(_Config) ->
    ?assertEqual({error, ebadf}, procket:recvmmsg(9999, 1, 10, 0, 0)),
    ?assertEqual({error, ebadf}, procket:sendmmsg(9999, [{<<"x">>, <<>>}], 0)),
    {ok, Null} = procket:dev("null"),
    ?assertEqual({error, enotsock}, procket:recvmmsg(Null, 1, 10, 0, 0)),
    ok = procket:close(Null).

pipeline(_Config) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    Sockaddr = procket_test:sockaddr(0, {127, 0, 0, 1}),
    Options = ['SO_REUSEADDR', 'SO_KEEPALIVE', 'SO_REUSEPORT', 'SO_BROADCAST', 'SO_OOBINLINE'],
    Sets = [{setsockopt, [FD, 'SOL_SOCKET', Option, <<1:32/native>>]} || Option <- Options],
    [ok, ok, ok, ok, ok, ok, ok, {ok, Name}, {ok, <<1:32/native>>}] =
        procket:call(Sets ++ [
            {bind, [FD, Sockaddr]}, {listen, [FD]}, {getsockname, [FD, <<0:128>>]},
            {getsockopt, [FD, 'SOL_SOCKET', 'SO_KEEPALIVE', <<0:32>>]}
        ]),
    ?assertEqual({ok, Name}, procket:getsockname(FD, <<0:128>>)),
    ok = procket:close(FD).

%% Each result is what the call alone gives, and all are made.
pipeline_with_errors(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, _B, NameB) ->
        ?assertEqual(
            [{error, eagain}, {error, unsupported}, ok, ok, {ok, <<"xy">>, NameA}, {ok, NameA}],
            procket:call([
                {recv, [A, 10]}, {setsockopt, [A, 'SOL_SOCKET', 'SO_NOTHING', <<>>]}, {sendto, [A, <<"xy">>, 0, NameA]},
                {set_sock_nonblock, [A]}, {recvfrom, [A, 10, 0, 16]}, {getsockname, [A, <<0:128>>]}
            ])
        ),
        %% A number that is no descriptor: nothing is made.
        ?assertEqual({error, ebadf}, procket:call([{sendto, [A, <<"x">>, 0, NameB]}, {listen, [9999]}])),
        ?assertEqual({error, eagain}, procket:recv(A, 10))
    end).

pipeline_brings_descriptors(_Config) ->
    Before = procket_test:settled(fun procket_test:open_fds/0),
    [{ok, FD1}, {error, eafnosupport}, {ok, FD2}] =
        procket:call([{socket, [inet, dgram, udp]}, {socket, [200, dgram, 0]}, {socket, [inet, stream, tcp]}]),
    ?assertEqual(
        [{ok, <<2:32/native>>}, {ok, <<1:32/native>>}],
        procket:call([{getsockopt, [FD, 'SOL_SOCKET', 'SO_TYPE', <<0:32>>]} || FD <- [FD1, FD2]])
    ),
    lists:foreach(fun procket:close/1, [FD1, FD2]),
    procket_test:wait_until(fun() -> procket_test:open_fds() =:= Before end).

too_many_descriptors(_Config) ->
    Before = procket_test:settled(fun procket_test:open_fds/0),
    Results = procket:call(lists:duplicate(300, {socket, [inet, dgram, udp]})),
    FDs = [FD || {ok, FD} <- Results],
    ?assertEqual(253, length(FDs)),
    ?assertEqual(lists:duplicate(47, {error, emfile}), Results -- [{ok, FD} || FD <- FDs]),
    lists:foreach(fun procket:close/1, FDs),
    procket_test:wait_until(fun() -> procket_test:open_fds() =:= Before end).

pipeline_of_nothing(_Config) ->
    ?assertEqual([], procket:call([])).

pipeline_bad_calls(_Config) ->
    ?assertError(function_clause, procket:call(x)),
    [
        ?assertError(badarg, procket:call([Call]))
     || Call <- [x, {open, [53]}, {close, [1]}, {socket, [inet]}, {nothing, []}, {batch, [[]]}, {"socket", []}, {socket, x}]
    ],
    ?assertError(function_clause, procket:call([{bind, [x, <<>>]}])),
    %% One that only the worker finds bad: what the others brought is closed.
    Before = procket_test:settled(fun procket_test:open_fds/0),
    ?assertError(badarg, procket:call([{socket, [inet, dgram, udp]}, {socket, [inet, dgram, 16#7fffffff]}, {ioctl, [0, 1 bsl 70, 0]}])),
    procket_test:wait_until(fun() -> procket_test:open_fds() =:= Before end).

%% The direct connection is held: the pipeline stands in a batch of the server's.
pipeline_through_the_server(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    [{ok, FD2}, {ok, <<2:32/native>>}] = procket_test:with_direct_held(fun(_Server) ->
        procket:call([{socket, [inet, dgram, udp]}, {getsockopt, [FD, 'SOL_SOCKET', 'SO_TYPE', <<0:32>>]}])
    end),
    lists:foreach(fun procket:close/1, [FD, FD2]).
