%% @private
%% How far the owner of active sockets has got with its messages.
%%
%% A process does not say which of its messages it has read. So its sockets number what they send to it, together, and ask how long its
%% queue is: of the messages that were sent, all but the last so many have been read. Nothing of the queue is copied.
%%
%% Messages of other origin are in the queue too. How many there are at least is known: as many as the queue is longer than what the
%% sockets sent and does not count as read. Fewer may be left than that, if the owner reads the others first. Then messages count
%% as read too early, but never more than ?OTHERS of them.
-module(gen_raw_flow).

-export([new/1, sent/2, outstanding/1, response/2, again/1, close/1]).

-export_type([flow/0]).

%% {Owner, atomics:atomics_ref(), number of its sockets}
-define(TABLE, ?MODULE).
%% The counts that the sockets of an owner share: messages that were sent; of these, how many have been read at least; and how many other
%% messages are in the queue.
-define(SENT, 1).
-define(READ, 2).
-define(IN_BETWEEN, 3).

%% The bytes after which the owner is asked, and the messages that a queue may hold as if they were read.
-define(STEP, 262_144).
-define(SHORT, 16).
-define(OTHERS, 1024).
%% Milliseconds until it is asked again.
-define(SOON, 2).
-define(LATE, 500).

-record(flow, {
    owner :: pid(),
    counts :: atomics:atomics_ref(),
    %% The numbers and sizes of messages that do not count as read, and their sum in bytes.
    unread = queue:new() :: queue:queue({Number :: pos_integer(), Bytes :: non_neg_integer()}),
    bytes = 0 :: non_neg_integer(),
    %% What was asked, and how many messages had been sent by then.
    request :: undefined | {erpc:request_id(), Sent :: non_neg_integer()},
    delay = ?SOON :: pos_integer(),
    waits = false :: boolean()
}).

-opaque flow() :: #flow{}.

%% That of the calling socket. {@link close/1} ends it.
-spec new(Owner :: pid()) -> flow().
new(Owner) ->
    #flow{owner = Owner, counts = counts(Owner)}.

counts(Owner) ->
    case ets:insert_new(?TABLE, {Owner, atomics:new(3, []), 0}) of
        true -> sweep();
        false -> ok
    end,
    try
        _ = ets:update_counter(?TABLE, Owner, {3, 1}),
        ets:lookup_element(?TABLE, Owner, 2)
    catch
        %% Another socket of the owner was its last, and is closed right now.
        error:badarg -> counts(Owner)
    end.

%% A socket that was killed has left its row: it goes once its owner has ended.
sweep() ->
    lists:foreach(
        fun(Owner) -> node(Owner) =:= node() andalso not is_process_alive(Owner) andalso ets:delete(?TABLE, Owner) end,
        [Owner || [Owner] <- ets:match(?TABLE, {'$1', '_', '_'})]
    ).

-spec close(flow()) -> ok.
close(#flow{owner = Owner}) ->
    try ets:update_counter(?TABLE, Owner, {3, -1}) of
        Left when Left =< 0 ->
            _ = ets:select_delete(?TABLE, [{{Owner, '_', '$1'}, [{'=<', '$1', 0}], [true]}]),
            ok;
        _ ->
            ok
    catch
        %% The application is stopping, and the table has gone.
        error:badarg -> ok
    end.

%% A message of so many bytes went to the owner.
-spec sent(non_neg_integer(), flow()) -> flow().
sent(Bytes, #flow{counts = Counts, unread = Unread, bytes = Sum} = Flow) ->
    Number = atomics:add_get(Counts, ?SENT, 1),
    ask(Flow#flow{unread = queue:in({Number, Bytes}, Unread), bytes = Sum + Bytes}).

%% The bytes that do not count as read yet.
-spec outstanding(flow()) -> non_neg_integer().
outstanding(#flow{bytes = Bytes}) ->
    Bytes.

ask(#flow{request = undefined, waits = false, bytes = Bytes} = Flow) when Bytes >= ?STEP -> request(Flow);
ask(Flow) -> Flow.

request(#flow{owner = Owner, counts = Counts} = Flow) ->
    %% What is sent while the question is on the way counts as unread.
    Sent = atomics:get(Counts, ?SENT),
    Flow#flow{request = {erpc:send_request(node(Owner), erlang, process_info, [Owner, message_queue_len]), Sent}}.

%% The time is over after which it is asked again.
-spec again(flow()) -> flow().
again(#flow{request = undefined} = Flow) -> request(Flow#flow{waits = false});
again(Flow) -> Flow#flow{waits = false}.

%% Takes a message that may be the answer; the bytes that count as read by now.
-spec response(Message :: term(), flow()) -> {Read :: non_neg_integer(), flow()} | no_response.
response(_Message, #flow{request = undefined}) ->
    no_response;
response(Message, #flow{request = {Request, Sent}} = Flow) ->
    try erpc:check_response(Message, Request) of
        no_response -> no_response;
        {response, {message_queue_len, Length}} -> read(Length, Sent, Flow#flow{request = undefined});
        %% The owner has ended, which its monitor tells.
        {response, undefined} -> later(0, Flow#flow{request = undefined})
    catch
        %% Its node has gone.
        _:_ -> later(0, Flow#flow{request = undefined})
    end.

read(Length, Sent, #flow{counts = Counts} = Flow) ->
    Others = others(Length, Counts),
    InQueue = max(0, Length - Others),
    ok = raise(Counts, ?READ, Sent - InQueue),
    {Bytes, Taken} = take(Sent - max(0, InQueue - ?SHORT), 0, Flow),
    case Bytes of
        0 -> later(Bytes, Taken);
        _ -> {Bytes, ask(Taken#flow{delay = ?SOON})}
    end.

%% How many of the messages in the queue are not the sockets'.
others(Length, Counts) ->
    Unread = atomics:get(Counts, ?SENT) - atomics:get(Counts, ?READ),
    Others = min(Length, min(?OTHERS, max(atomics:get(Counts, ?IN_BETWEEN), Length - Unread))),
    ok = atomics:put(Counts, ?IN_BETWEEN, Others),
    Others.

raise(Counts, Index, Value) ->
    case atomics:get(Counts, Index) of
        Lower when Lower < Value ->
            case atomics:compare_exchange(Counts, Index, Lower, Value) of
                ok -> ok;
                _ -> raise(Counts, Index, Value)
            end;
        _ ->
            ok
    end.

%% What was sent up to a number counts as read.
take(Number, Read, #flow{unread = Unread, bytes = Sum} = Flow) ->
    case queue:peek(Unread) of
        {value, {First, Bytes}} when First =< Number ->
            take(Number, Read + Bytes, Flow#flow{unread = queue:drop(Unread), bytes = Sum - Bytes});
        _ ->
            {Read, Flow}
    end.

later(Bytes, #flow{delay = Delay} = Flow) ->
    _ = erlang:send_after(Delay, self(), {?MODULE, again}),
    {Bytes, Flow#flow{waits = true, delay = min(2 * Delay, ?LATE)}}.
