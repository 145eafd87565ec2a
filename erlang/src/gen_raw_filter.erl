%% @private
%% The filter of a capture: an expression or instructions, and what direction and length add to them, as one program for
%% the kernel.
-module(gen_raw_filter).

-export([program/2, bound/1, link_type/2, compile/3]).

-include("bpf.hrl").

-type hardware() :: non_neg_integer() | any | none.
%% ARPHRD_* of linux/if_arp.h.

-define(NO_LIMIT, 262_144).
%% linux/if_ether.h
-define(ETH_P_ALL, 3).
%% linux/filter.h: what the kernel knows of a packet besides its bytes.
-define(SKF_AD_OFF, 16#fffff000).
-define(SKF_AD_PROTOCOL, (?SKF_AD_OFF + 0)).
-define(SKF_AD_PKTTYPE, (?SKF_AD_OFF + 4)).
-define(SKF_AD_VLAN_TAG, (?SKF_AD_OFF + 44)).
-define(SKF_AD_VLAN_TAG_PRESENT, (?SKF_AD_OFF + 48)).
-define(SKF_AD_VLAN_TPID, (?SKF_AD_OFF + 60)).
%% linux/if_packet.h
-define(PACKET_OUTGOING, 4).
%% The numbers of link-layer types: pcap-linktype(7).
-define(LINKTYPE_ETHERNET, 1).
-define(LINKTYPE_RAW, 101).
-define(LINKTYPE_IEEE802_11, 105).
-define(LINKTYPE_LINUX_SLL, 113).
-define(LINKTYPE_IEEE802_11_RADIOTAP, 127).
%% The length of the header of LINKTYPE_LINUX_SLL, and where it has the packet's type and the protocol.
-define(SLL_LENGTH, 16).
-define(SLL_TYPE, 0).
-define(SLL_PROTOCOL, 14).
-define(VLAN_PROTOCOLS, [16#8100, 16#88a8, 16#9100]).
%% An Ethernet header's type, and where a tag's two halves stand.
-define(TAG, 12).
-define(TAG_LENGTH, 4).

%% How long a compiler may take, in milliseconds: it ends by itself before.
-define(TIMEOUT, 310_000).
%% What it reads at most, in bytes.
-define(LONGEST, 1_048_576).
%% BPF_MAXINSNS of linux/bpf_common.h, without those that an opener puts in front.
-define(MAX_INSTRUCTIONS, 4092).

%% The instructions, in the order of `struct sock_filter'; none where all packets pass whole.
-spec program(gen_raw_opts:options(), hardware()) -> {ok, binary()} | {error, {filter, string()}}.
program(#{source := {fd, _}, filter := {instructions, Program}}, _Hardware) ->
    {ok, Program};
program(#{source := {fd, _}}, _Hardware) ->
    {ok, <<>>};
program(#{filter := Filter, direction := Direction, snaplen := Snaplen} = Options, Hardware) ->
    case filter(Filter, Options, Hardware) of
        {ok, Program} -> joined(prefix(Direction, protocol(Options)), Program, Snaplen);
        {error, _} = Error -> Error
    end.

filter(none, _Options, _Hardware) ->
    {ok, <<>>};
filter({instructions, Program}, _Options, _Hardware) ->
    {ok, Program};
filter({expression, Expression}, #{link := Link, snaplen := Snaplen}, Hardware) ->
    case link_type(Hardware, Link) of
        undefined -> {error, {filter, "expressions are not known for interfaces of this type"}};
        _ when Link =:= cooked -> cooked(compile(Expression, ?LINKTYPE_LINUX_SLL, Snaplen));
        LinkType -> tagged(LinkType, compile(Expression, LinkType, Snaplen))
    end.

joined(<<>>, <<>>, Snaplen) when Snaplen >= ?NO_LIMIT -> {ok, <<>>};
joined(Prefix, <<>>, Snaplen) -> {ok, <<Prefix/binary, (return(Snaplen))/binary>>};
joined(Prefix, Program, _) when byte_size(Prefix) + byte_size(Program) =< 8 * ?MAX_INSTRUCTIONS ->
    {ok, <<Prefix/binary, Program/binary>>};
joined(_, _, _) -> {error, {filter, lists:concat(["the program has more than ", ?MAX_INSTRUCTIONS, " instructions"])}}.

%% The protocol that the program has to look for: the kernel gives packets that go out only to sockets that asked for all protocols.
protocol(#{direction := in}) -> all;
protocol(#{protocol := Protocol}) when Protocol =:= 0; Protocol =:= ?ETH_P_ALL -> all;
protocol(#{protocol := Protocol}) -> Protocol.

%% The protocol to bind to.
-spec bound(gen_raw_opts:options()) -> 0..16#ffff.
bound(#{protocol := Protocol} = Options) ->
    case protocol(Options) of
        all -> Protocol;
        Protocol -> ?ETH_P_ALL
    end.

%% Goes before another program: packets of the other direction or of another protocol do not pass.
prefix(Direction, Protocol) ->
    case [direction(Direction), only(?BPF_H, ?SKF_AD_PROTOCOL, Protocol)] of
        [[], []] -> <<>>;
        %% The accumulator is as it is at the beginning of a program.
        Checks -> iolist_to_binary([Checks, procket_insn:stmt(?BPF_LD + ?BPF_IMM, 0)])
    end.

direction(both) -> [];
direction(in) -> check(?BPF_B, ?SKF_AD_PKTTYPE, ?PACKET_OUTGOING, 0, 1);
direction(out) -> only(?BPF_B, ?SKF_AD_PKTTYPE, ?PACKET_OUTGOING).

only(_Size, _Offset, all) -> [];
only(Size, Offset, Value) -> check(Size, Offset, Value, 1, 0).

%% Passes over the end where the jump is 1.
check(Size, Offset, Value, True, False) ->
    [
        procket_insn:stmt(?BPF_LD + Size + ?BPF_ABS, Offset),
        procket_insn:jump(?BPF_JMP + ?BPF_JEQ + ?BPF_K, Value, True, False),
        return(0)
    ].

return(Length) ->
    procket_insn:stmt(?BPF_RET + ?BPF_K, Length).

%% @doc The number of the link-layer type that files of captured packets have: pcap-linktype(7).
-spec link_type(hardware(), raw | cooked) -> non_neg_integer() | undefined.
link_type(_, cooked) -> ?LINKTYPE_RAW;
%% ARPHRD_ETHER, ARPHRD_LOOPBACK
link_type(Hardware, raw) when Hardware =:= 1; Hardware =:= 772; Hardware =:= any -> ?LINKTYPE_ETHERNET;
%% ARPHRD_NONE (TUN), ARPHRD_RAWIP, ARPHRD_TUNNEL, ARPHRD_TUNNEL6, ARPHRD_SIT, ARPHRD_IPGRE
link_type(Hardware, raw) when
    Hardware =:= 65534; Hardware =:= 519; Hardware =:= 768; Hardware =:= 769; Hardware =:= 776; Hardware =:= 778
->
    ?LINKTYPE_RAW;
link_type(801, raw) -> ?LINKTYPE_IEEE802_11;
link_type(803, raw) -> ?LINKTYPE_IEEE802_11_RADIOTAP;
link_type(_, raw) -> undefined.

%% Without its link-layer header a packet has what the expression asks of that header as the kernel's own knowledge.
cooked({ok, Program}) ->
    relocated(Program, fun
        (_, Offset) when Offset >= ?SLL_LENGTH -> {ok, Offset - ?SLL_LENGTH};
        (?BPF_H, ?SLL_TYPE) -> {ok, ?SKF_AD_PKTTYPE};
        (?BPF_H, ?SLL_PROTOCOL) -> {ok, ?SKF_AD_PROTOCOL};
        (_, _) -> error
    end);
cooked({error, _} = Error) ->
    Error.

%% The kernel takes the tag out of a frame before a filter sees it. So a program that asks for tags is there twice: as it
%% stands for frames without one, and for the others so that it finds the tag where the kernel has it.
tagged(?LINKTYPE_ETHERNET, {ok, Program}) ->
    case asks_for_tags(Program) of
        true -> twice(Program, relocated(Program, fun tag_offset/2));
        false -> {ok, Program}
    end;
tagged(_LinkType, Result) ->
    Result.

asks_for_tags(Program) ->
    Jump = ?BPF_JMP + ?BPF_JEQ + ?BPF_K,
    lists:any(
        fun({Code, _, _, K}) -> Code =:= Jump andalso lists:member(K, ?VLAN_PROTOCOLS) end,
        instructions(Program)
    ).

twice(Program, {ok, Other}) ->
    Length = byte_size(Program) div 8,
    {ok,
        iolist_to_binary([
            procket_insn:stmt(?BPF_LD + ?BPF_B + ?BPF_ABS, ?SKF_AD_VLAN_TAG_PRESENT),
            procket_insn:jump(?BPF_JMP + ?BPF_JEQ + ?BPF_K, 0, 1, 0),
            procket_insn:stmt(?BPF_JMP + ?BPF_JA, Length),
            Program,
            Other
        ])};
twice(_Program, {error, _} = Error) ->
    Error.

tag_offset(_, Offset) when Offset < ?TAG -> {ok, Offset};
tag_offset(?BPF_H, ?TAG) -> {ok, ?SKF_AD_VLAN_TPID};
tag_offset(?BPF_H, Offset) when Offset =:= ?TAG + 2 -> {ok, ?SKF_AD_VLAN_TAG};
tag_offset(_, Offset) when Offset >= ?TAG + ?TAG_LENGTH -> {ok, Offset - ?TAG_LENGTH};
%% That of IPv4 without a tag, where a frame with one never comes to.
tag_offset(header_length, Offset) -> {ok, Offset};
tag_offset(_, _) -> error.

%% A program with other offsets in what it loads of a packet.
relocated(Program, Offset) ->
    try
        {ok, iolist_to_binary([relocate(Instruction, Offset) || Instruction <- instructions(Program)])}
    catch
        throw:error -> {error, {filter, "the expression asks for bytes of a header that the kernel does not keep"}}
    end.

relocate({Code, JT, JF, K}, Offset) ->
    <<(Code):16/native, JT, JF, (relocate(Code, K, Offset)):32/native>>.

relocate(Code, K, Offset) when K < ?SKF_AD_OFF ->
    Class = Code band 16#07,
    Mode = Code band 16#e0,
    case (Class =:= ?BPF_LD orelse Class =:= ?BPF_LDX) andalso (Mode =:= ?BPF_ABS orelse Mode =:= ?BPF_IND orelse Mode =:= ?BPF_MSH) of
        true ->
            case Offset(size(Code, Mode), K) of
                {ok, New} -> New;
                error -> throw(error)
            end;
        false ->
            K
    end;
relocate(_Code, K, _Offset) ->
    K.

size(_Code, ?BPF_MSH) -> header_length;
size(Code, _Mode) -> Code band 16#18.

instructions(Program) ->
    [{Code, JT, JF, K} || <<Code:16/native, JT, JF, K:32/native>> <= Program].

%% @doc Compiles an expression in the language of pcap-filter(7), with libpcap, in a process of its own.
-spec compile(Expression :: string(), LinkType :: non_neg_integer(), Snaplen :: pos_integer()) ->
    {ok, binary()} | {error, {filter, string()}}.
compile(Expression, LinkType, Snaplen) ->
    case unicode:characters_to_binary(Expression) of
        Text when byte_size(Text) =< ?LONGEST -> compile_text(Text, LinkType, Snaplen);
        _ -> {error, {filter, lists:concat(["the expression is longer than ", ?LONGEST, " bytes"])}}
    end.

compile_text(Text, LinkType, Snaplen) ->
    Path = procket_command:filter(),
    Args = [integer_to_list(LinkType), integer_to_list(Snaplen)],
    case procket_command:execute(Path, Args, [{packet, 4}, exit_status, binary, hide]) of
        {ok, Port} ->
            %% What does not fit into the pipe waits in the port.
            try
                true = port_command(Port, Text),
                collect(Port, <<>>)
            catch
                error:badarg -> collect(Port, <<>>)
            end;
        {error, enoent} ->
            {error, {filter, lists:concat(["there is no ", Path, ", as where procket was built without libpcap: instructions can be given"])}};
        {error, Reason} ->
            {error, {filter, lists:concat(["cannot run ", Path, ": ", Reason])}}
    end.

collect(Port, Output) ->
    receive
        {Port, {data, Data}} -> collect(Port, Data);
        {Port, {exit_status, 0}} when byte_size(Output) rem 8 =:= 0, Output =/= <<>> -> {ok, Output};
        {Port, {exit_status, 1}} -> {error, {filter, unicode:characters_to_list(Output)}};
        {Port, {exit_status, Status}} -> {error, {filter, lists:concat(["the compiler ended with status ", Status])}};
        %% It ended before it had read the expression.
        {'EXIT', Port, Reason} -> {error, {filter, lists:concat(["the compiler ended: ", Reason])}}
    after ?TIMEOUT ->
        procket_spawn:close_port(Port),
        {error, {filter, "the expression takes too long to compile"}}
    end.
