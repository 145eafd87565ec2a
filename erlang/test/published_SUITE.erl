%% What programs for the published API do, down to the form of each answer.
-module(published_SUITE).
-include_lib("stdlib/include/assert.hrl").
-include_lib("kernel/include/file.hrl").
-include_lib("procket/include/procket.hrl").
-include_lib("procket/include/packet.hrl").
-include_lib("procket/include/bpf.hrl").
-compile([export_all, nowarn_export_all]).

-define(ETH_P_ALL, 3).
%% linux/if_packet.h
-define(PACKET_AUXDATA, 8).

all() ->
    [
        sockaddr_common_of_names, byte_order, filter_gives_the_program, packet_socket_in_host_order, packet_socket_binaries, interface_name_is_binary,
        auxdata, family_by_number, raw_socket_is_bound, socket_flags, nonblock_error, errno_names, empty_writes, default_gateway,
        device_in_namespace, relative_path, relative_path_of_datagrams, relative_namespace, directory_removed, mask_of_the_node, modules_alone,
        bpf_instructions, bpf_offsets, bpf_buffers, bpf_control
    ].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

sockaddr_common_of_names(_Config) ->
    Families = [{inet, 2}, {inet6, 10}, {local, 1}, {unix, 1}, {file, 1}, {packet, 17}, {netlink, 16}, {unspec, 0}, {2, 2}],
    [?assertEqual({Name, <<Number:16/native>>}, {Name, procket:sockaddr_common(Name, 16)}) || {Name, Number} <- Families].

%% A binary is what the memory of an integer holds.
byte_order(_Config) ->
    ?assertEqual(16777216, procket:ntohl(<<1:32>>)),
    ?assertEqual(16777216, procket:ntohl(1)),
    ?assertEqual(256, procket:ntohs(<<1:32>>)),
    ?assertEqual(256, procket:ntohs(1)),
    ?assertEqual(77, procket:ntohl(<<77:32/native>>)),
    ?assertEqual(53, procket:ntohs(<<53:16>>)).

