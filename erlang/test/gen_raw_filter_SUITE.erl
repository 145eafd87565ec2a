%% Filters of gen_raw: expressions, instructions, and that nothing else ever comes through.
-module(gen_raw_filter_SUITE).
-include_lib("stdlib/include/assert.hrl").
-include_lib("procket/include/bpf.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [expression, wrong_expression, expression_without_libpcap, instructions, instructions_refused, attached_before_the_first_packet, vlan, vlan_too_clever,
        cooked, hostile_expressions, long_expressions, bounds, no_room_for_the_program, memory_of_the_compiler, compiler_has_no_rights].

suite() ->
    [{timetrap, {minutes, 2}}].

init_per_suite(Config) ->
    procket_test:need_root(Config).

end_per_suite(_Config) ->
    _ = application:stop(procket).

init_per_testcase(Case, Config) when Case =:= instructions; Case =:= instructions_refused; Case =:= expression_without_libpcap ->
    Config;
init_per_testcase(Case, Config) ->
    case filelib:is_regular(procket_command:filter()) of
        true when Case =:= memory_of_the_compiler -> procket_test:need("python3", Config);
        true -> Config;
        false -> {skip, "built without libpcap"}
    end.

end_per_testcase(_, _Config) ->
    ok.

expression(_Config) ->
    passing("udp port 53 and not host 10.0.0.1", [], [
        {udp({10, 0, 0, 2}, 53), true},
        {udp({10, 0, 0, 1}, 53), false},
        {udp({10, 0, 0, 2}, 54), false},
        {raw_test:frame(1), false}
    ]),
    passing(<<"ether proto 0x88b5">>, [{snaplen, 30}], [{raw_test:frame(1, 30), true}, {udp({10, 0, 0, 1}, 53), false}]).

wrong_expression(_Config) ->
    {error, {filter, Message}} = gen_raw:open("lo", [{filter, "udp prt 53"}]),
    ?assertMatch({match, _}, re:run(Message, "syntax error")),
    {error, {filter, Rejects}} = gen_raw:open("lo", [{filter, "ip and arp"}]),
    ?assertMatch({match, _}, re:run(Rejects, "rejects all packets")),
    ?assertMatch({error, {filter, _}}, gen_raw:open({fd, 0}, [{filter, "udp"}])),
    procket_test:wait_until(fun() -> procket_test:os_pids(capture) =:= [] end).

%% The compiler stands beside the port program; here it does not.
expression_without_libpcap(_Config) ->
    Dir = string:trim(procket_test:sh_ok("mktemp -d")),
    Program = filename:join(Dir, "procket"),
    try
        _ = procket_test:sh_ok(["cp ", procket:progname(), " ", Program]),
        ok = application:set_env(procket, port_executable, Program),
        {error, {filter, Message}} = gen_raw:open("lo", [{filter, "udp"}]),
        ?assertMatch({match, _}, re:run(Message, "without libpcap")),
        {ok, Socket} = gen_raw:open("lo", [{filter, [bpf:stmt(?BPF_RET + ?BPF_K, 0)]}]),
        ok = gen_raw:close(Socket)
    after
        application:unset_env(procket, port_executable),
        procket_test:sh(["rm -rf ", Dir])
    end.

instructions(_Config) ->
    passing(sniff:udp_port_filter(53), [], [{udp({10, 0, 0, 2}, 53), true}, {udp({10, 0, 0, 2}, 54), false}]).

instructions_refused(_Config) ->
    {error, {filter, Message}} = gen_raw:open("lo", [{filter, [bpf:stmt(?BPF_LD + ?BPF_IMM, 1)]}]),
    ?assertMatch({match, _}, re:run(Message, "kernel")),
    ?assertError(badarg, gen_raw:open("lo", [{filter, [an_atom]}])).

%% Under full load from before it is opened.
attached_before_the_first_packet(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Sender = spawn_link(fun() ->
            Tx = raw_test:open(Name, "tx0", [{protocol, 0}]),
            send(Tx, [udp({10, 0, 0, 1}, 53) | raw_test:frames(500)])
        end),
        [
            begin
                Rx = raw_test:open(Name, "rx0", [{filter, "udp port 53"}, {active, true}]),
                Packets = raw_test:collect(Rx, 20),
                ok = gen_raw:close(Rx),
                ?assertEqual([udp({10, 0, 0, 1}, 53)], lists:usort(Packets ++ raw_test:flush(Rx)))
            end
         || _ <- lists:seq(1, 10)
        ],
        unlink(Sender),
        exit(Sender, kill)
    end).

send(Tx, Frames) ->
    ok = gen_raw:send(Tx, Frames),
    send(Tx, Frames).

