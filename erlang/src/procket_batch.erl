%% @private
%% Several calls in one request: docs/protocol.md, "Batches".
-module(procket_batch).

-export([request/1, split/2]).

-type call() :: {Function :: atom(), Args :: [term()], [procket:fd()]}.

%% The argument of `batch', and the descriptors that go with it: each once, however many calls are about it.
-spec request([call()]) -> {[{atom(), [term()], [non_neg_integer()]}], [procket:fd()]}.
request(Calls) ->
    {Indexed, Indexes} = lists:mapfoldl(fun index_call/2, #{}, Calls),
    {_, FDs} = lists:unzip(lists:sort([{Index, FD} || {FD, Index} <- maps:to_list(Indexes)])),
    {Indexed, FDs}.

index_call({Function, Args, FDs}, Indexes) ->
    {Own, More} = lists:mapfoldl(fun index/2, Indexes, FDs),
    {{Function, Args, Own}, More}.

index(FD, Indexes) ->
    case Indexes of
        #{FD := Index} -> {Index, Indexes};
        #{} -> {map_size(Indexes), Indexes#{FD => map_size(Indexes)}}
    end.

%% Each result with the descriptors that are its own.
-spec split([{Count :: non_neg_integer(), Result :: term()}], [procket:fd()]) -> [{Result :: term(), [procket:fd()]}].
split([], []) ->
    [];
split([{Count, Result} | Results], FDs) ->
    {Own, Others} = lists:split(Count, FDs),
    [{Result, Own} | split(Results, Others)].
