%% Options of sockets, requests of ioctl, and descriptors in blocking mode.
-module(options_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        sockopts, sockopt_names, sockopt_errors, getsockopt_size, ioctl_structure, ioctl_integer, ioctl_short_buffer, ioctl_errors, nonblock,
        blocking_mode, blocking_pipe
    ].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

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
    ?assertEqual({error, ebadf}, procket:set_sock_nonblock(9999)),
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
    socket_test:with_listener(fun(Listener, _) ->
        {ok, Name} = procket:getsockname(Listener, <<0:128>>),
        with_blocking(stream, fun(FD) ->
            ?assert(lists:member(procket:connect(FD, Name), [ok, {error, einprogress}])),
            {_, Result} = socket_test:fill(FD, 0),
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
        {_, Result} = socket_test:fill(FD, 0),
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
