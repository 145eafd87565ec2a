%% @private
%% Batches of packets as a capture process sends them: `{packets, [Packet]}' in the external term format, docs/protocol.md.
-module(gen_raw_batch).

-export([count/1, decode/1]).

-define(PACKETS(Count, List), <<131, 104, 2, 119, 7, "packets", 108, Count:32, List/binary>>).

%% Packets that are no longer than this on average are copied out of their batch, which then is garbage at once. Longer ones are
%% parts of it.
-define(COPIED, 64).

%% How many packets a batch has; `false' where it is something else.
-spec count(binary()) -> pos_integer() | false.
count(?PACKETS(Count, _)) -> Count;
count(_) -> false.

-spec decode(binary()) -> [gen_raw:packet()].
decode(?PACKETS(Count, List) = Batch) ->
    case byte_size(List) div Count > ?COPIED + 6 andalso is_known(List) of
        true ->
            packets(List);
        false ->
            {packets, Packets} = binary_to_term(Batch),
            Packets
    end.

%% Times before 1972, of a machine that has none, are encoded shorter.
is_known(<<109, _/binary>>) -> true;
is_known(<<104, 3, 110, 8, _/binary>>) -> true;
is_known(_) -> false.

packets(<<109, Length:32, Packet:Length/binary, Rest/binary>>) ->
    [Packet | packets(Rest)];
packets(<<104, 3, 110, 8, 0, NanoSeconds:64/little, 98, Original:32, 109, Length:32, Packet:Length/binary, Rest/binary>>) ->
    [{NanoSeconds, Original, Packet} | packets(Rest)];
packets(<<104, 3, 110, 8, 0, NanoSeconds:64/little, 97, Original, 109, Length:32, Packet:Length/binary, Rest/binary>>) ->
    [{NanoSeconds, Original, Packet} | packets(Rest)];
packets(<<106>>) ->
    [].
