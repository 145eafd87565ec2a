%% @private
%% Requests and answers that are longer than a frame, in parts: docs/protocol.md, "Parts".
-module(procket_parts).

-export([split/3, join/3]).

-export_type([assembly/0]).

-define(LIMIT, 16#1000000).

-type assembly() :: #{Id :: term() => {Received :: non_neg_integer(), Total :: pos_integer(), [binary()]}}.

%% The frames in which a term crosses, each at most `Max' bytes long.
-spec split(Id :: term(), Encoded :: binary(), Max :: pos_integer()) -> [binary()] | {error, emsgsize}.
split(_Id, Encoded, Max) when byte_size(Encoded) =< Max ->
    [Encoded];
split(_Id, Encoded, _Max) when byte_size(Encoded) > ?LIMIT ->
    {error, emsgsize};
split(Id, Encoded, Max) ->
    Total = byte_size(Encoded),
    Envelope = erlang:external_size({Id, part, [?LIMIT, ?LIMIT, <<>>]}),
    chunks(Id, Encoded, 0, Total, Max - Envelope).

chunks(_Id, _Encoded, Total, Total, _Size) ->
    [];
chunks(Id, Encoded, Offset, Total, Size) ->
    Length = min(Size, Total - Offset),
    Part = {Id, part, [Offset, Total, binary:part(Encoded, Offset, Length)]},
    [term_to_binary(Part) | chunks(Id, Encoded, Offset + Length, Total, Size)].

%% Adds a part to those that came before.
-spec join(Id :: term(), [term()], assembly()) ->
    {more, assembly()} | {complete, Encoded :: binary(), assembly()} | {error, badpart}.
join(Id, [Offset, Total, Chunk], Assembly) when is_binary(Chunk), Total =< ?LIMIT ->
    Received = Offset + byte_size(Chunk),
    case maps:get(Id, Assembly, {0, Total, []}) of
        {Offset, Total, Chunks} when Received =:= Total ->
            Encoded = iolist_to_binary(lists:reverse(Chunks, [Chunk])),
            {complete, Encoded, maps:remove(Id, Assembly)};
        {Offset, Total, Chunks} when Received < Total ->
            {more, Assembly#{Id => {Received, Total, [Chunk | Chunks]}}};
        _ ->
            {error, badpart}
    end;
join(_Id, _Part, _Assembly) ->
    {error, badpart}.
