%% @doc Files of captured packets that tcpdump and Wireshark read: pcapng, and the older pcap, with nanoseconds.
%%
%% ```
%% {ok, File} = procket_pcap:open_write("hello.pcapng", [{link_type, 1}]),
%% ok = procket_pcap:write(File, [<<0:96, 16#88b5:16, "hello">>]),
%% ok = procket_pcap:close(File),
%% {ok, 1} = procket_pcap:fold(fun(_Packet, N) -> N + 1 end, 0, "hello.pcapng").
%% '''
%%
%% The formats: draft-ietf-opsawg-pcapng, draft-ietf-opsawg-pcap.
-module(procket_pcap).

-export([open_write/2, write/2, close/1, fold/3]).

-export_type([file/0, option/0, reason/0]).

-record(pcap, {device :: file:io_device(), format :: pcapng | pcap}).

-opaque file() :: #pcap{}.
-type option() :: {format, pcapng | pcap} | {link_type, non_neg_integer()} | {snaplen, non_neg_integer()}.
-type reason() :: file:posix() | badarg | terminated | {badfile, Offset :: non_neg_integer()}.
%% `{badfile, Offset}': there is something else than the format has, or the end of the file in the middle of a block, at this offset in bytes.

-define(PCAP_NANOSECONDS, 16#a1b23c4d).
-define(PCAP_MICROSECONDS, 16#a1b2c3d4).
-define(SECTION, 16#0a0d0d0a).
-define(BYTE_ORDER, 16#1a2b3c4d).
-define(INTERFACE, 1).
-define(SIMPLE_PACKET, 3).
-define(ENHANCED_PACKET, 6).
%% Options of an interface description: if_tsresol, if_tsoffset, opt_endofopt.
-define(TSRESOL, 9).
-define(TSOFFSET, 14).
-define(ENDOFOPT, 0).
-define(ETHERNET, 1).
-define(SNAPLEN, 262_144).
%% No block is longer, in bytes.
-define(MAX_BLOCK, 16_777_216).
-define(BILLION, 1_000_000_000).
%% What the fields of a packet's header hold.
-define(is_field(N, Most), (is_integer(N) andalso N >= 0 andalso N =< Most)).
-define(is_packet(P),
    (tuple_size(P) =:= 3 andalso ?is_field(element(1, P), 16#ffffffffffffffff) andalso ?is_field(element(2, P), 16#ffffffff) andalso
        is_binary(element(3, P)))
).

%% @doc Makes a file, or empties one.
%%
%% Options: `{format, pcapng | pcap}', default pcapng; `{link_type, Number}', what {@link gen_raw:info/1} says, default 1 (Ethernet);
%% `{snaplen, Bytes}', the most that is kept of a packet, for whom it may concern, default 262144.
-spec open_write(file:name_all(), [option()]) -> {ok, file()} | {error, reason()}.
open_write(Name, Options) ->
    Format = option(format, Options, pcapng, fun(F) -> F =:= pcapng orelse F =:= pcap end),
    LinkType = option(link_type, Options, ?ETHERNET, fun(N) -> is_integer(N) andalso N >= 0 andalso N =< 16#ffff end),
    Snaplen = option(snaplen, Options, ?SNAPLEN, fun(N) -> is_integer(N) andalso N >= 0 andalso N =< 16#ffffffff end),
    case file:open(Name, [write, raw, binary, {delayed_write, 1_048_576, 1000}]) of
        {ok, Device} ->
            case file:write(Device, header(Format, LinkType, Snaplen)) of
                ok ->
                    {ok, #pcap{device = Device, format = Format}};
                {error, _} = Error ->
                    _ = file:close(Device),
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

option(Key, Options, Default, IsGood) ->
    Value = proplists:get_value(Key, Options, Default),
    case IsGood(Value) of
        true -> Value;
        false -> procket_error:badarg({option, {Key, Value}})
    end.

header(pcap, LinkType, Snaplen) ->
    <<?PCAP_NANOSECONDS:32/native, 2:16/native, 4:16/native, 0:32, 0:32, Snaplen:32/native, LinkType:32/native>>;
header(pcapng, LinkType, Snaplen) ->
    [
        block(?SECTION, <<?BYTE_ORDER:32/native, 1:16/native, 0:16, -1:64/native>>),
        block(?INTERFACE, <<
            LinkType:16/native, 0:16, Snaplen:32/native, ?TSRESOL:16/native, 1:16/native, 9, 0:24, ?ENDOFOPT:16, 0:16
        >>)
    ].

%% Its length stands at both ends.
block(Type, Body) ->
    Length = iolist_size(Body) + 12,
    [<<Type:32/native, Length:32/native>>, Body, <<Length:32/native>>].

%% @doc Adds packets, as {@link gen_raw:recv/2} returns them. One without a time has the time of now.
%%
%% Writing is delayed for a moment: an error may be that of an earlier call, and the last may come with {@link close/1}. `enospc', ….
-spec write(file(), gen_raw:packet() | [gen_raw:packet()]) -> ok | {error, reason()}.
write(#pcap{device = Device, format = Format}, Packets) when is_list(Packets), length(Packets) >= 0 ->
    Now = erlang:system_time(nanosecond),
    file:write(Device, [packet(Format, Now, Packet) || Packet <- Packets]);
write(#pcap{}, [_ | _] = Packets) ->
    procket_error:badarg({packets, Packets});
write(#pcap{} = File, Packet) ->
    write(File, [Packet]).

packet(Format, Now, Bytes) when is_binary(Bytes) ->
    packet(Format, Now, {Now, byte_size(Bytes), Bytes});
packet(_Format, _Now, Packet) when not ?is_packet(Packet) ->
    procket_error:badarg({packet, Packet});
packet(pcap, _, {Time, Original, Bytes}) ->
    [<<(Time div ?BILLION):32/native, (Time rem ?BILLION):32/native, (byte_size(Bytes)):32/native, Original:32/native>>, Bytes];
packet(pcapng, _, {Time, Original, Bytes}) ->
    Padding = -byte_size(Bytes) band 3,
    block(?ENHANCED_PACKET, [
        <<0:32, (Time bsr 32):32/native, Time:32/native, (byte_size(Bytes)):32/native, Original:32/native>>, Bytes, <<0:(8 * Padding)>>
    ]).

%% @doc Writes what is delayed, and closes.
-spec close(file()) -> ok | {error, reason()}.
close(#pcap{device = Device}) ->
    case file:close(Device) of
        %% That was the error of a delayed write: the file is closed by another call.
        {error, Reason} when Reason =/= einval, Reason =/= terminated, Reason =/= badarg ->
            _ = file:close(Device),
            {error, Reason};
        Result ->
            Result
    end.

%% @doc Calls `Fun(Packet, Acc)' with each packet of a file, in order, as {@link gen_raw:packet()} with a time.
%%
%% Reads pcapng and pcap in both byte orders, with any resolution of time; of what else a file may hold nothing is said.
-spec fold(fun((gen_raw:packet(), Acc) -> Acc), Acc, file:name_all()) -> {ok, Acc} | {error, reason()}.
fold(Fun, Acc, Name) when is_function(Fun, 2) ->
    case file:open(Name, [read, raw, binary, {read_ahead, 1_048_576}]) of
        {ok, Device} ->
            try
                {ok, read(Device, Fun, Acc)}
            catch
                throw:{?MODULE, Reason} -> {error, Reason}
            after
                file:close(Device)
            end;
        {error, _} = Error ->
            Error
    end.

read(Device, Fun, Acc) ->
    case bytes(Device, 0, 4) of
        <<?SECTION:32>> -> sections(Device, 0, Fun, Acc);
        <<?PCAP_NANOSECONDS:32/little>> -> pcap(Device, little, 1, Fun, Acc);
        <<?PCAP_MICROSECONDS:32/little>> -> pcap(Device, little, 1000, Fun, Acc);
        <<?PCAP_NANOSECONDS:32/big>> -> pcap(Device, big, 1, Fun, Acc);
        <<?PCAP_MICROSECONDS:32/big>> -> pcap(Device, big, 1000, Fun, Acc);
        _ -> bad(0)
    end.

%% pcap

pcap(Device, Endian, Unit, Fun, Acc) ->
    _ = bytes(Device, 4, 20),
    pcap_packets(Device, 24, Endian, Unit, Fun, Acc).

pcap_packets(Device, Offset, Endian, Unit, Fun, Acc) ->
    case some_bytes(Device, Offset, 16) of
        eof ->
            Acc;
        Header ->
            [Seconds, Fraction, Captured, Original] = words(Endian, Header),
            _ = Captured =< ?MAX_BLOCK orelse bad(Offset),
            Bytes = bytes(Device, Offset, Captured),
            pcap_packets(Device, Offset + 16 + Captured, Endian, Unit, Fun, Fun({Seconds * ?BILLION + Fraction * Unit, Original, Bytes}, Acc))
    end.

%% pcapng

sections(Device, Offset, Fun, Acc) ->
    %% The type of the block has been read.
    <<Length:4/binary, Order:4/binary>> = bytes(Device, Offset, 8),
    Endian =
        case Order of
            <<?BYTE_ORDER:32/little>> -> little;
            <<?BYTE_ORDER:32/big>> -> big;
            _ -> bad(Offset)
        end,
    [Size] = words(Endian, Length),
    _ = (Size >= 28 andalso Size rem 4 =:= 0 andalso Size =< ?MAX_BLOCK) orelse bad(Offset),
    _ = ending(Endian, Size, bytes(Device, Offset, Size - 12), Offset),
    blocks(Device, Offset + Size, Endian, #{}, Fun, Acc).

blocks(Device, Offset, Endian, Interfaces, Fun, Acc) ->
    case some_bytes(Device, Offset, 4) of
        eof ->
            Acc;
        <<?SECTION:32>> ->
            sections(Device, Offset, Fun, Acc);
        Type ->
            [Number] = words(Endian, Type),
            [Size] = words(Endian, bytes(Device, Offset, 4)),
            _ = (Size >= 12 andalso Size rem 4 =:= 0 andalso Size =< ?MAX_BLOCK) orelse bad(Offset),
            Body = ending(Endian, Size, bytes(Device, Offset, Size - 8), Offset),
            case block(Number, Body, Endian, Interfaces) of
                {interface, Interface} ->
                    blocks(Device, Offset + Size, Endian, Interfaces#{map_size(Interfaces) => Interface}, Fun, Acc);
                {packet, Packet} ->
                    blocks(Device, Offset + Size, Endian, Interfaces, Fun, Fun(Packet, Acc));
                other ->
                    blocks(Device, Offset + Size, Endian, Interfaces, Fun, Acc);
                error ->
                    bad(Offset)
            end
    end.

%% A block without its second length.
ending(Endian, Size, Bytes, Offset) ->
    Body = byte_size(Bytes) - 4,
    <<Inner:Body/binary, Last/binary>> = Bytes,
    case words(Endian, Last) of
        [Size] -> Inner;
        _ -> bad(Offset)
    end.

block(?INTERFACE, <<_:4/binary, Snaplen:4/binary, Options/binary>>, Endian, _) ->
    [Length] = words(Endian, Snaplen),
    interface(Options, Endian, #{snaplen => Length, unit => 1000, divisor => 1, offset => 0});
block(?ENHANCED_PACKET, <<Fixed:20/binary, Rest/binary>>, Endian, Interfaces) ->
    [Index, High, Low, Captured, Original] = words(Endian, Fixed),
    case {Interfaces, Rest} of
        {#{Index := #{unit := Unit, divisor := Divisor, offset := Seconds}}, <<Bytes:Captured/binary, _/binary>>} ->
            Time = ((High bsl 32) bor Low) * Unit div Divisor + Seconds * ?BILLION,
            {packet, {Time, Original, Bytes}};
        _ ->
            error
    end;
%% Of these no time is known.
block(?SIMPLE_PACKET, <<Length:4/binary, Rest/binary>>, Endian, #{0 := #{snaplen := Snaplen}}) ->
    [Original] = words(Endian, Length),
    Captured = case Snaplen of 0 -> Original; _ -> min(Original, Snaplen) end,
    case Rest of
        <<Bytes:Captured/binary, _/binary>> -> {packet, {0, Original, Bytes}};
        _ -> error
    end;
block(Type, _, _, _) when Type =:= ?INTERFACE; Type =:= ?ENHANCED_PACKET; Type =:= ?SIMPLE_PACKET ->
    error;
block(_, _, _, _) ->
    other.

interface(<<Header:4/binary, Rest/binary>>, Endian, Interface) ->
    case halves(Endian, Header) of
        [?ENDOFOPT, _] ->
            {interface, Interface};
        [Code, Length] ->
            Padding = -Length band 3,
            case Rest of
                <<Value:Length/binary, _:Padding/binary, More/binary>> -> interface(More, Endian, interface(Code, Value, Endian, Interface));
                _ -> error
            end
    end;
interface(<<>>, _Endian, Interface) ->
    {interface, Interface};
interface(_, _Endian, _Interface) ->
    error.

%% Units of 10^-N or of 2^-N seconds.
interface(?TSRESOL, <<0:1, N:7>>, _, Interface) when N =< 9 -> Interface#{unit := power(10, 9 - N), divisor := 1};
interface(?TSRESOL, <<0:1, N:7>>, _, Interface) -> Interface#{unit := 1, divisor := power(10, N - 9)};
interface(?TSRESOL, <<1:1, N:7>>, _, Interface) -> Interface#{unit := ?BILLION, divisor := 1 bsl N};
interface(?TSOFFSET, <<Seconds:64/signed-little>>, little, Interface) -> Interface#{offset := Seconds};
interface(?TSOFFSET, <<Seconds:64/signed-big>>, big, Interface) -> Interface#{offset := Seconds};
interface(_, _, _, Interface) -> Interface.

power(_, 0) -> 1;
power(Base, N) -> Base * power(Base, N - 1).

words(little, Bytes) -> [Word || <<Word:32/little>> <= Bytes];
words(big, Bytes) -> [Word || <<Word:32/big>> <= Bytes].

halves(little, Bytes) -> [Half || <<Half:16/little>> <= Bytes];
halves(big, Bytes) -> [Half || <<Half:16/big>> <= Bytes].

%% Exactly so many bytes of the block at an offset.
bytes(_Device, _Offset, 0) ->
    <<>>;
bytes(Device, Offset, Count) ->
    case some_bytes(Device, Offset, Count) of
        eof -> bad(Offset);
        Bytes -> Bytes
    end.

some_bytes(Device, Offset, Count) ->
    case file:read(Device, Count) of
        {ok, Bytes} when byte_size(Bytes) =:= Count -> Bytes;
        {ok, _} -> bad(Offset);
        eof -> eof;
        {error, Reason} -> throw({?MODULE, Reason})
    end.

-spec bad(non_neg_integer()) -> no_return().
bad(Offset) ->
    throw({?MODULE, {badfile, Offset}}).
