%% @doc Packet sockets of Linux: packet(7), netdevice(7).
-module(packet).

-export([socket/0, socket/1, bind/2, bindtodevice/2, send/3, promiscuous/2]).
-export([filter/2, unfilter/1, unfilter/2]).
-export([iflist/0, default_interface/0, ifindex/2, ifname/2, ipv4address/2, macaddress/2]).
-export([arplookup/1, gateway/0, gateway/1, gateway_addr/1]).
-export([makesum/1]).

-include("packet.hrl").
-include("bpf.hrl").

-export_type([mac/0, index/0, instruction/0]).

-type mac() :: {byte(), byte(), byte(), byte(), byte(), byte()}.
-type index() :: non_neg_integer().
%% The number of an interface; 0 is none.
-type instruction() :: bpf:instruction() | #insn{}.

-define(IFNAMSIZ, 16).
%% struct ifreq, on 64-bit systems.
-define(IFREQ_SIZE, 40).

%% @doc A socket for IPv4 packets, with their link-layer headers, opened with the rights of an opener.
%% Errors as of {@link socket/1}.
-spec socket() -> {ok, procket:fd()} | {error, procket:posix()}.
socket() ->
    socket(?ETH_P_IP).

%% @doc A socket for packets of an EtherType, a number in host order, as `?ETH_P_IP' of `packet.hrl' is; 3 is every EtherType.
%% {@link procket:open/2} wants it in network order instead. `{error, eperm}': no opener had the right.
%%
%% ```
%% {ok, FD} = packet:socket(16#88b5).
%% '''
-spec socket(EtherType :: 0..16#ffff) -> {ok, procket:fd()} | {error, procket:posix()}.
socket(EtherType) ->
    procket:open(0, [{protocol, procket:ntohs(EtherType)}, {type, raw}, {family, packet}]).

%% @doc Receives from this interface alone, and sends there: bind(2).
%%
%% `{error, enodev}': there is no such interface. One that is down is bound to, and the next call that receives is `{error, enetdown}'.
%%
%% ```
%% {ok, FD} = packet:socket(),
%% ok = packet:bind(FD, packet:ifindex(FD, "lo")).
%% '''
-spec bind(procket:fd(), index()) -> ok | {error, procket:posix()}.
bind(FD, Index) ->
    procket:bind(FD, sockaddr_ll(Index)).

%% @doc Binds any socket to an interface by its name: SO_BINDTODEVICE, socket(7). An empty name takes it back.
%% Errors: `enodev'; `eperm', another interface than the one before, without CAP_NET_RAW.
%%
%% ```
%% {ok, FD} = procket:open(0, [{protocol, udp}]),
%% ok = packet:bindtodevice(FD, "lo"),
%% {error, enodev} = packet:bindtodevice(FD, "none0").
%% '''
-spec bindtodevice(procket:fd(), string()) -> ok | {error, procket:posix()}.
bindtodevice(FD, Interface) when length(Interface) < ?IFNAMSIZ ->
    procket:setsockopt(FD, ?SOL_SOCKET, ?SO_BINDTODEVICE, interface_name(Interface)).

%% @doc Sends a frame, its link-layer header included, on an interface: sendto(2).
%%
%% Errors: `enxio', there is no such interface; `enetdown', it is down; `emsgsize', the frame is longer than it takes; `einval', shorter than a link-layer header; `enobufs', its queue is full.
%%
%% ```
%% {ok, FD} = packet:socket(),
%% ok = packet:send(FD, packet:ifindex(FD, "lo"), <<0:96, 16#0800:16, "hello">>).
%% '''
-spec send(procket:fd(), index(), binary()) -> ok | {ok, non_neg_integer()} | {error, procket:posix()}.
send(FD, Index, Frame) ->
    procket:sendto(FD, Frame, 0, sockaddr_ll(Index)).

%% @doc Receives what others on the link send each other too, for as long as the descriptor is open: PACKET_MR_PROMISC.
%% `{error, enodev}': there is no such interface.
%%
%% ```
%% {ok, FD} = packet:socket(),
%% ok = packet:promiscuous(FD, packet:ifindex(FD, "lo")).
%% '''
-spec promiscuous(procket:fd(), index()) -> ok | {error, procket:posix()}.
promiscuous(FD, Index) ->
    %% struct packet_mreq
    Membership = <<Index:32/native, ?PACKET_MR_PROMISC:16/native, 0:16, 0:64>>,
    procket:setsockopt(FD, ?SOL_PACKET, ?PACKET_ADD_MEMBERSHIP, Membership).

%% @doc Lets only those packets through that a filter accepts, in the kernel: SO_ATTACH_FILTER, socket(7).
%%
%% The instructions are those of {@link bpf:stmt/2} and {@link bpf:jump/4}, or records of `bpf.hrl'. `Program' is what the kernel was given:
%% all instructions in a binary. `{error, einval}': the kernel refuses the program. `{error, enomem}': `net.core.optmem_max'
%% is too low for it. `{error, eperm}': there is one that is locked, because a policy bounds the socket to an interface.
%%
%% ```
%% {ok, FD} = packet:socket(),
%% BPF_RET_K = 6,
%% {ok, <<_:64>>} = packet:filter(FD, [bpf:stmt(BPF_RET_K, 0)]),
%% ok = packet:unfilter(FD),
%% {error, enoent} = packet:unfilter(FD).
%% '''
-spec filter(procket:fd(), [instruction()]) -> {ok, Program :: binary()} | {error, procket:posix()}.
filter(FD, Instructions) when is_list(Instructions), length(Instructions) =< 16#ffff ->
    Program = procket_insn:program(Instructions),
    Padding = procket:wordalign(2),
    %% struct sock_fprog
    case procket:alloc([<<(length(Instructions)):16/native, 0:(Padding * 8)>>, {ptr, Program}]) of
        {ok, Fprog, [Memory]} ->
            try
                %% The kernel copies the program.
                with_program(procket:setsockopt(FD, ?SOL_SOCKET, ?SO_ATTACH_FILTER, Fprog), Program)
            after
                procket:free(Memory)
            end;
        {error, _} = Error ->
            Error
    end.

with_program(ok, Program) -> {ok, Program};
with_program({error, _} = Error, _Program) -> Error.

%% @doc Takes a filter away. `{error, enoent}': there is none.
-spec unfilter(procket:fd()) -> ok | {error, procket:posix()}.
unfilter(FD) ->
    procket:setsockopt(FD, ?SOL_SOCKET, ?SO_DETACH_FILTER, <<0:32>>).

%% @doc The same; which instructions they are does not matter, and they come back as those of {@link filter/2}.
-spec unfilter(procket:fd(), [instruction()]) -> {ok, Program :: binary()} | {error, procket:posix()}.
unfilter(FD, Instructions) ->
    with_program(unfilter(FD), procket_insn:program(Instructions)).

%% @doc The names of all interfaces.
%%
%% ```
%% true = lists:member("lo", packet:iflist()).
%% '''
-spec iflist() -> [string()].
iflist() ->
    {ok, Interfaces} = net:if_names(),
    [Name || {_Index, Name} <- Interfaces].

%% @doc The interfaces of the default route, the one that is preferred first.
%% `[]': there is no default route.
-spec default_interface() -> [string()].
default_interface() ->
    [Name || {_Metric, Name} <- lists:sort([{Metric, Name} || {Name, {0, 0, 0, 0}, _, Metric} <- routes()])].

%% @doc The index of an interface: SIOCGIFINDEX, netdevice(7).
%% Errors: `enodev', there is no such interface; `ebadf', `enotty', the descriptor is no socket.
%%
%% ```
%% {error, enodev} = packet:ifindex(FD, "none0").
%% '''
-spec ifindex(procket:fd(), string()) -> index() | {error, procket:posix()}.
ifindex(FD, Interface) ->
    query(FD, ?SIOCGIFINDEX, Interface, fun(<<Index:32/native-signed, _/binary>>) -> Index end).

%% @doc The name of an interface: SIOCGIFNAME, netdevice(7).
%%
%% `{error, enodev}': there is no such interface.
%%
%% ```
%% {ok, FD} = packet:socket(),
%% <<"lo">> = packet:ifname(FD, packet:ifindex(FD, "lo")).
%% '''
-spec ifname(procket:fd(), index()) -> binary() | {error, procket:posix()}.
ifname(FD, Index) ->
    Request = <<0:(?IFNAMSIZ * 8), Index:32/native, 0:((?IFREQ_SIZE - ?IFNAMSIZ - 4) * 8)>>,
    case procket:ioctl(FD, ?SIOCGIFNAME, Request) of
        {ok, <<Name:?IFNAMSIZ/binary, _/binary>>} -> hd(binary:split(Name, <<0>>));
        {error, _} = Error -> Error
    end.

%% @doc The IPv4 address of an interface: SIOCGIFADDR, netdevice(7).
%%
%% Errors: `eaddrnotavail', it has none; `enodev', there is no such interface.
%%
%% ```
%% {ok, FD} = packet:socket(),
%% {127,0,0,1} = packet:ipv4address(FD, "lo").
%% '''
-spec ipv4address(procket:fd(), string()) -> inet:ip4_address() | {error, procket:posix()}.
ipv4address(_FD, Interface) ->
    %% A packet socket does not know addresses of IPv4.
    case procket:socket(inet, dgram, 0) of
        {ok, FD} ->
            try
                query(FD, ?SIOCGIFADDR, Interface, fun(<<_:32, A, B, C, D, _/binary>>) -> {A, B, C, D} end)
            after
                procket:close(FD)
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc The hardware address of an interface: SIOCGIFHWADDR, netdevice(7).
%% Errors as of {@link ifindex/2}. One without such an address, as a TUN device, has zeroes.
%%
%% ```
%% {0,0,0,0,0,0} = packet:macaddress(FD, "lo").
%% '''
-spec macaddress(procket:fd(), string()) -> mac() | {error, procket:posix()}.
macaddress(FD, Interface) ->
    query(FD, ?SIOCGIFHWADDR, Interface, fun(<<_:16, MAC:6/binary, _/binary>>) -> list_to_tuple(binary_to_list(MAC)) end).

%% @doc The hardware address of a neighbour, from the kernel's ARP table: arp(7).
%% `false': it is not there.
%%
%% ```
%% false = packet:arplookup({192,0,2,1}).
%% '''
-spec arplookup(inet:ip4_address() | string()) -> mac() | false.
arplookup(IP) when is_tuple(IP) ->
    case inet:ntoa(IP) of
        {error, einval} -> procket_error:badarg({ip, IP});
        Address -> arplookup(Address)
    end;
arplookup(IP) ->
    %% IP address, HW type, Flags, HW address, Mask, Device. A flag of 2 says that the address is known.
    Known = [MAC || [Address, _, "0x" ++ Flags, MAC | _] <- table("/proc/net/arp"), Address =:= IP, list_to_integer(Flags, 16) band 2 =/= 0],
    case Known of
        [MAC | _] -> list_to_tuple([list_to_integer(Byte, 16) || Byte <- string:lexemes(MAC, ":")]);
        [] -> false
    end.

%% @doc The gateway of the default route: its hardware and its IP address.
%% `false': there is no default route, or the gateway is not in the ARP table.
-spec gateway() -> {ok, mac(), inet:ip4_address()} | false.
gateway() ->
    gateway("").

%% @doc The gateway of the default route of an interface, or with an empty name of any.
%% `false' as of {@link gateway/0}.
-spec gateway(string()) -> {ok, mac(), inet:ip4_address()} | false.
gateway(Interface) ->
    case gateway_addr(Interface) of
        false ->
            false;
        IP ->
            case arplookup(IP) of
                false -> false;
                MAC -> {ok, MAC, IP}
            end
    end.

%% @doc The IP address of the gateway of the default route of an interface, or with an empty name of any: the route that is preferred.
%% `false': the interface has no default route through a gateway.
%%
%% ```
%% false = packet:gateway_addr("lo").
%% '''
-spec gateway_addr(string()) -> inet:ip4_address() | false.
gateway_addr(Interface) ->
    Gateways = [
        {Metric, Gateway}
     || {Name, {0, 0, 0, 0}, Gateway, Metric} <- routes(), Interface =:= "" orelse Interface =:= Name, Gateway =/= {0, 0, 0, 0}
    ],
    case lists:sort(Gateways) of
        [{_, Gateway} | _] -> Gateway;
        [] -> false
    end.

%% @doc The Internet checksum: RFC 1071. A last odd byte counts as if a zero stood behind it.
%%
%% ```
%% 16#220d = packet:makesum(<<0, 1, 16#f2, 3, 16#f4, 16#f5, 16#f6, 16#f7>>).
%% '''
-spec makesum(binary()) -> 0..16#ffff.
makesum(Data) ->
    16#ffff - fold(sum(Data, 0)).

sum(<<Word:16, Rest/binary>>, Sum) -> sum(Rest, Sum + Word);
sum(<<Byte>>, Sum) -> Sum + (Byte bsl 8);
sum(<<>>, Sum) -> Sum.

fold(Sum) when Sum > 16#ffff -> fold((Sum bsr 16) + (Sum band 16#ffff));
fold(Sum) -> Sum.

%% struct sockaddr_ll
sockaddr_ll(Index) ->
    <<(procket:family(packet)):16/native, 0:16, Index:32/native, 0:16, 0, 0, 0:64>>.

query(FD, Request, Interface, Parse) when length(Interface) < ?IFNAMSIZ ->
    Rest = ?IFREQ_SIZE - ?IFNAMSIZ,
    case procket:ioctl(FD, Request, <<(interface_name(Interface))/binary, 0:(Rest * 8)>>) of
        {ok, <<_:?IFNAMSIZ/binary, Answer/binary>>} -> Parse(Answer);
        {error, _} = Error -> Error
    end.

interface_name(Interface) ->
    Name = list_to_binary(Interface),
    <<Name/binary, 0:((?IFNAMSIZ - byte_size(Name)) * 8)>>.

%% {Interface, Destination, Gateway, Metric} of each IPv4 route.
routes() ->
    [
        {Name, address(Destination), address(Gateway), list_to_integer(Metric)}
     || [Name, Destination, Gateway, _Flags, _RefCnt, _Use, Metric | _] <- table("/proc/net/route")
    ].

address(Hex) ->
    <<A, B, C, D>> = <<(list_to_integer(Hex, 16)):32/native>>,
    {A, B, C, D}.

%% The words of each line of a file of proc(5), but for its heading.
table(File) ->
    case file:read_file(File) of
        {ok, Contents} -> [string:lexemes(Line, " \t") || Line <- tl(string:split(binary_to_list(Contents), "\n", all)), Line =/= ""];
        {error, _} -> []
    end.
