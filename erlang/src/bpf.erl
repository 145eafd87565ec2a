%% @doc Packet filters: their instructions, for every platform, and the device of BSD and macOS: bpf(4).
%%
%% On Linux a program of {@link stmt/2} and {@link jump/4} goes to {@link packet:filter/2}. What opens or controls a device
%% is for BSD and macOS, where it has not been run: request numbers and the parser are tested against values of those systems' headers.
-module(bpf).

-export([open/1, ctl/2, ctl/3, buf/1, hdr/1, packet/3]).
-export([insn/1, stmt/2, jump/4, offset/1]).
-export([pad/1, align/1, alignment/0, sizeof/1]).
-export([io/2, ior/3, iow/3, iowr/3, ioc/4]).

-include("bpf.hrl").

-export_type([instruction/0]).

-type instruction() :: <<_:64>>.
%% struct bpf_insn, struct sock_filter.
-type request() :: byte() | gseesent | sseesent.

-define(IFNAMSIZ, 16).
-define(is_size(N), (is_integer(N) andalso N >= 0)).
%% The longest list of link types that is asked for.
-define(DLT_MAX, 64).

%% @doc Opens a device, with the rights of an opener, and binds it to an interface. `BufLen' is how much to read at once, in bytes.
%% Errors: those of {@link procket:dev/2}, as `ebusy' where every device is taken; `enxio', there is no such interface.
-spec open(Interface :: string()) -> {ok, procket:fd(), BufLen :: pos_integer()} | {error, procket:posix()}.
open(Interface) ->
    case procket:dev("bpf") of
        {ok, FD} ->
            case setup(FD, Interface) of
                {ok, Length} ->
                    {ok, FD, Length};
                {error, _} = Error ->
                    _ = procket:close(FD),
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

setup(FD, Interface) ->
    Steps = [{setif, Interface}, {hdrcmplt, true}, {seesent, true}, {immediate, true}],
    case lists:foldl(fun({Key, Value}, Result) -> setup_step(Result, FD, Key, Value) end, {ok, <<>>}, Steps) of
        {ok, _} -> ctl(FD, blen);
        {error, _} = Error -> Error
    end.

setup_step({ok, _}, FD, Key, Value) -> ctl(FD, Key, Value);
setup_step({error, _} = Error, _FD, _Key, _Value) -> Error.

