%% What docs/security.md says that an unprivileged user needs no opener for, once root has set up the machine.
-module(unaided_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [low_ports, ping, tun_of_a_user].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    procket_machine:need(Config).

end_per_suite(_Config) ->
    ok.

low_ports(_Config) ->
    Open = "procket:open(53, [{protocol, udp}, {exec, [\"\"]}])",
    procket_machine:with(fun(Machine) ->
        ?assertEqual("{error,eacces}", procket_machine:eval(Machine, Open)),
        Allowed = "echo 53 >/proc/sys/net/ipv4/ip_unprivileged_port_start",
        ?assertMatch("{ok," ++ _, procket_machine:eval(Machine, Allowed, Open)),
        ?assertEqual("ok", procket_machine:eval(Machine, Allowed, "element(1, gen_udp:open(53))")),
        ?assertEqual("{error,eacces}", procket_machine:eval(Machine, Allowed, "procket:open(52, [{protocol, udp}, {exec, [\"\"]}])"))
    end).

ping(_Config) ->
    Open = "procket:open(0, [{protocol, icmp}, {type, dgram}, {exec, [\"\"]}])",
    procket_machine:with(fun(#{uid := Uid} = Machine) ->
        Range = fun(Least, Most) -> io_lib:format("echo ~b ~b >/proc/sys/net/ipv4/ping_group_range", [Least, Most]) end,
        ?assertEqual("{error,eacces}", procket_machine:eval(Machine, Range(1, 0), Open)),
        ?assertMatch("{ok," ++ _, procket_machine:eval(Machine, Range(0, 2_147_483_647), Open)),
        %% The kernel fills in the identifier and the checksum, and an answer comes.
        Echo = "begin {ok, FD} = procket:open(0, [{protocol, icmp}, {type, dgram}, {exec, [\"\"]}]), "
            "ok = procket:sendto(FD, <<8, 0, 0:16, 0:16, 1:16>>, 0, <<2:16/native, 0:16, 127, 0, 0, 1, 0:64>>), ok = procket:select(FD, read), "
            "receive {procket, FD, ready, read} -> ok end, {ok, <<0, 0, _:16, Id:16, 1:16>>} = procket:recv(FD, 100), Id =/= 0 end",
        ?assertEqual("true", procket_machine:eval(Machine, Range(Uid, Uid), Echo)),
        %% A raw socket still takes CAP_NET_RAW.
        ?assertEqual("{error,eperm}", procket_machine:eval(Machine, Range(Uid, Uid), "procket:open(0, [{protocol, icmp}, {exec, [\"\"]}])"))
    end).

tun_of_a_user(_Config) ->
    Set = fun(Name) ->
        ["begin {ok, FD} = procket:dev(\"net/tun\", [{exec, [\"\"]}]), Name = <<\"", Name, "\">>, ",
         "element(1, procket:ioctl(FD, 16#400454ca, <<Name/binary, 0:((16 - byte_size(Name)) * 8), 16#1001:16/native, 0:(22 * 8)>>)) end"]
    end,
    procket_machine:with(fun(#{user := User} = Machine) ->
        Made = "ip tuntap add dev theirs mode tun user " ++ User ++ " && ip tuntap add dev roots mode tun user root && ip tuntap add dev anyones mode tun",
        ?assertEqual("ok", procket_machine:eval(Machine, Made, Set("theirs"))),
        ?assertEqual("ok", procket_machine:eval(Machine, Made, Set("anyones"))),
        ?assertEqual("error", procket_machine:eval(Machine, Made, Set("roots"))),
        ?assertEqual("error", procket_machine:eval(Machine, Made, Set("new")))
    end).
