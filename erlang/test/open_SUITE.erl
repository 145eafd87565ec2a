%% procket:open and procket:dev, with each option, against the kernel.
-module(open_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        port_is_given_back, udp_to_gen_udp, tcp_to_gen_tcp, udp_inet6, tcp_inet6, low_port, ip_as_string, type_alone,
        defaults, raw_icmp, packet_socket, netlink, local_socket,
        interface, interface_of_packet, namespace, namespace_left_again, namespace_bad,
        backlog, tun, device_numbered, device_missing, device_is_character_device,
        dev_option, pipe, pipe_in_use, progname_missing, progname_prefix, progname_not_procket, exec_in_turn, sudo_never_asks,
        eaddrinuse, eaddrnotavail, enodev, badarg, badarg_names_the_option, unknown_options, nonblocking_and_cloexec,
        ten_thousand_opens, a_thousand_callers
    ].

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(port_is_given_back, Config) ->
    procket_test:need("strace", Config);
init_per_testcase(sudo_never_asks, Config) -> procket_test:need("sudo", Config);
init_per_testcase(_, Config) -> Config.

udp_to_gen_udp(_Config) ->
    serve_udp([{protocol, udp}], inet, {127, 0, 0, 1}).

udp_inet6(_Config) ->
    serve_udp([{protocol, udp}, {family, inet6}, {ip, {0, 0, 0, 0, 0, 0, 0, 1}}], inet6, {0, 0, 0, 0, 0, 0, 0, 1}),
    serve_udp([{protocol, udp}, {ip, "::1"}], inet6, {0, 0, 0, 0, 0, 0, 0, 1}).

tcp_to_gen_tcp(_Config) ->
    serve_tcp([{protocol, tcp}], inet, {127, 0, 0, 1}),
    serve_tcp([], inet, {127, 0, 0, 1}).

tcp_inet6(_Config) ->
    serve_tcp([{protocol, tcp}, {family, inet6}], inet6, {0, 0, 0, 0, 0, 0, 0, 1}).

low_port(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Netns = [{namespace, "/run/netns/" ++ Name}],
        {ok, FD} = procket:open(53, [{protocol, udp} | Netns]),
        ?assertMatch({ok, <<2:16/native, 53:16, 0:32, _/binary>>}, procket:getsockname(FD, <<0:128>>)),
        ok = procket:close(FD),
        {ok, FD2} = procket:open(53, Netns),
        ok = procket:close(FD2)
    end).

ip_as_string(_Config) ->
    Port = procket_test:free_port(udp),
    {ok, FD} = procket:open(Port, [{protocol, udp}, {ip, "127.0.0.1"}]),
    Sockaddr = procket_test:sockaddr(Port, {127, 0, 0, 1}),
    ?assertEqual({ok, Sockaddr}, procket:getsockname(FD, <<0:128>>)),
    %% Cut to what was asked for, padded to what was needed.
    <<Head:4/binary, _/binary>> = Sockaddr,
    ?assertEqual({ok, <<Head/binary, 0:96>>}, procket:getsockname(FD, <<0:32>>)),
    ok = procket:close(FD).

type_alone(_Config) ->
    {ok, FD} = procket:open(0, [{type, dgram}]),
    ?assertEqual({ok, {dgram, udp}}, type_and_protocol(FD)),
    ok = procket:close(FD).

defaults(_Config) ->
    lists:foreach(
        fun({Options, Expected}) ->
            {ok, FD} = procket:open(0, Options),
            ?assertEqual({Options, {ok, Expected}}, {Options, type_and_protocol(FD)}),
            ok = procket:close(FD)
        end,
        [
            {[], {stream, tcp}},
            {[{protocol, udp}], {dgram, udp}},
            {[{protocol, 17}], {dgram, udp}},
            {[{protocol, icmp}], {raw, icmp}},
            {[{protocol, icmp6}], {raw, icmp6}},
            {[{protocol, 'ipv6-icmp'}], {raw, icmp6}},
            {[{protocol, raw}], {raw, raw}},
            {[{protocol, udp}, {type, 2}, {family, 2}], {dgram, udp}}
        ]
    ).