%% @doc Asks a device: `blen', the buffer's length; `dlt', the link type; `dltlist', those it could have; `flush'; `getif', its interface;
%% `hdrcmplt' and `seesent', a boolean; `stats', `{Received, Dropped}'. The answer to `version' is `{Major, Minor}' alone.
%% Errors: `enotty', the descriptor is no such device; `einval', it is bound to no interface yet; `not_supported', another key.
%%
%% ```
%% {error, enotty} = bpf:ctl(FD, blen),
%% {error, not_supported} = bpf:ctl(FD, timeout).
%% '''
-spec ctl(procket:fd(), blen | dlt | dltlist | flush | getif | hdrcmplt | seesent | stats | version | term()) ->
    {ok, term()} | {Major :: non_neg_integer(), Minor :: non_neg_integer()} | {error, procket:posix() | not_supported}.
ctl(FD, blen) -> number(FD, ?BIOCGBLEN);
ctl(FD, dlt) -> number(FD, ?BIOCGDLT);
ctl(FD, dltlist) -> dltlist(FD);
ctl(FD, flush) -> procket:ioctl(FD, ?BIOCFLUSH, <<0:32>>);
ctl(FD, getif) -> answer(procket:ioctl(FD, ?BIOCGETIF, <<0:(?SIZEOF_STRUCT_IFREQ * 8)>>), fun interface/1);
ctl(FD, hdrcmplt) -> is_set(FD, ?BIOCGHDRCMPLT);
ctl(FD, seesent) -> is_set(FD, ?BIOCGSEESENT);
ctl(FD, stats) -> answer(procket:ioctl(FD, ?BIOCGSTATS, <<0:64>>), fun(<<Received:32/native, Dropped:32/native>>) -> {Received, Dropped} end);
ctl(FD, version) ->
    case procket:ioctl(FD, ?BIOCVERSION, <<0:32>>) of
        {ok, <<Major:16/native, Minor:16/native>>} -> {Major, Minor};
        {error, _} = Error -> Error
    end;
ctl(_FD, _Key) -> {error, not_supported}.

%% @doc Tells a device: `blen' and `dlt' with a number, which comes back as the kernel has taken it, that of `blen' as a native binary; `hdrcmplt', `immediate', `promisc' and
%% `seesent' with a boolean; `setf' with a filter's instructions, which come back as a binary (an empty list takes the filter away);
%% `setif' with an interface.
%% Errors: `enotty'; `einval', the value is not one, the kernel refuses the filter, or `blen' comes after `setif'; `enxio', there is no such
%% interface; `not_supported', another key, or a value that is no boolean.
-spec ctl(procket:fd(), blen | dlt | hdrcmplt | immediate | promisc | seesent | setf | setif | term(), term()) ->
    {ok, non_neg_integer() | binary()} | {error, procket:posix() | not_supported}.
ctl(FD, blen, Length) -> procket:ioctl(FD, ?BIOCSBLEN, <<Length:32/native>>);
ctl(FD, dlt, Type) -> number(FD, ?BIOCSDLT, Type);
ctl(FD, hdrcmplt, Value) when is_boolean(Value) -> procket:ioctl(FD, ?BIOCSHDRCMPLT, boolean(Value));
ctl(FD, immediate, Value) when is_boolean(Value) -> procket:ioctl(FD, ?BIOCIMMEDIATE, boolean(Value));
ctl(FD, promisc, Value) when is_boolean(Value) -> procket:ioctl(FD, ?BIOCPROMISC, boolean(Value));
ctl(FD, seesent, Value) when is_boolean(Value) -> procket:ioctl(FD, ?BIOCSSEESENT, boolean(Value));
ctl(FD, setf, []) -> procket:ioctl(FD, ?BIOCSETF, <<0:(?SIZEOF_STRUCT_BPF_PROGRAM * 8)>>);
ctl(FD, setf, Instructions) when is_list(Instructions) -> setf(FD, Instructions);
ctl(FD, setif, Interface) when length(Interface) < ?IFNAMSIZ ->
    Name = list_to_binary(Interface),
    procket:ioctl(FD, ?BIOCSETIF, <<Name/binary, 0:((?SIZEOF_STRUCT_IFREQ - byte_size(Name)) * 8)>>);
ctl(_FD, setif, Interface) -> procket_error:badarg({interface, Interface});
ctl(_FD, _Key, _Value) -> {error, not_supported}.

setf(FD, Instructions) ->
    Program = procket_insn:program(Instructions),
    %% struct bpf_program
    case procket:alloc([<<(length(Instructions)):32/native, 0:32>>, {ptr, Program}]) of
        {ok, Struct, [_]} -> answer(procket:ioctl(FD, ?BIOCSETF, Struct), fun(_) -> Program end);
        {error, _} = Error -> Error
    end.

%% struct bpf_dltlist
dltlist(FD) ->
    case procket:alloc([<<?DLT_MAX:32/native, 0:(procket:wordalign(4) * 8)>>, {ptr, ?DLT_MAX * 4}]) of
        {ok, Struct, [List]} ->
            case procket:ioctl(FD, ?BIOCGDLTLIST, Struct) of
                {ok, <<Count:32/native, _/binary>>} ->
                    answer(procket:buf(List), fun(Bytes) -> lists:sublist([N || <<N:32/native>> <= Bytes], Count) end);
                {error, _} = Error ->
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

number(FD, Request) ->
    number(FD, Request, 0).

number(FD, Request, Number) ->
    answer(procket:ioctl(FD, Request, <<Number:32/native>>), fun(<<N:32/native>>) -> N end).

is_set(FD, Request) ->
    answer(procket:ioctl(FD, Request, <<0:32>>), fun(<<N:32/native>>) -> N =/= 0 end).

answer({ok, Bytes}, Parse) -> {ok, Parse(Bytes)};
answer({error, _} = Error, _Parse) -> Error.

interface(<<Name:?IFNAMSIZ/binary, _/binary>>) ->
    binary_to_list(hd(binary:split(Name, <<0>>))).

boolean(true) -> <<1:32/native>>;
boolean(false) -> <<0:32/native>>.

%% @doc The first packet of what was read from a device, and the rest of it.
%%
%% `Time' is `{MegaSeconds, Seconds, MicroSeconds}', `Datalen' the packet's length on the wire.
%% Errors: `bad_hdr', no whole header is there; `bad_packet', no whole packet.
-spec buf(binary()) ->
    {bpf_buf, Time :: erlang:timestamp(), Datalen :: non_neg_integer(), Packet :: binary(), Rest :: binary()}
    | {error, bad_hdr | bad_packet}.