%% As the kernel keeps the tag apart from the bytes that a filter sees, this is not what libpcap alone makes.
vlan(_Config) ->
    Frames = fun(Vlan) ->
        [tagged(5, udp({10, 0, 0, 2}, 53)), tagged(6, udp({10, 0, 0, 2}, 53)), tagged(5, udp({10, 0, 0, 2}, 54)), udp({10, 0, 0, 2}, 53), tagged(5, raw_test:frame(1))]
            -- Vlan
    end,
    All = Frames([]),
    [A, B, C, D, E] = All,
    [
        passing(Expression, [], [{Frame, lists:member(Frame, Passing)} || Frame <- All])
     || {Expression, Passing} <- [
            {"vlan", [A, B, C, E]},
            {"vlan 5", [A, C, E]},
            {"vlan 5 and udp port 53", [A]},
            {"vlan and host 10.0.0.2", [A, B, C]},
            {"not vlan", [D]},
            {"udp port 53 or (vlan and udp port 54)", [C, D]},
            %% Without that word a tag does not matter, as with tcpdump on an interface.
            {"udp port 53", [A, B, D]}
        ]
    ].

vlan_too_clever(_Config) ->
    {error, {filter, Message}} = gen_raw:open("lo", [{filter, "vlan and ether[15] = 5"}]),
    ?assertMatch({match, _}, re:run(Message, "header")).

cooked(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Tx = raw_test:open(Name, "tx0"),
        Rx = raw_test:open(Name, "rx0", [{filter, "udp port 53 or arp"}, {link, cooked}, {active, true}]),
        <<_:14/binary, Packet/binary>> = Frame = udp({10, 0, 0, 2}, 53),
        ARP = <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 16#0806:16, 0:224>>,
        ok = gen_raw:send(Tx, [raw_test:frame(1), Frame, udp({10, 0, 0, 2}, 54), ARP]),
        ?assertEqual([Packet, <<0:224>>], raw_test:collect(Rx, 2)),
        [ok = gen_raw:close(Socket) || Socket <- [Tx, Rx]]
    end).