raw_icmp(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, icmp}, {type, raw}]),
    {ok, Socket} = gen_udp:open(0, [{fd, FD}, binary]),
    ok = gen_udp:send(Socket, {127, 0, 0, 1}, 0, <<8, 0, 16#f7fe:16, 0:16, 1:16>>),
    receive
        {udp, Socket, {127, 0, 0, 1}, _, Packet} -> ?assertMatch(<<_/binary>>, Packet)
    after 30_000 -> error(no_reply)
    end,
    ok = gen_udp:close(Socket),
    ok = procket:close(FD).

packet_socket(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, 16#0008}, {type, raw}, {family, packet}]),
    ?assertMatch({ok, <<17:16/native, 16#0800:16, _/binary>>}, procket:getsockname(FD, <<0:160>>)),
    ok = procket:close(FD).

netlink(_Config) ->
    {ok, FD} = procket:open(0, [{family, netlink}]),
    ?assertMatch({ok, <<16:16/native, _/binary>>}, procket:getsockname(FD, <<0:96>>)),
    ok = procket:close(FD).

local_socket(_Config) ->
    {ok, FD} = procket:open(0, [{family, local}, {type, dgram}]),
    ?assertEqual({ok, <<1:16/native>>}, procket:getsockname(FD, <<0:880>>)),
    ok = procket:close(FD).

interface(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {interface, "lo"}]),
    {ok, Socket} = socket:open(FD, #{dup => true}),
    {ok, Name} = socket:getopt(Socket, socket, bindtodevice),
    ?assertEqual("lo", string:trim(Name, trailing, [0])),
    ok = socket:close(Socket),
    serve_udp_fd(FD, inet, {127, 0, 0, 1}).

interface_of_packet(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, 16#0008}, {type, raw}, {family, packet}, {interface, "lo"}]),
    {ok, Index} = net:if_name2index("lo"),
    ?assertMatch({ok, <<17:16/native, 16#0800:16, Index:32/native, _/binary>>}, procket:getsockname(FD, <<0:160>>)),
    ok = procket:close(FD).

namespace(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Options = [{protocol, udp}, {ip, {127, 0, 0, 1}}, {namespace, "/run/netns/" ++ Name}],
        {ok, FD} = procket:open(0, Options),
        {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:128>>),
        {ok, Socket} = gen_udp:open(0, [{fd, FD}, binary]),
        %% Out of its reach from here, and within it from inside.
        {ok, Outside} = gen_udp:open(0),
        ok = gen_udp:send(Outside, {127, 0, 0, 1}, Port, <<"outside">>),
        {ok, FD2} = procket:open(0, Options),
        {ok, Inside} = gen_udp:open(0, [{fd, FD2}]),
        ok = gen_udp:send(Inside, {127, 0, 0, 1}, Port, <<"inside">>),
        receive
            {udp, Socket, _, _, Data} -> ?assertEqual(<<"inside">>, Data)
        after 30_000 -> error(nothing_arrived)
        end,
        lists:foreach(fun gen_udp:close/1, [Socket, Outside, Inside]),
        lists:foreach(fun procket:close/1, [FD, FD2])
    end).

namespace_left_again(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Here = sh_opener_namespace(),
        {ok, FD} = procket:open(0, [{protocol, udp}, {namespace, "/run/netns/" ++ Name}]),
        ok = procket:close(FD),
        ?assertEqual({error, eaddrnotavail},
            procket:open(0, [{protocol, udp}, {ip, "192.0.2.1"}, {namespace, "/run/netns/" ++ Name}])),
        ?assertEqual(Here, sh_opener_namespace()),
        serve_udp([{protocol, udp}], inet, {127, 0, 0, 1})
    end).

sh_opener_namespace() ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    ok = procket:close(FD),
    {ok, Link} = file:read_link("/proc/" ++ procket_test:os_pid(opener) ++ "/ns/net"),
    Link.

namespace_bad(_Config) ->
    ?assertEqual({error, enoent}, procket:open(0, [{namespace, "/run/netns/not-there"}, {exec, [""]}])),
    ?assertEqual({error, einval}, procket:open(0, [{namespace, "/etc/passwd"}, {exec, [""]}])).

backlog(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, tcp}, {backlog, 5}, {ip, "127.0.0.1"}]),
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:128>>),
    {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, []),
    ok = gen_tcp:close(Client),
    ok = procket:close(FD),
    {ok, FD2} = procket:open(Port, [{protocol, tcp}, {ip, "127.0.0.1"}]),
    ?assertEqual({error, econnrefused}, gen_tcp:connect({127, 0, 0, 1}, Port, [])),
    ok = procket:close(FD2).

tun(_Config) ->
    {ok, FD} = procket:dev("net/tun"),
    ?assertEqual({ok, "/dev/net/tun"}, file:read_link("/proc/self/fd/" ++ integer_to_list(FD))),
    ok = procket:close(FD),
    ?assertEqual({error, ebadf}, procket:close(FD)).

%% /dev/ttyS does not exist where /dev/ttyS0 or a later one does: any such device will do.
device_numbered(_Config) ->
    _ = procket_test:sh("rm -f /dev/procket-test3; mknod /dev/procket-test3 c 1 3"),
    try
        {ok, FD} = procket:dev("procket-test"),
        ?assertEqual({ok, "/dev/procket-test3"}, file:read_link("/proc/self/fd/" ++ integer_to_list(FD))),
        ok = procket:close(FD)
    after
        procket_test:sh("rm -f /dev/procket-test3")
    end.

device_missing(_Config) ->
    ?assertEqual({error, enoent}, procket:dev("procket-not-there", [{exec, [""]}])).

device_is_character_device(_Config) ->
    ?assertEqual({error, enodev}, procket:dev("net")),
    ok = file:write_file("/dev/procket-file", <<>>),
    try
        ?assertEqual({error, enodev}, procket:dev("procket-file"))
    after
        file:delete("/dev/procket-file")
    end.

dev_option(_Config) ->
    {ok, FD} = procket:open(0, [{dev, "null"}]),
    ?assertEqual({ok, "/dev/null"}, file:read_link("/proc/self/fd/" ++ integer_to_list(FD))),
    ok = procket:close(FD).

pipe(Config) ->
    Path = filename:join(proplists:get_value(priv_dir, Config), "s"),
    Short = "/tmp/procket-pipe-" ++ os:getpid(),
    lists:foreach(
        fun(Pipe) ->
            Openers = procket_test:os_pids(opener),
            {ok, FD} = procket:open(0, [{protocol, udp}, {pipe, Pipe}]),
            ?assertEqual({error, enoent}, file:read_link_info(Pipe)),
            procket_test:wait_until(fun() -> procket_test:os_pids(opener) =:= Openers end),
            ok = procket:close(FD)
        end,
        [Short | [Path || length(Path) < 108]]
    ),
    ?assertEqual({error, enametoolong}, procket:open(0, [{pipe, "/tmp/" ++ lists:duplicate(108, $a)}])).

pipe_in_use(_Config) ->
    Path = "/tmp/procket-pipe-" ++ os:getpid(),
    ok = file:write_file(Path, <<"mine">>),
    ?assertEqual({error, eaddrinuse}, procket:open(0, [{protocol, udp}, {pipe, Path}])),
    ?assertEqual({ok, <<"mine">>}, file:read_file(Path)),
    ok = file:delete(Path).

progname_missing(_Config) ->
    ?assertEqual({error, enoent}, procket:open(0, [{progname, "/not/there"}, {exec, [""]}])),
    ?assertEqual({error, enoent}, procket:open(0, [{progname, "not-there-either"}, {exec, [""]}])),
    ?assertEqual({error, eacces}, procket:open(0, [{progname, "/etc/passwd"}, {exec, [""]}])).

progname_prefix(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {progname, " env  A=b " ++ procket:progname()}, {exec, [""]}]),
    ok = procket:close(FD).

progname_not_procket(_Config) ->
    ?assertEqual({error, eperm}, procket:open(0, [{progname, "true"}, {exec, [""]}])),
    ?assertEqual({error, eproto}, procket:open(0, [{progname, "cat -"}, {exec, [""]}])).

%% The next prefix is tried after enoent, and not after another error.
exec_in_turn(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {exec, ["not-there", "env"]}]),
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:128>>),
    ?assertEqual({error, eaddrinuse}, procket:open(Port, [{protocol, udp}, {exec, ["", "not-there"]}])),
    ok = procket:close(FD),
    ?assertEqual({error, enoent}, procket:open(0, [{exec, ["not-there", "nor-there"]}])).

sudo_never_asks(_Config) ->
    ?assertEqual(["sudo -n /a/b opener", "/usr/bin/sudo -n -u x /a/b opener", "sudo -n /a/b opener"],
        procket:getopts([{progname, "/a/b"}, {exec, ["sudo", "/usr/bin/sudo -u x", "sudo -n"]}])),
    {ok, FD} = procket:open(0, [{protocol, udp}, {exec, ["sudo"]}]),
    ok = procket:close(FD).

eaddrinuse(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:128>>),
    ?assertEqual({error, eaddrinuse}, procket:open(Port, [{protocol, udp}])),
    ok = procket:close(FD),
    {ok, FD2} = procket:open(Port, [{protocol, udp}]),
    ok = procket:close(FD2).

eaddrnotavail(_Config) ->
    ?assertEqual({error, eaddrnotavail}, procket:open(0, [{protocol, udp}, {ip, {192, 0, 2, 1}}])).

enodev(_Config) ->
    ?assertEqual({error, enodev}, procket:open(0, [{protocol, udp}, {interface, "notthere0"}])),
    ?assertEqual({error, enodev}, procket:open(0, [{protocol, udp}, {interface, "longer-than-an-interface"}])).

badarg(_Config) ->
    Bad = [
        {dev, "../etc/passwd"}, {dev, "net/../../etc/passwd"}, {dev, ""}, {dev, "/null"}, {dev, "net//tun"}, {dev, "./null"}, {dev, "a;b"}, {dev, 5}, {interface, "a;b"}, {interface, "a\0b"}, {interface, x},
        {protocol, nothing}, {protocol, -1}, {type, nothing}, {family, nothing}, {family, -1},
        {ip, "localhost"}, {ip, {1, 2, 3}}, {ip, {1, 2, 3, 256}}, {backlog, -1}, {backlog, x},
        {namespace, "a\0b"}, {namespace, 1}, {exec, []}, {exec, sudo}, {progname, 1}, {pipe, 1}
    ],
    [?assertError(badarg, procket:open(0, [Option]), Option) || Option <- Bad],
    ?assertError(badarg, procket:dev("../etc/passwd")),
    ?assertError(function_clause, procket:open(65536)),
    ?assertError(function_clause, procket:open(-1)).

badarg_names_the_option(_Config) ->
    try procket:open(0, [{interface, "a;b"}]) of
        _ -> error(no_badarg)
    catch
        error:badarg:Stack ->
            #{general := Text} = procket_error:format_error(badarg, Stack),
            ?assertEqual("bad option {interface,\"a;b\"}", Text)
    end.

unknown_options(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {whatever, 1}, other]),
    ok = procket:close(FD).

