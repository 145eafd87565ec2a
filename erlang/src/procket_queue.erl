%% @private
%% The calls that wait for their turn with a port process, first come, first served, and the batches in which they cross.
-module(procket_queue).

-export([new/0, add/2, put_back/2, retry/2, next/2]).
-export([batch/1, split/2]).

-export_type([queue/0, waiting/0, request/0]).

%% A batch is no longer than this, in calls, descriptors and bytes.
-define(BATCH_CALLS, 128).
-define(BATCH_FDS, 253).
-define(BATCH_BYTES, 16_384).

-type request() :: {Function :: atom(), Args :: [term()], [procket:fd()]}.
%% `size' in bytes; `deadline' in milliseconds of monotonic time.
-type waiting() :: #{
    id := reference(),
    request := request(),
    size := non_neg_integer(),
    caller := pid(),
    deadline := integer() | infinity,
    alone => true
}.
-opaque queue() :: queue:queue(waiting()).

-spec new() -> queue().
new() ->
    queue:new().

-spec add(waiting(), queue()) -> queue().
add(Waiting, Queue) ->
    queue:in(Waiting, Queue).

%% Puts calls back to the front.
-spec put_back([waiting()], queue()) -> queue().
put_back(Calls, Queue) ->
    lists:foldr(fun queue:in_r/2, Queue, Calls).

%% The same, to be sent one by one.
-spec retry([waiting()], queue()) -> queue().
retry(Calls, Queue) ->
    put_back([Waiting#{alone => true} || Waiting <- Calls], Queue).

%% What to send next, as one request. Calls whose caller has died or given up are dropped: their descriptors may be others by now.
-spec next(alone | batch, queue()) -> {[waiting()], queue()}.
next(How, Queue) ->
    case queue:out(Queue) of
        {empty, Queue} ->
            {[], Queue};
        {{value, Waiting}, Others} ->
            case {is_wanted(Waiting), How =:= alone orelse is_map_key(alone, Waiting)} of
                {false, _} -> next(How, Others);
                {true, true} -> {[Waiting], Others};
                {true, false} -> gather([Waiting], 1, bytes(Waiting), fds(Waiting), Others)
            end
    end.

gather(Calls, ?BATCH_CALLS, _Size, _FDs, Queue) ->
    {lists:reverse(Calls), Queue};
gather(Calls, Count, Size, FDs, Queue) ->
    case queue:out(Queue) of
        {{value, Waiting}, Others} when not is_map_key(alone, Waiting) ->
            {Sizes, AllFDs} = {Size + bytes(Waiting), FDs + fds(Waiting)},
            case is_wanted(Waiting) of
                false -> gather(Calls, Count, Size, FDs, Others);
                true when Sizes =< ?BATCH_BYTES, AllFDs =< ?BATCH_FDS -> gather([Waiting | Calls], Count + 1, Sizes, AllFDs, Others);
                true -> {lists:reverse(Calls), Queue}
            end;
        _ ->
            {lists:reverse(Calls), Queue}
    end.

bytes(#{size := Size}) -> Size.

fds(#{request := {_, _, FDs}}) -> length(FDs).

is_wanted(#{caller := Caller, deadline := Deadline}) ->
    (Deadline =:= infinity orelse erlang:monotonic_time(millisecond) < Deadline) andalso is_process_alive(Caller).

%% The argument of the function `batch', and the descriptors that go with it: each once, however many calls are about it.
-spec batch([request()]) -> {[{atom(), [term()], [non_neg_integer()]}], [procket:fd()]}.
batch(Calls) ->
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

%% Each result of a batch with the descriptors that are its own.
-spec split([{Count :: non_neg_integer(), Result :: term()}], [procket:fd()]) -> [{Result :: term(), [procket:fd()]}].
split([], []) ->
    [];
split([{Count, Result} | Results], FDs) ->
    {Own, Others} = lists:split(Count, FDs),
    [{Result, Own} | split(Results, Others)].
