%% Which descriptor a call is about, what is no descriptor or no argument, and that nothing is mixed up or left.
-module(descriptor_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        foreign_descriptor, reused_number, bad_descriptors, wrong_types, setns_and_back, hundred_callers, hundred_thousand_calls
    ].

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(setns_and_back, Config) -> procket_test:need_root(Config);
init_per_testcase(_, Config) -> Config.

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
    socket_test:with_udp_pair(fun(A, NameA, B, NameB) ->
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
