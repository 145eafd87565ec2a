%% @private
%% How far the owner of an active socket has got with its messages.
%%
%% A process does not say which of its messages it has read. So the length of its queue is asked, on its own node, once for so many bytes
%% that were sent to it: while the queue is short, they count as read. A long queue is asked again later, and then its messages of
%% this socket are counted, since the others are not this socket's concern.
-module(procket_raw_flow).

-export([new/1, sent/2, outstanding/1, response/2, again/1, count/2]).

-export_type([flow/0]).

%% What is asked for, in bytes, and what a queue may hold, in messages.
-define(STEP, 262_144).
-define(SHORT, 16).
%% Milliseconds until it is asked again.
-define(SOON, 2).
-define(LATE, 250).

-record(flow, {
    owner :: pid(),
    %% Bytes that were sent since they last counted as read.
    sent = 0 :: non_neg_integer(),
    %% What was asked, and the bytes that the answer is about.
    request :: undefined | {erpc:request_id(), non_neg_integer(), length | exact},
    delay = ?SOON :: pos_integer(),
    waits = false :: boolean(),
    %% Messages in the queue that are not of this socket.
    others = 0 :: non_neg_integer()
}).

-opaque flow() :: #flow{}.

-spec new(Owner :: pid()) -> flow().
new(Owner) ->
    #flow{owner = Owner}.

%% So many bytes went to the owner.
-spec sent(non_neg_integer(), flow()) -> flow().
sent(Bytes, #flow{sent = Sent} = Flow) ->
    ask(Flow#flow{sent = Sent + Bytes}).

%% The bytes that do not count as read yet.
-spec outstanding(flow()) -> non_neg_integer().
outstanding(#flow{sent = Sent}) ->
    Sent.

ask(#flow{request = undefined, waits = false, sent = Sent, owner = Owner} = Flow) when Sent >= ?STEP ->
    Request = erpc:send_request(node(Owner), erlang, process_info, [Owner, message_queue_len]),
    Flow#flow{request = {Request, Sent, length}};
ask(Flow) ->
    Flow.

%% The time is over after which it is asked again.
-spec again(flow()) -> flow().
again(#flow{request = undefined, owner = Owner, sent = Sent} = Flow) ->
    Request = erpc:send_request(node(Owner), ?MODULE, count, [Owner, self()]),
    Flow#flow{request = {Request, Sent, exact}, waits = false};
again(Flow) ->
    Flow#flow{waits = false}.

%% Takes a message that may be the answer; the bytes that count as read by now.
-spec response(Message :: term(), flow()) -> {Read :: non_neg_integer(), flow()} | no_response.
response(_Message, #flow{request = undefined}) ->
    no_response;
response(Message, #flow{request = {Request, Asked, What}} = Flow) ->
    try erpc:check_response(Message, Request) of
        no_response -> no_response;
        {response, Answer} -> answer(What, Answer, Asked, Flow#flow{request = undefined})
    catch
        %% The node has gone, or has no such function. That the owner has gone says its monitor.
        _:_ -> later(Flow#flow{request = undefined})
    end.

answer(length, {message_queue_len, Length}, Asked, #flow{others = Others} = Flow) when Length - Others =< ?SHORT ->
    read(Asked, Flow#flow{others = min(Others, Length)});
answer(exact, {Own, Others}, Asked, Flow) when Own =< ?SHORT ->
    read(Asked, Flow#flow{others = Others});
answer(_What, _Answer, _Asked, Flow) ->
    later(Flow).

read(Asked, #flow{sent = Sent} = Flow) ->
    {Asked, ask(Flow#flow{sent = Sent - Asked, delay = ?SOON})}.

later(#flow{delay = Delay} = Flow) ->
    _ = erlang:send_after(Delay, self(), {?MODULE, again}),
    {0, Flow#flow{waits = true, delay = min(2 * Delay, ?LATE)}}.

%% Called on the owner's node: how many messages of a socket wait in its queue, and how many others.
-spec count(Owner :: pid(), gen_raw:socket()) -> {non_neg_integer(), non_neg_integer()} | undefined.
count(Owner, Socket) ->
    case process_info(Owner, messages) of
        {messages, Messages} ->
            Own = length([1 || {raw, From, _} <- Messages, From =:= Socket]),
            {Own, length(Messages) - Own};
        undefined ->
            undefined
    end.