buf(Bytes) ->
    case hdr(Bytes) of
        {bpf_hdr, Time, Caplen, Datalen, Hdrlen} ->
            case packet(Hdrlen, Caplen, Bytes) of
                {bpf_packet, Packet, Rest} -> {bpf_buf, Time, Datalen, Packet, Rest};
                {error, _} = Error -> Error
            end;
        {error, _} = Error ->
            Error
    end.

%% @doc The header at the start of what was read: `struct bpf_hdr' of net/bpf.h. `{error, bad_hdr}': no whole header is there.
-spec hdr(binary()) ->
    {bpf_hdr, Time :: erlang:timestamp(), Caplen :: non_neg_integer(), Datalen :: non_neg_integer(), Hdrlen :: non_neg_integer()}
    | {error, bad_hdr}.
hdr(Bytes) when is_binary(Bytes) ->
    Bits = sizeof(bpf_timeval) * 4,
    case Bytes of
        <<Seconds:Bits/native, Micro:Bits/native, Caplen:32/native, Datalen:32/native, Hdrlen:16/native, _/binary>> ->
            {bpf_hdr, {Seconds div 1000000, Seconds rem 1000000, Micro}, Caplen, Datalen, Hdrlen};
        _ ->
            {error, bad_hdr}
    end.

%% @doc The packet behind a header of `Hdrlen' bytes, and what comes after it and its padding.
%% `{error, bad_packet}': it is not there as a whole.
%%
%% ```
%% {bpf_packet, <<"hello">>, <<>>} = bpf:packet(18, 5, <<0:(18 * 8), "hello">>).
%% '''
-spec packet(Hdrlen :: non_neg_integer(), Caplen :: non_neg_integer(), binary()) ->
    {bpf_packet, Packet :: binary(), Rest :: binary()} | {error, bad_packet}.
packet(Hdrlen, Caplen, Bytes) when ?is_size(Hdrlen), ?is_size(Caplen), is_binary(Bytes) ->
    Padding = pad(Hdrlen + Caplen),
    case Bytes of
        <<_:Hdrlen/binary, Packet:Caplen/binary, _:Padding/binary, Rest/binary>> -> {bpf_packet, Packet, Rest};
        %% The last one is not padded.
        <<_:Hdrlen/binary, Packet:Caplen/binary, _/binary>> -> {bpf_packet, Packet, <<>>};
        _ -> {error, bad_packet}
    end.

%% @doc Encodes an instruction, or decodes one.
%%
%% ```
%% {insn, 6, 0, 0, 77} = bpf:insn(bpf:stmt(6, 77)).
%% '''
-spec insn(#insn{}) -> instruction();
    (instruction()) -> #insn{}.
insn(Instruction) -> procket_insn:insn(Instruction).

%% @doc An instruction that does not jump: `BPF_STMT'.
%%
%% ```
%% BPF_RET_K = 6,
%% Everything = bpf:stmt(BPF_RET_K, 16#ffffffff).
%% '''
-spec stmt(Code :: non_neg_integer(), K :: integer()) -> instruction().
stmt(Code, K) -> procket_insn:stmt(Code, K).