nonblocking_and_cloexec(_Config) ->
    {ok, FD} = procket:open(0, [{protocol, udp}]),
    {ok, FD2} = procket:dev("net/tun"),
    {ok, FD3} = procket:socket(inet, dgram, udp),
    [?assertEqual(8#2004000, flags(F) band 8#2004000) || F <- [FD, FD2, FD3]],
    lists:foreach(fun procket:close/1, [FD, FD2, FD3]).

flags(FD) ->
    {ok, Info} = file:read_file("/proc/self/fdinfo/" ++ integer_to_list(FD)),
    {match, [Octal]} = re:run(Info, "flags:\\s*([0-7]+)", [{capture, [1], list}]),
    list_to_integer(Octal, 8).

%% Nothing is left behind, and the port is free after each close.
ten_thousand_opens(_Config) ->
    Port = procket_test:free_port(udp),
    Once = fun() ->
        {ok, FD} = procket:open(Port, [{protocol, udp}]),
        ok = procket:close(FD)
    end,
    Once(),
    {ok, W} = procket:socket(inet, dgram, udp),
    ok = procket:close(W),
    Counts = fun() ->
        Pids = procket_test:os_pids(opener) ++ procket_test:os_pids(worker),
        {procket_test:open_fds(), [{P, procket_test:open_fds(P)} || P <- Pids], length(processes()), length(erlang:ports())}
    end,
    Before = Counts(),
    [Once() || _ <- lists:seq(1, 10_000)],
    procket_test:wait_until(fun() -> Counts() =:= Before orelse {Before, Counts()} end).

a_thousand_callers(_Config) ->
    _ = application:stop(procket),
    Self = self(),
    Pids = [
        spawn_link(fun() ->
            Self ! {self(), procket:open(0, [{protocol, udp}])},
            receive stop -> ok end
        end)
     || _ <- lists:seq(1, 1000)
    ],
    Results = [receive {Pid, Result} -> Result after 60_000 -> error(waits_for_ever) end || Pid <- Pids],
    FDs = [FD || {ok, FD} <- Results],
    ?assertEqual([], [R || R <- Results, not is_result(R)]),
    ?assertEqual(length(FDs), length(lists:usort(FDs))),
    ?assert(length(FDs) > 100),
    Names = [procket:getsockname(FD, <<0:128>>) || FD <- FDs],
    ?assertEqual(length(FDs), length(lists:usort(Names))),
    ok = lists:foreach(fun procket:close/1, FDs),
    [Pid ! stop || Pid <- Pids],
    ok.

is_result({ok, FD}) -> is_integer(FD);
is_result({error, Reason}) -> is_atom(Reason).

serve_udp(Options, Family, IP) ->
    {ok, FD} = procket:open(0, Options),
    serve_udp_fd(FD, Family, IP).

serve_udp_fd(FD, Family, IP) ->
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:224>>),
    {ok, Server} = gen_udp:open(0, [{fd, FD}, Family, binary]),
    {ok, Client} = gen_udp:open(0, [Family, binary]),
    ok = gen_udp:send(Client, IP, Port, <<"ping">>),
    receive
        {udp, Server, FromIP, FromPort, <<"ping">>} -> ok = gen_udp:send(Server, FromIP, FromPort, <<"pong">>)
    after 30_000 -> error(nothing_arrived)
    end,
    receive
        {udp, Client, _, Port, <<"pong">>} -> ok
    after 30_000 -> error(no_answer)
    end,
    ok = gen_udp:close(Client),
    ok = gen_udp:close(Server),
    ok = procket:close(FD).

serve_tcp(Options, Family, IP) ->
    {ok, FD} = procket:open(0, Options),
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:224>>),
    {ok, Listener} = gen_tcp:listen(0, [{fd, FD}, Family, binary, {active, false}]),
    {ok, Client} = gen_tcp:connect(IP, Port, [Family, binary, {active, false}]),
    {ok, Server} = gen_tcp:accept(Listener, 5000),
    ok = gen_tcp:send(Client, <<"ping">>),
    ?assertEqual({ok, <<"ping">>}, gen_tcp:recv(Server, 4, 5000)),
    lists:foreach(fun gen_tcp:close/1, [Client, Server, Listener]),
    ok = procket:close(FD).