hostile_expressions(_Config) ->
    Expressions = [
        lists:duplicate(20_000, $(),
        lists:append(lists:duplicate(5_000, "udp port 53 or ")) ++ "tcp",
        lists:duplicate(100, $-),
        "host " ++ lists:duplicate(70_000, $a),
        "ether[4294967295:4] = 1",
        "-V",
        "$(reboot)"
    ],
    [?assertMatch({error, {filter, _}}, gen_raw:open("lo", [{filter, Expression}]), string:slice(Expression, 0, 20)) || Expression <- Expressions].

%% As many ports as tcpdump compiles, and more bytes than an argument of a program may have.
long_expressions(_Config) ->
    raw_test:with_veth(fun(Name) ->
        Expression = ports(200) ++ lists:duplicate(200_000, $\s),
        {Tx, Rx} = {raw_test:open(Name, "tx0"), raw_test:open(Name, "rx0", [{filter, Expression}, {active, true}])},
        ok = gen_raw:send(Tx, [udp({10, 0, 0, 1}, Port) || Port <- [201, 200, 202, 1]]),
        ?assertEqual([udp({10, 0, 0, 1}, 200), udp({10, 0, 0, 1}, 1)], raw_test:collect(Rx, 2)),
        [ok = gen_raw:close(Socket) || Socket <- [Tx, Rx]]
    end).

%% Each has a message of its own; those of time and memory are tried with less of both.
bounds(_Config) ->
    Refused = fun(Expression) ->
        {error, {filter, Message}} = gen_raw:open("lo", [{filter, Expression}]),
        Message
    end,
    ?assertEqual("the expression is longer than 1048576 bytes", Refused("udp" ++ lists:duplicate(1_048_576, $\s))),
    ?assertEqual("the expression takes more than 56 MiB of memory to compile", Refused(lists:append(lists:duplicate(5_000, "udp port 53 or ")) ++ "tcp")),
    ?assertEqual("the program has more than 4092 instructions", Refused(hosts(250))),
    limited("--cpu=1:5", fun() -> ?assertEqual("the expression takes more than 1 s of processor time to compile", Refused(ports(350))) end),
    [
        limited(Limit ++ "=33554432", fun() -> ?assertEqual("the expression takes more than 32 MiB of memory to compile", Refused(ports(350))) end)
     || Limit <- ["--data", "--as"]
    ].

%% With the limit of kernels before Linux 6.8, which have one for all namespaces.
no_room_for_the_program(_Config) ->
    raw_test:with_veth(fun(Name) ->
        _ = procket_test:sh(["ip netns exec ", Name, " sh -c 'echo 20480 >/proc/sys/net/core/optmem_max'"]),
        Open = fun(Count) -> gen_raw:open("rx0", [{filter, hosts(Count)}, {namespace, "/run/netns/" ++ Name}]) end,
        {ok, Socket} = Open(10),
        ok = gen_raw:close(Socket),
        {error, {filter, Message}} = Open(100),
        ?assertMatch({match, _}, re:run(Message, "net.core.optmem_max"))
    end).

%% In all, with the pages of its file and of libraries. What takes more is refused.
memory_of_the_compiler(_Config) ->
    with_compiler(measured(), fun(Dir) ->
        Peak = fun() ->
            {ok, Text} = file:read_file(Dir ++ "/peak"),
            ?assert(binary_to_integer(Text) < 64 * 1024, Text)
        end,
        [
            begin
                ?assertEqual(Compiled, element(1, gen_raw_filter:compile(Expression, 1, 262_144)), string:slice(Expression, 0, 30)),
                Peak()
            end
         || {Compiled, Expression} <- [
                {ok, "udp port 53"}, {ok, ports(200)}, {ok, hosts(220)}, {error, ports(400)}, {error, ports(720)}, {error, ports(20_000)},
                {error, lists:duplicate(20_000, $()}, {error, lists:append(lists:duplicate(50_000, "udp port 53 or ")) ++ "tcp"}
            ]
        ]
    end).

%% Writes the most memory that the compiler had, in KiB, to the file `peak' beside it.
measured() ->
    [
        "#!/usr/bin/env python3\nimport os, resource, subprocess, sys\n",
        "status = subprocess.run(['", procket_command:filter(), "'] + sys.argv[1:]).returncode\n",
        "with open(os.path.dirname(sys.argv[0]) + '/peak', 'w') as file:\n    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))\n",
        "sys.exit(status)\n"
    ].

ports(Count) ->
    lists:flatten(lists:join(" or ", [io_lib:format("port ~b", [N]) || N <- lists:seq(1, Count)])).

%% 17 instructions each.
hosts(Count) ->
    lists:flatten(lists:join(" or ", [io_lib:format("host fe80::~.16b", [N]) || N <- lists:seq(1, Count)])).

%% Has expressions compiled with limits of prlimit(1).
limited(Limits, Fun) ->
    with_compiler(["#!/bin/sh\nexec prlimit ", Limits, " ", procket_command:filter(), " \"$@\"\n"], fun(_Dir) -> Fun() end).

%% Has a script compile expressions, which stands in a directory of its own.
with_compiler(Script, Fun) ->
    Dir = string:trim(procket_test:sh_ok("mktemp -d")),
    try
        ok = file:write_file(Dir ++ "/procket-filter", Script),
        _ = procket_test:sh_ok(["cp ", procket:progname(), " ", Dir, "/procket && chmod 755 ", Dir, " ", Dir, "/procket-filter"]),
        ok = application:set_env(procket, port_executable, Dir ++ "/procket"),
        Fun(Dir)
    after
        application:unset_env(procket, port_executable),
        procket_test:sh(["rm -rf ", Dir])
    end.

%% Root's rights are given up, and others' not taken.
compiler_has_no_rights(_Config) ->
    Dir = string:trim(procket_test:sh_ok("mktemp -d")),
    Copy = filename:join(Dir, "procket-filter"),
    try
        _ = procket_test:sh_ok(["cp ", procket_command:filter(), " ", Copy, " && chmod a+rx ", Dir, " && chmod 4755 ", Copy]),
        ?assertMatch({77, _}, procket_test:sh(["setpriv --reuid=65534 --clear-groups ", Copy, " 1 100 </dev/null"])),
        [?assertMatch({64, _}, procket_test:sh([procket_command:filter(), Arguments])) || Arguments <- [" 1 </dev/null", " 1 100 udp </dev/null", " 1 100 </dev/null"]]
    after
        procket_test:sh(["rm -rf ", Dir])
    end.

%% Sends the frames, and one that ends them; which of them come through.
passing(Filter, Options, Frames) ->
    raw_test:with_veth(fun(Name) ->
        Tx = raw_test:open(Name, "tx0"),
        Rx = raw_test:open(Name, "rx0", [{filter, Filter}, {active, true} | Options]),
        Passing = [Frame || {Frame, true} <- Frames],
        ok = gen_raw:send(Tx, [Frame || {Frame, _} <- Frames]),
        ?assertEqual(Passing, raw_test:collect(Rx, length(Passing)), Filter),
        Count = length(Passing),
        ?assertMatch({ok, #{received := Count, delivered := Count}}, gen_raw:stats(Rx)),
        [ok = gen_raw:close(Socket) || Socket <- [Tx, Rx]]
    end).

udp({A, B, C, D}, Port) ->
    <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 16#0800:16, 16#45, 0, 40:16, 0:32, 64, 17, 0:16, 10, 9, 9, 9, A, B, C, D, 4000:16, Port:16, 20:16, 0:16, "twelve bytes">>.

tagged(Vlan, <<Addresses:12/binary, Rest/binary>>) ->
    <<Addresses/binary, 16#8100:16, Vlan:16, Rest/binary>>.
