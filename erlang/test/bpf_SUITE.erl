%% Instructions, request numbers and the parser of bpf, and the numbers of procket_ioctl. The device is of BSD and macOS and cannot run here.
-module(bpf_SUITE).
-include_lib("stdlib/include/assert.hrl").
-include_lib("procket/include/procket.hrl").
-include_lib("procket/include/ioctl.hrl").
-include_lib("procket/include/packet.hrl").
-include_lib("procket/include/bpf.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [requests_of_bsd, requests_of_linux, directions, instructions, alignment, packets, packets_cut, open_without_device, headers].

%% As the headers of 64-bit BSD and macOS have them.
requests_of_bsd(_Config) ->
    ?assertEqual(
        [
            16#40044266, 16#c0044266, 16#80104267, 16#20004268, 16#20004269, 16#4004426a, 16#4020426b, 16#8020426c, 16#8010426d, 16#4010426e,
            16#4008426f, 16#80044270, 16#40044271, 16#40044272, 16#80044273, 16#40044274, 16#80044275, 16#40044276, 16#80044277, 16#80044278, 16#c00c4279
        ],
        [
            ?BIOCGBLEN, ?BIOCSBLEN, ?BIOCSETF, ?BIOCFLUSH, ?BIOCPROMISC, ?BIOCGDLT, ?BIOCGETIF, ?BIOCSETIF, ?BIOCSRTIMEOUT, ?BIOCGRTIMEOUT,
            ?BIOCGSTATS, ?BIOCIMMEDIATE, ?BIOCVERSION, ?BIOCGRSIG, ?BIOCSRSIG, ?BIOCGHDRCMPLT, ?BIOCSHDRCMPLT, ?BIOCGSEESENT, ?BIOCSSEESENT, ?BIOCSDLT, ?BIOCGDLTLIST
        ]
    ),
    ?assertEqual(16#20004268, bpf:io($B, 104)),
    ?assertEqual(16#c0044266, bpf:iowr($B, 102, 4)),
    ?assertEqual(16#40044266, bpf:ioc(16#40000000, $B, 102, 4)).

%% TUNSETIFF, TUNGETFEATURES, TUNSETPERSIST of linux/if_tun.h; BLKROSET of linux/fs.h, which has no argument.
requests_of_linux(_Config) ->
    {unix, linux} = os:type(),
    ?assertEqual(16#400454ca, ?IOW($T, 202, 4)),
    ?assertEqual(16#800454cf, ?IOR($T, 207, 4)),
    ?assertEqual(16#400454cb, procket_ioctl:iow($T, 203, 4)),
    ?assertEqual(16#0000125d, ?IO(16#12, 93)),
    ?assertEqual(16#c0045877, ?IOWR($X, 119, 4)),
    ?assertEqual(16#400454ca, procket_ioctl:ioc(procket_ioctl:in(), $T, 202, 4)),
    ?assertError(badarg, procket_ioctl:io(256, 1)),
    ?assertError(badarg, procket_ioctl:iow($T, 1, -1)).

directions(_Config) ->
    ?assertEqual({16#40000000, 16#80000000, 0}, {procket_ioctl:in(linux), procket_ioctl:out(linux), procket_ioctl:void(linux)}),
    ?assertEqual({16#80000000, 16#40000000, 16#20000000}, {procket_ioctl:in(bsd), procket_ioctl:out(bsd), procket_ioctl:void(bsd)}),
    ?assertEqual({procket_ioctl:in(linux), procket_ioctl:out(linux), procket_ioctl:void(linux)}, {procket_ioctl:in(), procket_ioctl:out(), procket_ioctl:void()}).

instructions(_Config) ->
    ?assertEqual(<<16#28:16/native, 0, 0, 12:32/native>>, ?BPF_STMT(?BPF_LD + ?BPF_H + ?BPF_ABS, 12)),
    ?assertEqual(<<16#15:16/native, 1, 2, 16#800:32/native>>, ?BPF_JUMP(?BPF_JMP + ?BPF_JEQ + ?BPF_K, 16#800, 1, 2)),
    ?assertEqual(<<6:16/native, 0, 0, 16#ffffffff:32/native>>, bpf:insn(#insn{code = ?BPF_RET + ?BPF_K, k = 16#ffffffff})),
    ?assertError(function_clause, bpf:insn(<<1>>)).

alignment(_Config) ->
    8 = bpf:alignment(),
    ?assertEqual([0, 8, 8, 16], [bpf:align(N) || N <- [0, 1, 8, 9]]),
    ?assertEqual([0, 7, 0, 7], [bpf:pad(N) || N <- [0, 1, 8, 9]]),
    ?assertEqual({16, 32}, {bpf:sizeof(timeval), bpf:sizeof(ifreq)}).

%% struct bpf_hdr with a time of 64 bits each, a header of 26 bytes padded to 32, and 5 and 3 bytes of packets.
packets(_Config) ->
    Buffer = <<(header(1_500_000_001, 250, 5, 60))/binary, "first", 0:24, (header(1_500_000_002, 7, 3, 3))/binary, "two">>,
    {bpf_buf, {1500, 1, 250}, 60, <<"first">>, Rest} = bpf:buf(Buffer),
    ?assertEqual({bpf_buf, {1500, 2, 7}, 3, <<"two">>, <<>>}, bpf:buf(Rest)),
    ?assertEqual({bpf_hdr, {1500, 1, 250}, 5, 60, 32}, bpf:hdr(Buffer)),
    ?assertEqual({bpf_packet, <<"first">>, Rest}, bpf:packet(32, 5, Buffer)).

packets_cut(_Config) ->
    Buffer = <<(header(1, 2, 5, 5))/binary, "first">>,
    [?assertEqual({error, bad_hdr}, bpf:buf(binary:part(Buffer, 0, N))) || N <- lists:seq(0, 25)],
    [?assertEqual({error, bad_packet}, bpf:buf(binary:part(Buffer, 0, N))) || N <- lists:seq(26, 36)],
    ?assertMatch({bpf_buf, _, 5, <<"first">>, <<>>}, bpf:buf(Buffer)).

header(Seconds, Micro, Caplen, Datalen) ->
    <<Seconds:64/native, Micro:64/native, Caplen:32/native, Datalen:32/native, 32:16/native, 0:48>>.

open_without_device(_Config) ->
    ?assertMatch({error, _}, bpf:open("lo")),
    {ok, FD} = procket:socket(inet, dgram, 0),
    [?assertEqual({error, enotty}, bpf:ctl(FD, Key)) || Key <- [blen, dlt, dltlist, flush, getif, hdrcmplt, seesent, stats, version]],
    Values = [{blen, 4096}, {dlt, 1}, {hdrcmplt, true}, {immediate, false}, {seesent, true}, {promisc, true}, {setf, [?BPF_STMT(6, 0)]}, {setf, []}, {setif, "lo"}],
    [?assertEqual({error, enotty}, bpf:ctl(FD, Key, Value)) || {Key, Value} <- Values],
    ok = procket:close(FD).

headers(_Config) ->
    ?assertEqual({2, 17, 10, 1, 1, 0}, {?PF_INET, ?PF_PACKET, ?PF_INET6, ?PF_LOCAL, ?PF_UNIX, ?PF_UNSPEC}),
    ?assertEqual({1, 2, 3}, {?SOCK_STREAM, ?SOCK_DGRAM, ?SOCK_RAW}),
    ?assertEqual({108, 128, 16}, {?UNIX_PATH_MAX, ?BACKLOG, ?IFNAMSIZ}),
    ?assertEqual({1, 2, 25, 26, 27}, {?SOL_SOCKET, ?SO_REUSEADDR, ?SO_BINDTODEVICE, ?SO_ATTACH_FILTER, ?SO_DETACH_FILTER}),
    ?assertEqual({16#8910, 16#8933, 16#8915, 16#8927}, {?SIOCGIFNAME, ?SIOCGIFINDEX, ?SIOCGIFADDR, ?SIOCGIFHWADDR}),
    ?assertEqual({263, 1, 2, 1}, {?SOL_PACKET, ?PACKET_ADD_MEMBERSHIP, ?PACKET_DROP_MEMBERSHIP, ?PACKET_MR_PROMISC}),
    ?assertEqual(16#0800, ?ETH_P_IP).
