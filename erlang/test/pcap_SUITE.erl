%% Files of captured packets: what is written is read, by this and by tcpdump.
-module(pcap_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [round_trip, tcpdump_reads_it, captured_as_tcpdump_has_it, reads_what_tcpdump_wrote, other_byte_order, other_times, other_blocks, malformed, cut_off,
        errors].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_testcase(Case, Config) when Case =:= tcpdump_reads_it; Case =:= reads_what_tcpdump_wrote -> procket_test:need("tcpdump", Config);
init_per_testcase(captured_as_tcpdump_has_it, Config) ->
    case procket_test:need_root(Config) of
        Config -> procket_test:need("tcpdump", Config);
        Skip -> Skip
    end;
init_per_testcase(_, Config) -> Config.

end_per_testcase(_, _Config) ->
    ok.

file(Config, Name) ->
    filename:join(proplists:get_value(priv_dir, Config), Name).

packets() ->
    [
        {1_700_000_000_123_456_789, 60, <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 16#88b5:16, 1, 2, 3>>},
        {1_700_000_001_000_000_001, 14, <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 16#88b5:16>>},
        {2_102_444_800_999_999_999, 1500, <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 16#88b5:16, 0:(8 * 1486)>>},
        {2_102_444_801_000_000_000, 65_549, <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 16#88b5:16, 0:(8 * 65_535)>>}
    ].

written(Config, Format) ->
    Name = file(Config, "packets." ++ atom_to_list(Format)),
    {ok, File} = procket_pcap:open_write(Name, [{format, Format}]),
    ok = procket_pcap:write(File, packets()),
    ok = procket_pcap:close(File),
    Name.

all_of(Name) ->
    case procket_pcap:fold(fun(Packet, Packets) -> [Packet | Packets] end, [], Name) of
        {ok, Packets} -> {ok, lists:reverse(Packets)};
        Error -> Error
    end.

round_trip(Config) ->
    [?assertEqual({ok, packets()}, all_of(written(Config, Format))) || Format <- [pcapng, pcap]],
    Name = file(Config, "now.pcapng"),
    {ok, File} = procket_pcap:open_write(Name, [{link_type, 101}, {snaplen, 100}]),
    Before = erlang:system_time(nanosecond),
    ok = procket_pcap:write(File, <<"no time">>),
    ok = procket_pcap:write(File, []),
    ok = procket_pcap:close(File),
    {ok, [{Time, 7, <<"no time">>}]} = all_of(Name),
    ?assert(Time >= Before andalso Time =< erlang:system_time(nanosecond)).

tcpdump_reads_it(Config) ->
    [?assertEqual([{Time, Length, Bytes} || {Time, Length, Bytes} <- packets()], tcpdump(written(Config, Format))) || Format <- [pcapng, pcap]].

%% Packet for packet, from an interface.
captured_as_tcpdump_has_it(Config) ->
    raw_test:with_veth(fun(Namespace) ->
        {Tx, Rx} = {raw_test:open(Namespace, "tx0"), raw_test:open(Namespace, "rx0", [{timestamps, true}])},
        ok = gen_raw:send(Tx, [raw_test:frame(N, 20 + N) || N <- lists:seq(1, 500)]),
        Packets = raw_test:collect(Rx, 500, passive),
        {ok, #{link_type := Type}} = gen_raw:info(Rx),
        Name = file(Config, "captured.pcapng"),
        {ok, File} = procket_pcap:open_write(Name, [{link_type, Type}]),
        ok = procket_pcap:write(File, Packets),
        ok = procket_pcap:close(File),
        ?assertEqual(Packets, tcpdump(Name)),
        [ok = gen_raw:close(Socket) || Socket <- [Tx, Rx]]
    end).

%% What tcpdump prints: the time to the nanosecond, the length, and the bytes.
tcpdump(Name) ->
    Output = procket_test:sh_ok(["TZ=UTC tcpdump -r ", Name, " --nano -tt -e -n -xx 2>/dev/null"]),
    parse(string:split(Output, "\n", all), []).

parse(["\t0x" ++ Line | Lines], [{Time, Length, Bytes} | Packets]) ->
    [_, Hex] = string:split(Line, ":"),
    Printed = binary:decode_hex(list_to_binary([C || C <- Hex, C =/= $\s])),
    parse(Lines, [{Time, Length, <<Bytes/binary, Printed/binary>>} | Packets]);
parse(["" | Lines], Packets) ->
    parse(Lines, Packets);
parse([Line | Lines], Packets) ->
    {match, [Seconds, Fraction, Length]} = re:run(Line, "^(\\d+)\\.(\\d{9}) .*?, length (\\d+):", [{capture, all_but_first, list}]),
    parse(Lines, [{list_to_integer(Seconds ++ Fraction), list_to_integer(Length), <<>>} | Packets]);
parse([], Packets) ->
    lists:reverse(Packets).

%% It writes the older format.
reads_what_tcpdump_wrote(Config) ->
    Name = file(Config, "copy.pcap"),
    _ = procket_test:sh_ok(["tcpdump -r ", written(Config, pcapng), " --nano -w ", Name, " 2>/dev/null"]),
    ?assertEqual({ok, packets()}, all_of(Name)).

other_byte_order(Config) ->
    Packet = <<"bytes">>,
    Pcap = <<16#a1b2c3d4:32, 2:16, 4:16, 0:64, 65_535:32, 1:32, 1:32, 5:32, 5:32, 9:32, Packet/binary>>,
    ?assertEqual({ok, [{1_000_005_000, 9, Packet}]}, all_of(made(Config, Pcap))),
    Pcapng = <<
        (section(big))/binary,
        1:32, 20:32, 1:16, 0:16, 0:32, 20:32,
        6:32, 40:32, 0:32, 0:32, 1_000_005:32, 5:32, 9:32, Packet/binary, 0:24, 40:32
    >>,
    ?assertEqual({ok, [{1_000_005_000, 9, Packet}]}, all_of(made(Config, Pcapng))).

other_times(Config) ->
    Times = [
        {<<9, 6>>, 5, 5000}, {<<9, 0>>, 5, 5_000_000_000}, {<<9, 12>>, 5000, 5}, {<<9, 16#80>>, 5, 5_000_000_000}, {<<9, 16#8a>>, 1024, 1_000_000_000}
    ],
    [
        begin
            File = <<
                (section(little))/binary,
                1:32/little, 32:32/little, 1:16/little, 0:16, 0:32, 9:16/little, 1:16/little, Resolution, 0:24, 0:32, 32:32/little,
                (enhanced(0, Stamp, <<"abcd">>))/binary
            >>,
            ?assertEqual({ok, [{Time, 4, <<"abcd">>}]}, all_of(made(Config, File)))
        end
     || {<<9, Resolution>>, Stamp, Time} <- Times
    ].

%% Names, statistics, blocks of others; a packet without a time; a second section.
other_blocks(Config) ->
    Interface = <<1:32/little, 20:32/little, 1:16/little, 0:16, 3:32/little, 20:32/little>>,
    Other = <<16#bad:32/little, 16:32/little, "1234", 16:32/little>>,
    Simple = <<3:32/little, 20:32/little, 5:32/little, "abc", 0, 20:32/little>>,
    File = <<
        (section(little))/binary, Other/binary, Interface/binary, Simple/binary, Other/binary,
        (section(little))/binary, Interface/binary, Interface/binary, (enhanced(1, 7, <<"efgh">>))/binary
    >>,
    ?assertEqual({ok, [{0, 5, <<"abc">>}, {7000, 4, <<"efgh">>}]}, all_of(made(Config, File))).

section(little) -> <<16#0a0d0d0a:32, 28:32/little, 16#1a2b3c4d:32/little, 1:16/little, 0:16, -1:64, 28:32/little>>;
section(big) -> <<16#0a0d0d0a:32, 28:32, 16#1a2b3c4d:32, 1:16, 0:16, -1:64, 28:32>>.

enhanced(Interface, Stamp, <<Bytes:4/binary>>) ->
    <<6:32/little, 36:32/little, Interface:32/little, (Stamp bsr 32):32/little, Stamp:32/little, 4:32/little, 4:32/little, Bytes/binary, 36:32/little>>.

malformed(Config) ->
    Section = section(little),
    Interface = <<1:32/little, 20:32/little, 1:16/little, 0:16, 0:32, 20:32/little>>,
    [
        ?assertEqual({error, {badfile, Offset}}, all_of(made(Config, File)), File)
     || {Offset, File} <- [
            {0, <<>>},
            {0, <<"not a capture">>},
            {0, <<16#0a0d0d0a:32, 28:32/little, 0:32>>},
            {0, <<16#0a0d0d0a:32, 27:32/little, 16#1a2b3c4d:32/little, 0:128>>},
            %% Lengths that are too short, not aligned, too long, or not the same at both ends.
            {28, <<Section/binary, 6:32/little, 8:32/little, 8:32/little>>},
            {28, <<Section/binary, 6:32/little, 13:32/little, 0:200>>},
            {28, <<Section/binary, 6:32/little, 16#fffffff0:32/little, 0:200>>},
            {28, <<Section/binary, 1:32/little, 20:32/little, 1:16/little, 0:16, 0:32, 24:32/little>>},
            %% A packet of no interface, and one longer than its block.
            {28, <<Section/binary, (enhanced(0, 1, <<"abcd">>))/binary>>},
            {48, <<Section/binary, Interface/binary, 6:32/little, 32:32/little, 0:96, 100:32/little, 100:32/little, 32:32/little>>},
            %% An option that is longer than its block.
            {28, <<Section/binary, 1:32/little, 24:32/little, 1:16/little, 0:16, 0:32, 9:16/little, 100:16/little, 24:32/little>>},
            {24, <<16#a1b23c4d:32/little, 0:160, 0:64, 16#ffffffff:32, 0:32>>}
        ]
    ].

cut_off(Config) ->
    [
        begin
            {ok, Whole} = file:read_file(written(Config, Format)),
            Ends = ends(Format),
            [
                begin
                    Result = all_of(made(Config, binary:part(Whole, 0, Length))),
                    case lists:keyfind(Length, 1, Ends) of
                        {_, Count} -> ?assertEqual({ok, lists:sublist(packets(), Count)}, Result);
                        false -> ?assertMatch({error, {badfile, _}}, Result)
                    end
                end
             || Length <- lists:seq(0, 200)
            ]
        end
     || Format <- [pcapng, pcap]
    ].

%% Where a file may end, and how many packets it then has.
ends(pcapng) -> [{28, 0}, {60, 0}, {112, 1}, {160, 2}];
ends(pcap) -> [{24, 0}, {57, 1}, {87, 2}].

errors(Config) ->
    ?assertEqual({error, enoent}, procket_pcap:open_write("/nowhere/file", [])),
    ?assertEqual({error, enoent}, procket_pcap:fold(fun(_, N) -> N end, 0, file(Config, "nothing"))),
    [?assertError(badarg, procket_pcap:open_write(file(Config, "bad"), [Option])) || Option <- [{format, text}, {link_type, -1}, {snaplen, many}]],
    {ok, Full} = procket_pcap:open_write("/dev/full", []),
    ok = procket_pcap:write(Full, <<"packet">>),
    ?assertEqual({error, enospc}, procket_pcap:close(Full)).

made(Config, Bytes) ->
    Name = file(Config, "made"),
    ok = file:write_file(Name, Bytes),
    Name.
