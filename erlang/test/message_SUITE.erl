%% recvmsg and sendmsg: control messages, and the descriptors in them.
-module(message_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

-define(MSG_CTRUNC, 8).
-define(SOL_SOCKET, 1).
-define(SCM_RIGHTS, 1).
-define(SCM_CREDENTIALS, 2).

all() ->
    [
        recvmsg_plain, pktinfo, pktinfo6, timestamps, credentials, rights, rights_bad, rights_cut, control_truncated, bad_control
    ].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

recvmsg_plain(_Config) ->
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
        ok = procket:sendmsg(A, <<"one">>, 0, [], NameB),
        ?assertEqual({ok, <<"one">>, 0, [], NameA}, procket:recvmsg(B, 100, 0, 100, 16)),
        ?assertEqual({error, eagain}, procket:recvmsg(B, 100, 0, 100, 16)),
        ?assertEqual({error, eagain}, procket:recvmsg(B, 100, 0, 0)),
        ok = procket:connect(A, NameB),
        ok = procket:sendmsg(A, <<"two">>, 0, []),
        ?assertEqual({ok, <<"two">>, 0, []}, procket:recvmsg(B, 100, 0, 0))
    end).

pktinfo(_Config) ->
    socket_test:with_udp_pair(fun(_A, _NameA, B, <<_:16, Port:16, _/binary>>) ->
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
        ok = procket:close(Any)
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
    socket_test:with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:setsockopt(B, 'SOL_SOCKET', 'SO_TIMESTAMPNS', <<1:32/native>>),
        ok = procket:sendto(A, <<"x">>, 0, NameB),
        {ok, <<"x">>, 0, [{?SOL_SOCKET, _, <<Seconds:64/native, Nano:64/native>>}]} = procket:recvmsg(B, 100, 0, 64),
        ?assert(abs(Seconds - os:system_time(second)) < 60),
        ?assert(Nano < 1_000_000_000)
    end).

credentials(_Config) ->
    socket_test:with_unix_pair(fun(A, B) ->
        ok = procket:setsockopt(B, 'SOL_SOCKET', 'SO_PASSCRED', <<1:32/native>>),
        ok = procket:write(A, <<"x">>),
        {ok, <<"x">>, 0, [{?SOL_SOCKET, ?SCM_CREDENTIALS, <<_Pid:32/native, Uid:32/native, _Gid:32/native>>}]} =
            procket:recvmsg(B, 100, 0, 64),
        ?assertEqual(string:trim(procket_test:sh_ok("id -u")), integer_to_list(Uid))
    end).

rights(_Config) ->
    socket_test:with_unix_pair(fun(A, B) ->
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
    socket_test:with_unix_pair(fun(A, B) ->
        ?assertEqual({error, ebadf}, procket:sendmsg(A, <<"x">>, 0, [{?SOL_SOCKET, ?SCM_RIGHTS, <<9999:32/native>>}])),
        ?assertError(badarg, procket:sendmsg(A, <<"x">>, 0, [{?SOL_SOCKET, ?SCM_RIGHTS, <<1, 2, 3>>}])),
        ?assertEqual({error, eagain}, procket:recv(B, 1))
    end).

%% Descriptors for which there was no room are closed, not left in the worker.
rights_cut(_Config) ->
    socket_test:with_unix_pair(fun(A, B) ->
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
    socket_test:with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:setsockopt(B, 'IPPROTO_IP', 'IP_PKTINFO', <<1:32/native>>),
        ok = procket:sendto(A, <<"x">>, 0, NameB),
        {ok, <<"x">>, Flags, _} = procket:recvmsg(B, 100, 0, 8),
        ?assertEqual(?MSG_CTRUNC, Flags band ?MSG_CTRUNC)
    end).

bad_control(_Config) ->
    socket_test:with_udp_pair(fun(A, _NameA, _B, NameB) ->
        ?assertError(badarg, procket:sendmsg(A, <<"x">>, 0, [x], NameB)),
        ?assertError(badarg, procket:sendmsg(A, <<"x">>, 0, [{1, 2, 3}], NameB)),
        ?assertEqual({error, einval}, procket:sendmsg(A, <<"x">>, 0, [{0, 8, <<1>>}], NameB))
    end).