filter_gives_the_program(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    Program = [?BPF_STMT(?BPF_LD + ?BPF_W + ?BPF_LEN, 0), ?BPF_STMT(?BPF_RET + ?BPF_K, 0)],
    ?assertEqual({ok, iolist_to_binary(Program)}, packet:filter(FD, Program)),
    ?assertEqual({ok, iolist_to_binary(Program)}, packet:unfilter(FD, Program)),
    ?assertEqual({error, enoent}, packet:unfilter(FD, Program)),
    {ok, _} = packet:filter(FD, Program),
    ?assertEqual(ok, packet:unfilter(FD)),
    ok = procket:close(FD).

packet_socket_in_host_order(_Config) ->
    {ok, All} = packet:socket(?ETH_P_ALL),
    ?assertMatch({ok, <<17:16/native, 3:16, _/binary>>}, procket:getsockname(All, <<0:160>>)),
    {ok, Client} = gen_udp:open(0),
    ok = packet:bind(All, packet:ifindex(All, "lo")),
    ok = gen_udp:send(Client, {127, 0, 0, 1}, 9, <<"seen">>),
    socket_test:await(All, read),
    {ok, <<0:96, _/binary>>} = procket:recv(All, 65535),
    ok = gen_udp:close(Client),
    {ok, IP} = packet:socket(),
    ?assertMatch({ok, <<17:16/native, 16#0800:16, _/binary>>}, procket:getsockname(IP, <<0:160>>)),
    [ok = procket:close(FD) || FD <- [All, IP]].

packet_socket_binaries(_Config) ->
    ?assertEqual(2048, ?ETH_P_IP),
    ?assertEqual(ip, ethernet(<<0:96, ?ETH_P_IP:16, "packet">>)).

ethernet(<<_:96, ?ETH_P_IP:16, _/binary>>) -> ip;
ethernet(_) -> other.

interface_name_is_binary(_Config) ->
    {ok, FD} = packet:socket(),
    ?assertEqual(<<"lo">>, packet:ifname(FD, packet:ifindex(FD, "lo"))),
    ok = procket:close(FD).

auxdata(_Config) ->
    {ok, FD} = procket:open(0, [{family, packet}, {type, raw}, {protocol, 16#0008}, {interface, "lo"}]),
    ?assertEqual({error, eagain}, procket:recvmsg(FD, 100, 0, 0)),
    ok = procket:setsockopt(FD, ?SOL_PACKET, ?PACKET_AUXDATA, <<1:32/native>>),
    {ok, Client} = gen_udp:open(0),
    {ok, Port} = inet:port(Client),
    [ok = gen_udp:send(Client, {127, 0, 0, 1}, Port, <<"auxiliary">>) || _ <- [1, 2]],
    socket_test:await(FD, read),
    {ok, Frame, _Flags, [{?SOL_PACKET, ?PACKET_AUXDATA, Auxdata}], Sockaddr} = procket:recvmsg(FD, 65535, 0, 128, 20),
    Length = byte_size(Frame),
    ?assertMatch(<<_Status:32, Length:32/native, Length:32/native, _/binary>>, Auxdata),
    ?assertMatch(<<17:16/native, 16#0800:16, _/binary>>, Sockaddr),
    ?assertMatch({ok, <<_:Length/binary>>, _, [{?SOL_PACKET, ?PACKET_AUXDATA, _}]}, procket:recvmsg(FD, 65535, 0, 128)),
    ok = gen_udp:close(Client),
    ok = procket:close(FD).

family_by_number(_Config) ->
    Families = [{2, <<2:16/native>>, 16}, {10, <<10:16/native>>, 28}, {unspec, <<2:16/native>>, 16}, {0, <<2:16/native>>, 16}],
    [
        begin
            {ok, FD} = procket:open(0, [{family, Family}]),
            {ok, <<Common:2/binary, Port:16, _/binary>> = Name} = procket:getsockname(FD, <<0:224>>),
            ?assertEqual({Family, Expected, Size}, {Family, Common, byte_size(Name)}),
            ?assertNotEqual(0, Port),
            ?assertEqual({ok, <<1:32/native>>}, procket:getsockopt(FD, 'SOL_SOCKET', 'SO_TYPE', <<0:32>>)),
            ok = procket:close(FD)
        end
     || {Family, Expected, Size} <- Families
    ],
    {ok, Local} = procket:open(0, [{family, 1}]),
    ?assertEqual({ok, <<1:16/native>>}, procket:getsockname(Local, <<0:880>>)),
    ok = procket:close(Local),
    {ok, FD6} = procket:open(0, [{family, unspec}, {ip, "::1"}]),
    ?assertMatch({ok, <<10:16/native, _/binary>>}, procket:getsockname(FD6, <<0:224>>)),
    ok = procket:close(FD6).

%% As tracert does: only what is sent to this address arrives.
raw_socket_is_bound(_Config) ->
    [
        begin
            {ok, FD} = procket:open(0, [{protocol, icmp}, {type, raw}, {family, inet}, {ip, IP}]),
            ?assertMatch({ok, <<2:16/native, _:16, 127, 0, 0, 5, _/binary>>}, procket:getsockname(FD, <<0:128>>)),
            ok = procket:close(FD)
        end
     || IP <- [{127, 0, 0, 5}, "127.0.0.5"]
    ],
    ?assertEqual({error, eaddrnotavail}, procket:open(0, [{protocol, icmp}, {type, raw}, {ip, {192, 0, 2, 1}}])),
    {ok, FD6} = procket:open(0, [{protocol, icmp6}, {ip, "::1"}]),
    ?assertMatch({ok, <<10:16/native, _:48, 1:128, _/binary>>}, procket:getsockname(FD6, <<0:224>>)),
    ok = procket:close(FD6).

%% SOCK_CLOEXEC and SOCK_NONBLOCK beside a type: what is set anyway.
socket_flags(_Config) ->
    [
        begin
            {ok, FD} = procket:socket(2, 1 bor Flags, 0),
            {ok, Opened} = procket:open(0, [{type, 2 bor Flags}, {protocol, udp}]),
            ?assertEqual({ok, <<1:32/native>>}, procket:getsockopt(FD, 'SOL_SOCKET', 'SO_TYPE', <<0:32>>)),
            ?assertEqual({ok, <<2:32/native>>}, procket:getsockopt(Opened, 'SOL_SOCKET', 'SO_TYPE', <<0:32>>)),
            [ok = procket:close(One) || One <- [FD, Opened]]
        end
     || Flags <- [0, 16#80000, 16#800, 16#80800]
    ],
    ?assertError(badarg, procket:socket(2, 16#1000001, 0)).

nonblock_error(_Config) ->
    ?assertEqual({error, ebadf}, procket:set_sock_nonblock(7777)).

errno_names(_Config) ->
    ?assertEqual([enotsup, eagain], [procket:errno_id(N) || N <- [95, 11]]),
    {ok, FD} = procket:socket(inet, dgram, udp),
    ?assertEqual({error, enotsup}, procket:listen(FD)),
    ?assertEqual({error, enotsup}, procket:accept(FD)),
    ok = procket:close(FD).

empty_writes(_Config) ->
    socket_test:with_udp_pair(fun(A, _NameA, B, NameB) ->
        ok = procket:connect(A, NameB),
        ok = procket:write(A, <<>>),
        ok = procket:write(A, [<<>>]),
        ok = procket:writev(A, [<<>>, <<>>]),
        ?assertError(badarg, procket:writev(A, [])),
        ?assertError(badarg, procket:write(A, [])),
        ?assertEqual({error, eagain}, procket:recvfrom(B, 10)),
        %% An empty datagram is sent by what sends datagrams.
        ok = procket:sendto(A, <<>>),
        ?assertEqual({ok, <<>>}, procket:recvfrom(B, 10))
    end),
    ?assertEqual({error, ebadf}, procket:write(7777, <<>>)),
    ?assertEqual({error, ebadf}, procket:writev(7777, [<<>>])).

default_gateway(_Config) ->
    ?assertEqual(packet:gateway(), packet:gateway("")),
    procket_test:with_netns(fun(Name) ->
        Ip = "ip -n " ++ Name ++ " ",
        Lines = [
            "link add dummy0 type veth peer name dummy1", "addr add 10.9.5.1/24 dev dummy0", "link set dummy0 up", "link set dummy1 up",
            "route add default via 10.9.5.254 dev dummy0", "neigh replace 10.9.5.254 lladdr 02:00:00:00:00:fe dev dummy0"
        ],
        [_ = procket_test:sh_ok(Ip ++ Line) || Line <- Lines],
        ?assertEqual({{10, 9, 5, 254}, {ok, {2, 0, 0, 0, 0, 254}, {10, 9, 5, 254}}},
            procket_test:run_node("ip netns exec " ++ Name, "{packet:gateway_addr(\"\"), packet:gateway(\"\")}"))
    end).

%% A TUN device is one of the namespace in which its file was opened.
device_in_namespace(_Config) ->
    procket_test:with_netns(fun(Name) ->
        Path = "/run/netns/" ++ Name,
        Ifreq = <<"procketN", 0:64, 16#1001:16/native, 0:(22 * 8)>>,
        [
            begin
                {ok, FD} = Open(),
                %% TUNSETIFF
                {ok, _} = procket:ioctl(FD, 16#400454ca, Ifreq),
                ?assertMatch({error, _}, net:if_name2index("procketN")),
                _ = procket_test:sh_ok("ip -n " ++ Name ++ " link show procketN"),
                ok = procket:close(FD)
            end
         || Open <- [
                fun() -> procket:dev("net/tun", [{namespace, Path}]) end,
                fun() -> procket:open(0, [{dev, "net/tun"}, {namespace, Path}]) end
            ]
        ],
        %% The opener goes back to where it was.
        {ok, Here} = procket:dev("net/tun"),
        {ok, _} = procket:ioctl(Here, 16#400454ca, Ifreq),
        ?assertMatch({ok, _}, net:if_name2index("procketN")),
        ok = procket:close(Here)
    end),
    ?assertEqual({error, enoent}, procket:dev("net/tun", [{namespace, "/run/netns/not-there"}, {exec, [""]}])),
    ?assertEqual({error, einval}, procket:dev("net/tun", [{namespace, "/etc/passwd"}, {exec, [""]}])).

%% Paths are those in the node's working directory at that moment, also where that one alone is longer than sun_path.
relative_path(Config) ->
    Root = filename:join(proplists:get_value(priv_dir, Config), "paths"),
    Directories = [filename:join(Root, "short"), filename:join(Root, lists:duplicate(200, $d)), filename:join(Root, "with blanks and \x{e9}")],
    [
        in_directory(Directory, fun() ->
            {ok, Listener} = procket:socket(local, stream, 0),
            ok = procket:bind(Listener, unix_address("rel.sock")),
            ?assertEqual({error, eaddrinuse}, procket:bind(element(2, procket:socket(local, stream, 0)), unix_address("rel.sock"))),
            ?assertMatch({ok, _}, file:read_file_info(filename:join(Directory, "rel.sock"))),
            ?assertMatch({ok, <<1:16/native, "rel.sock", 0, _/binary>>}, procket:getsockname(Listener, <<0:880>>)),
            ok = procket:listen(Listener),
            {ok, FD} = procket:socket(local, stream, 0),
            ok = procket:connect(FD, unix_address("rel.sock")),
            {ok, Peer} = procket:accept(Listener),
            ok = procket:write(Peer, <<"here">>),
            ?assertEqual({ok, <<"here">>}, procket:read(FD, 10)),
            [ok] = procket:call([{bind, [element(2, procket:socket(local, stream, 0)), unix_address("../in.call")]}]),
            ok = file:delete("../in.call"),
            [ok = procket:close(One) || One <- [Listener, FD, Peer]]
        end)
     || Directory <- Directories
    ],
    ?assertMatch({error, enoent}, file:read_file_info("/rel.sock")).

relative_path_of_datagrams(Config) ->
    in_directory(filename:join(proplists:get_value(priv_dir, Config), "datagrams"), fun() ->
        {ok, To} = procket:socket(local, dgram, 0),
        ok = procket:bind(To, unix_address("to")),
        {ok, From} = procket:socket(local, dgram, 0),
        ok = procket:sendto(From, <<"sendto">>, 0, unix_address("to")),
        ok = procket:sendmsg(From, <<"sendmsg">>, 0, [], unix_address("./to")),
        {ok, 2} = procket:sendmmsg(From, [{<<"one">>, unix_address("to")}, {<<"two">>, unix_address("to")}], 0),
        ?assertEqual([<<"sendto">>, <<"sendmsg">>, <<"one">>, <<"two">>], [Data || _ <- [1, 2, 3, 4], {ok, Data} <- [procket:recv(To, 10)]]),
        ?assertEqual({error, enoent}, procket:sendto(From, <<"x">>, 0, unix_address("nobody"))),
        [ok = procket:close(FD) || FD <- [To, From]]
    end).

relative_namespace(Config) ->
    in_directory(filename:join(proplists:get_value(priv_dir, Config), "namespaces"), fun() ->
        ok = file:make_symlink("/proc/" ++ os:getpid() ++ "/ns/net", "net"),
        ok = procket:setns("net", 16#40000000),
        ?assertEqual({error, enoent}, procket:setns("not-there"))
    end),
    in_directory("/run", fun() ->
        procket_test:with_netns(fun(Name) ->
            {ok, FD} = procket:open(0, [{protocol, udp}, {namespace, "netns/" ++ Name}]),
            ok = procket:close(FD)
        end),
        {ok, Piped} = procket:open(0, [{protocol, udp}, {pipe, "procket-pipe"}]),
        ok = procket:close(Piped)
    end).

directory_removed(Config) ->
    Directory = filename:join(proplists:get_value(priv_dir, Config), "removed_directory"),
    in_directory(Directory, fun() ->
        ok = file:del_dir(Directory),
        {ok, FD} = procket:socket(local, stream, 0),
        ?assertEqual({error, enoent}, procket:bind(FD, unix_address("rel.sock"))),
        ok = procket:close(FD)
    end),
    ?assertMatch({error, enoent}, file:read_file_info("/rel.sock")).

%% What is made at a path is made with the node's mask: others may connect where it lets them.
mask_of_the_node(_Config) ->
    Directory = string:trim(procket_test:sh_ok("mktemp -d -p /var/tmp && chmod 755 /var/tmp")),
    try
        _ = procket_test:sh_ok(["chmod 755 ", Directory]),
        [
            begin
                Path = filename:join(Directory, Mask),
                Expression = io_lib:format(
                    "{ok, FD} = procket:socket(local, dgram, 0), ok = procket:bind(FD, <<1:16/native, \"~s\", 0:(8 * 40)>>), procket:close(FD)", [Path]),
                ok = procket_test:run_node("umask " ++ Mask ++ " &&", Expression),
                {ok, #file_info{mode = Mode}} = file:read_file_info(Path),
                ?assertEqual({Mask, Expected}, {Mask, Mode band 8#777})
            end
         || {Mask, Expected} <- [{"000", 8#777}, {"022", 8#755}, {"077", 8#700}]
        ]
    after
        procket_test:sh(["rm -rf ", Directory])
    end.

%% The modules in a directory, the port program beside it, and no procket.app.
modules_alone(Config) ->
    Directory = filename:join(proplists:get_value(priv_dir, Config), "alone"),
    Lib = procket_test:copy_application(Directory),
    ok = file:delete(filename:join(Lib, "ebin/procket.app")),
    Test = filename:dirname(code:which(?MODULE)),
    Expression = "application:ensure_all_started(procket_not_there), "
        "{ok, FD} = procket:open(0, [{protocol, udp}]), {ok, Socket} = procket:socket(inet, dgram, udp), {ok, Raw} = gen_raw:open(\"lo\", []), "
        "{procket:close(FD), procket:close(Socket), gen_raw:close(Raw), lists:member(procket_direct, element(2, application:get_key(procket, modules)))}",
    ?assertEqual({ok, ok, ok, true}, procket_test:run_node("cd / &&", [Lib, "/ebin ", Test], Expression)),
    %% Each may be the first.
    [?assertEqual(ok, procket_test:run_node("cd / &&", [Lib, "/ebin"], First)) || First <- [
        "element(1, procket:socket(inet, dgram, udp))", "element(1, gen_raw:open(\"lo\", []))", "element(1, procket:open(0, [{protocol, udp}, {pipe, \"/tmp/alone\"}]))"
    ]].

unix_address(Path) ->
    <<1:16/native, (unicode:characters_to_binary(Path))/binary, 0:640>>.

in_directory(Directory, Fun) ->
    {ok, Before} = file:get_cwd(),
    ok = filelib:ensure_dir(filename:join(Directory, "x")),
    ok = file:set_cwd(Directory),
    try
        Fun()
    after
        ok = file:set_cwd(Before)
    end.

%% bpf

bpf_instructions(_Config) ->
    Insn = #insn{code = ?BPF_JMP + ?BPF_JEQ + ?BPF_K, jt = 1, jf = 2, k = 16#88b5},
    ?assertEqual(<<16#15:16/native, 1, 2, 16#88b5:32/native>>, bpf:insn(Insn)),
    ?assertEqual(Insn, bpf:insn(bpf:insn(Insn))),
    ?assertEqual(Insn, bpf:insn(?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, 16#88b5, 1, 2))).

bpf_offsets(_Config) ->
    ?assertEqual([0, 8, 16], [bpf:offset(Name) || Name <- [word, halfword, byte]]),
    ?assertEqual([word, halfword, byte], [bpf:offset(Number) || Number <- [0, 8, 16]]),
    ?assertError(badarg, bpf:offset(1)).

bpf_buffers(_Config) ->
    Time = bpf:sizeof(bpf_timeval) * 4,
    Packet = <<1_500_000_001:Time/native, 250:Time/native, 5:32/native, 60:32/native, 32:16/native, 0:48, "first">>,
    ?assertEqual({bpf_hdr, {1500, 1, 250}, 5, 60, 32}, bpf:hdr(Packet)),
    ?assertEqual({bpf_buf, {1500, 1, 250}, 60, <<"first">>, <<>>}, bpf:buf(Packet)),
    ?assertEqual({error, bad_hdr}, bpf:hdr(<<1, 2, 3>>)),
    ?assertEqual({error, bad_hdr}, bpf:buf(<<>>)),
    ?assertEqual({error, bad_packet}, bpf:buf(binary:part(Packet, 0, 36))),
    ?assertEqual({error, bad_packet}, bpf:packet(32, 6, Packet)).

bpf_control(_Config) ->
    {ok, FD} = procket:socket(inet, dgram, 0),
    ?assertEqual({error, not_supported}, bpf:ctl(FD, timeout)),
    ?assertEqual({error, not_supported}, bpf:ctl(FD, timeout, 1)),
    ?assertEqual({error, not_supported}, bpf:ctl(FD, seesent, 1)),
    ?assertEqual({error, not_supported}, bpf:ctl(FD, promisc, yes)),
    ?assertEqual({error, enotty}, bpf:ctl(FD, promisc, true)),
    ?assertEqual([?BIOCGSEESENT, ?BIOCSSEESENT], [bpf:ior($B, gseesent, 4), bpf:iow($B, sseesent, 4)]),
    ?assertEqual(16#40044276, bpf:ioc(16#40000000, $B, gseesent, 4)),
    ok = procket:close(FD).
