%% @private
%% The calls that wait for their turn with a port process, first come, first served.
-module(procket_queue).

-export([new/0, add/2, retry/2, next/2]).

-export_type([queue/0, waiting/0, call/0]).

%% A batch is no longer than this, in calls, descriptors and bytes.
-define(BATCH_CALLS, 128).
-define(BATCH_FDS, 253).
-define(BATCH_BYTES, 16_384).

-type call() :: {Id :: reference(), {Function :: atom(), Args :: [term()], [procket:fd()]}}.
-type waiting() :: #{call := call(), size := non_neg_integer(), caller := pid(), deadline := integer() | infinity, alone => true}.
%% `size' in bytes; `deadline' in milliseconds of monotonic time.
-opaque queue() :: queue:queue(waiting()).

-spec new() -> queue().
new() ->
    queue:new().

-spec add(waiting(), queue()) -> queue().
add(Waiting, Queue) ->
    queue:in(Waiting, Queue).

%% Puts calls back to the front, to be sent one by one.
-spec retry([waiting()], queue()) -> queue().
retry(Calls, Queue) ->
    lists:foldr(fun(Waiting, Others) -> queue:in_r(Waiting#{alone => true}, Others) end, Queue, Calls).

%% What to send next, as one request. Who has died or given up is passed over: the descriptors may be others by now.
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

fds(#{call := {_, {_, _, FDs}}}) -> length(FDs).

is_wanted(#{caller := Caller, deadline := Deadline}) ->
    (Deadline =:= infinity orelse erlang:monotonic_time(millisecond) < Deadline) andalso is_process_alive(Caller).