%% As the kernel has them, seen through OTP's socket.
type_and_protocol(FD) ->
    {ok, Socket} = socket:open(FD, #{dup => true}),
    {ok, Type} = socket:getopt(Socket, socket, type),
    {ok, Protocol} = socket:getopt(Socket, socket, protocol),
    ok = socket:close(Socket),
    {ok, {Type, protocol_name(Protocol)}}.

protocol_name('IPV6-ICMP') -> icmp6;
protocol_name('ipv6-icmp') -> icmp6;
protocol_name(255) -> raw;
protocol_name(Name) -> Name.

%% What the opener has sent is no longer open there when it answers: a port that the BEAM closes can be bound again at once, also where
%% the opener is slow to close. strace(1) makes it so.
port_is_given_back(_Config) ->
    Port = procket_test:free_port(udp),
    Slow = "strace -qq -o /dev/null -e trace=close -e inject=close:delay_enter=20000",
    try
        [
            begin
                {ok, FD} = procket:open(Port, [{protocol, udp}, {exec, [Slow]}]),
                ok = procket:close(FD),
                {ok, Socket} = gen_udp:open(Port),
                ok = gen_udp:close(Socket)
            end
         || _ <- lists:seq(1, 20)
        ]
    after
        %% Other cases look for the one opener.
        application:stop(procket)
    end.