%% @doc An instruction that jumps over `JT' others, or `JF': `BPF_JUMP'.
%%
%% ```
%% OnlyIPv4 = [
%%     bpf:stmt(16#28, 12),            %% BPF_LD + BPF_H + BPF_ABS: the EtherType
%%     bpf:jump(16#15, 16#0800, 0, 1), %% BPF_JMP + BPF_JEQ + BPF_K
%%     bpf:stmt(16#06, 16#ffffffff),   %% BPF_RET + BPF_K: the whole packet
%%     bpf:stmt(16#06, 0)              %% nothing
%% ],
%% {ok, FD} = packet:socket(),
%% {ok, _} = packet:filter(FD, OnlyIPv4).
%% '''
-spec jump(Code :: non_neg_integer(), K :: integer(), JT :: byte(), JF :: byte()) -> instruction().
jump(Code, K, JT, JF) -> procket_insn:jump(Code, K, JT, JF).

%% @doc How much an instruction loads: `BPF_SIZE' for a name, the name for `BPF_W', `BPF_H' or `BPF_B'.
%%
%% ```
%% 8 = bpf:offset(halfword),
%% word = bpf:offset(0).
%% '''
-spec offset(word | halfword | byte) -> 0 | 8 | 16;
    (0 | 8 | 16) -> word | halfword | byte.
offset(word) -> ?BPF_W;
offset(halfword) -> ?BPF_H;
offset(byte) -> ?BPF_B;
offset(?BPF_W) -> word;
offset(?BPF_H) -> halfword;
offset(?BPF_B) -> byte;
offset(Size) -> procket_error:badarg({size, Size}).

%% @doc The bytes of padding behind an offset.
-spec pad(non_neg_integer()) -> non_neg_integer().
pad(Offset) ->
    align(Offset) - Offset.

%% @doc An offset, rounded up to {@link alignment/0}.
%%
%% ```
%% 8 = bpf:align(5).
%% '''
-spec align(non_neg_integer()) -> non_neg_integer().
align(Offset) when ?is_size(Offset) ->
    Alignment = alignment(),
    (Offset + Alignment - 1) div Alignment * Alignment;
align(Offset) ->
    procket_error:badarg({offset, Offset}).

%% @doc `BPF_ALIGNMENT': what packets in a buffer are aligned to, in bytes. It is `sizeof(int32_t)' on macOS, `sizeof(long)' elsewhere.
-spec alignment() -> 4 | 8.
alignment() ->
    case os:type() of
        {unix, darwin} -> 4;
        _ -> erlang:system_info({wordsize, external})
    end.

%% @doc The size of a structure in bytes. `bpf_timeval' is the time in a packet's header, of 32 bits each on macOS.
-spec sizeof(timeval | ifreq | bpf_timeval) -> pos_integer().
sizeof(timeval) -> 2 * erlang:system_info({wordsize, external});
sizeof(ifreq) -> 32;
sizeof(bpf_timeval) ->
    case os:type() of
        {unix, darwin} -> 8;
        _ -> sizeof(timeval)
    end.

%% @doc The number of a BSD ioctl without an argument, on every platform: {@link procket_ioctl:io/2}.
%%
%% ```
%% 16#20004268 = bpf:io($B, 104).   %% BIOCFLUSH
%% '''
-spec io(procket_ioctl:group(), request()) -> non_neg_integer().
io(Group, Request) -> ioc(procket_ioctl:void(bsd), Group, Request, 0).

%% @doc A BSD ioctl whose argument the kernel writes: {@link procket_ioctl:ior/3}.
-spec ior(procket_ioctl:group(), request(), non_neg_integer()) -> non_neg_integer().
ior(Group, Request, Size) -> ioc(procket_ioctl:out(bsd), Group, Request, Size).

%% @doc A BSD ioctl whose argument the kernel reads: {@link procket_ioctl:iow/3}.
%%
%% ```
%% 16#80044277 = bpf:iow($B, 119, 4).   %% BIOCSSEESENT
%% '''
-spec iow(procket_ioctl:group(), request(), non_neg_integer()) -> non_neg_integer().
iow(Group, Request, Size) -> ioc(procket_ioctl:in(bsd), Group, Request, Size).

%% @doc A BSD ioctl whose argument the kernel reads and writes: {@link procket_ioctl:iowr/3}.
-spec iowr(procket_ioctl:group(), request(), non_neg_integer()) -> non_neg_integer().
iowr(Group, Request, Size) -> ioc(procket_ioctl:in(bsd) bor procket_ioctl:out(bsd), Group, Request, Size).

%% @doc A BSD ioctl with these bits of direction: {@link procket_ioctl:ioc/4}. The names `gseesent' and `sseesent' stand for the numbers
%% of `BIOCGSEESENT' and `BIOCSSEESENT'.
-spec ioc(Direction :: non_neg_integer(), procket_ioctl:group(), request(), non_neg_integer()) -> non_neg_integer().
ioc(Direction, Group, gseesent, Size) -> ioc(Direction, Group, 118, Size);
ioc(Direction, Group, sseesent, Size) -> ioc(Direction, Group, 119, Size);
ioc(Direction, Group, Number, Size) ->
    procket_ioctl:ioc(bsd, Direction, Group, Number, Size).
