%% @private
%% Hands packets on: to the owner of a socket as messages, as far as its mode goes, or to processes that ask.
%%
%% What was read is added up until the socket takes it, to give it back as credit.
-module(gen_raw_queue).

-export([new/2, add/2, recv/3, activate/2, mode/1, delivered/1, pause/2, resume/3, continue/2, message/2, read/1, close/2]).

-export_type([delivery/0, item/0, step/0]).

-define(MAX_ACTIVE, 32_767).
-define(is_active(Mode), (Mode =/= false)).

-type item() ::
    %% A batch as it came; packets that are left of one. `Bytes' is the credit that goes back with it.
    {batch, binary(), Count :: pos_integer(), Bytes :: non_neg_integer()}
    | {packets, [gen_raw:packet()], Count :: pos_integer(), Bytes :: non_neg_integer()}
    | {error, procket:posix(), Bytes :: non_neg_integer()}
    | closed.

-type waiter() :: {gen_server:from(), Monitor :: reference(), Timer :: reference() | none}.

-record(delivery, {
    owner :: pid(),
    monitor :: reference(),
    mode :: gen_raw:active(),
    %% The mode that comes back when the owner has changed.
    handover :: undefined | gen_raw:active(),
    queue = queue:new() :: queue:queue(item()),
    %% Nobody waits while there is something in the queue.
    waiting = queue:new() :: queue:queue(waiter()),
    delivered = 0 :: non_neg_integer(),
    flow :: gen_raw_flow:flow(),
    read = 0 :: non_neg_integer()
}).

-opaque delivery() :: #delivery{}.

%% `stop': the end of the socket was told, or its owner has gone.
-type step() :: {next | stop, delivery()}.

-spec new(Owner :: pid(), gen_raw:active()) -> delivery().
new(Owner, Mode) ->
    #delivery{owner = Owner, monitor = monitor(process, Owner), mode = Mode, flow = gen_raw_flow:new(Owner)}.

%% What came.
-spec add([item()], delivery()) -> step().
add(Items, #delivery{queue = Queue} = Delivery) ->
    run(Delivery#delivery{queue = lists:foldl(fun queue:in/2, Queue, Items)}).

%% Somebody asks, and is answered at once or when something has come.
-spec recv(timeout(), gen_server:from(), delivery()) -> step() | {error, einval}.
recv(_Timeout, _From, #delivery{mode = Mode}) when ?is_active(Mode) ->
    {error, einval};
recv(Timeout, {Pid, _} = From, #delivery{queue = Queue, waiting = Waiting} = Delivery) ->
    case queue:out(Queue) of
        {{value, Item}, Rest} ->
            answer(Item, From, Delivery#delivery{queue = Rest});
        {empty, _} ->
            Monitor = monitor(process, Pid),
            {next, Delivery#delivery{waiting = queue:in({From, Monitor, timer(Timeout, Monitor)}, Waiting)}}
    end.

-spec activate(gen_raw:active() | integer(), delivery()) -> step() | {error, einval}.
activate(N, #delivery{mode = Mode} = Delivery) when is_integer(N) ->
    case N + (case is_integer(Mode) of true -> Mode; false -> 0 end) of
        Sum when Sum > ?MAX_ACTIVE -> {error, einval};
        Sum when Sum =< 0 -> passive(Delivery);
        Sum -> run(Delivery#delivery{mode = Sum})
    end;
activate(Mode, Delivery) ->
    run(Delivery#delivery{mode = Mode}).

-spec mode(delivery()) -> gen_raw:active().
mode(#delivery{mode = Mode}) -> Mode.

%% How many packets were handed on.
-spec delivered(delivery()) -> non_neg_integer().
delivered(#delivery{delivered = Delivered}) -> Delivered.

%% The owner is about to give the socket away: nothing is sent to it any more.
-spec pause(pid(), delivery()) -> {ok, delivery()} | {error, not_owner}.
pause(Owner, #delivery{owner = Owner, mode = Mode, handover = undefined} = Delivery) ->
    {ok, Delivery#delivery{mode = false, handover = Mode}};
%% It has asked before, and did not wait for the answer.
pause(Owner, #delivery{owner = Owner} = Delivery) ->
    {ok, Delivery};
pause(_Pid, _Delivery) ->
    {error, not_owner}.

%% The owner keeps the socket.
-spec continue(pid(), delivery()) -> step().
continue(Owner, #delivery{owner = Owner, handover = Mode} = Delivery) when Mode =/= undefined ->
    run(Delivery#delivery{mode = Mode, handover = undefined});
continue(_Pid, Delivery) ->
    {next, Delivery}.

%% It belongs to another process from now on.
-spec resume(pid(), New :: pid(), delivery()) -> step() | {error, not_owner}.
resume(Owner, New, #delivery{owner = Owner, handover = Mode, read = Read, flow = Flow} = Delivery) when Mode =/= undefined ->
    true = demonitor(Delivery#delivery.monitor, [flush]),
    ok = gen_raw_flow:close(Flow),
    run(Delivery#delivery{
        owner = New,
        monitor = monitor(process, New),
        mode = Mode,
        handover = undefined,
        read = Read + gen_raw_flow:outstanding(Flow),
        flow = gen_raw_flow:new(New)
    });
resume(_Pid, _New, _Delivery) ->
    {error, not_owner}.

%% Any other message that the socket got.
-spec message(term(), delivery()) -> step().
message({'DOWN', Monitor, process, _, _}, #delivery{monitor = Monitor} = Delivery) ->
    {stop, Delivery};
message({timeout, Timer, {recv, Monitor}}, #delivery{waiting = Waiting} = Delivery) ->
    lists:foreach(fun(From) -> gen_server:reply(From, {error, timeout}) end, [From || {From, _, T} <- queue:to_list(Waiting), T =:= Timer]),
    {next, forget(Monitor, Delivery)};
message({gen_raw_flow, again}, #delivery{flow = Flow} = Delivery) ->
    {next, Delivery#delivery{flow = gen_raw_flow:again(Flow)}};
message(Message, #delivery{flow = Flow, read = Read} = Delivery) ->
    case gen_raw_flow:response(Message, Flow) of
        {Bytes, New} -> {next, Delivery#delivery{flow = New, read = Read + Bytes}};
        no_response -> {next, gone(Message, Delivery)}
    end.

%% The bytes that were read since this was asked before.
-spec read(delivery()) -> {non_neg_integer(), delivery()}.
read(#delivery{read = Read} = Delivery) ->
    {Read, Delivery#delivery{read = 0}}.

%% Tells those that wait for packets, and, if the end is not their own doing, the owner of an active socket.
-spec close(told | untold, delivery()) -> ok.
close(Told, #delivery{owner = Owner, mode = Mode, handover = Handover, waiting = Waiting, flow = Flow}) ->
    lists:foreach(fun({From, _, _}) -> gen_server:reply(From, {error, closed}) end, queue:to_list(Waiting)),
    case Told =:= untold andalso (?is_active(Mode) orelse Handover =/= undefined) of
        true -> _ = Owner ! {raw_closed, self()}, ok;
        false -> ok
    end,
    gen_raw_flow:close(Flow).

run(#delivery{mode = false, queue = Queue, waiting = Waiting} = Delivery) ->
    case queue:is_empty(Queue) orelse queue:is_empty(Waiting) of
        true ->
            {next, Delivery};
        false ->
            {{value, Item}, Rest} = queue:out(Queue),
            {{value, {From, Monitor, Timer}}, Others} = queue:out(Waiting),
            true = demonitor(Monitor, [flush]),
            cancel(Timer),
            answer(Item, From, Delivery#delivery{queue = Rest, waiting = Others})
    end;
run(#delivery{queue = Queue} = Delivery) ->
    case queue:out(Queue) of
        {empty, _} -> {next, Delivery};
        {{value, Item}, Rest} -> deliver(Item, Delivery#delivery{queue = Rest})
    end.

%% To processes that ask

answer(closed, From, Delivery) ->
    gen_server:reply(From, {error, closed}),
    {stop, Delivery};
answer(Item, From, #delivery{delivered = Delivered, read = Read} = Delivery) ->
    gen_server:reply(From, answer_of(Item)),
    run(Delivery#delivery{delivered = Delivered + count(Item), read = Read + bytes(Item)}).

%% The process that asked decodes it.
answer_of({batch, Batch, _, _}) -> {ok, {batch, Batch}};
answer_of({packets, Packets, _, _}) -> {ok, {packets, Packets}};
answer_of({error, Reason, _}) -> {error, Reason}.

timer(infinity, _Monitor) -> none;
timer(Timeout, Monitor) -> erlang:start_timer(Timeout, self(), {recv, Monitor}).

cancel(none) -> ok;
cancel(Timer) -> _ = erlang:cancel_timer(Timer), ok.

%% A process that waited has ended.
gone({'DOWN', Monitor, process, _, _}, Delivery) -> forget(Monitor, Delivery);
gone(_Message, Delivery) -> Delivery.

forget(Monitor, #delivery{waiting = Waiting} = Delivery) ->
    true = demonitor(Monitor, [flush]),
    Delivery#delivery{waiting = queue:filter(fun({_, M, _}) -> M =/= Monitor end, Waiting)}.

%% To the owner

deliver(closed, #delivery{owner = Owner} = Delivery) ->
    Owner ! {raw_closed, self()},
    {stop, Delivery};
deliver({error, Reason, Bytes}, #delivery{owner = Owner} = Delivery) ->
    Owner ! {raw_error, self(), Reason},
    run(sent(Bytes, Delivery));
deliver({_, _, Count, Bytes} = Item, #delivery{mode = Mode, queue = Queue} = Delivery) when is_integer(Mode), Count > Mode ->
    {Now, Later} = lists:split(Mode, packets(Item)),
    Rest = {packets, Later, Count - Mode, Bytes},
    passive(hand_on(Now, Mode, 0, Delivery#delivery{queue = queue:in_r(Rest, Queue)}));
deliver({_, _, Count, Bytes} = Item, #delivery{mode = Mode} = Delivery) ->
    Handed = hand_on(packets(Item), Count, Bytes, Delivery),
    case Mode of
        true -> run(Handed);
        once -> run(Handed#delivery{mode = false});
        Count -> passive(Handed);
        _ -> run(Handed#delivery{mode = Mode - Count})
    end.

hand_on(Packets, Count, Bytes, #delivery{owner = Owner, delivered = Delivered} = Delivery) ->
    Owner ! {raw, self(), Packets},
    sent(Bytes, Delivery#delivery{delivered = Delivered + Count}).

sent(Bytes, #delivery{flow = Flow} = Delivery) ->
    Delivery#delivery{flow = gen_raw_flow:sent(Bytes, Flow)}.

%% {active, N} has come to its end.
passive(#delivery{owner = Owner} = Delivery) ->
    Owner ! {raw_passive, self()},
    run(Delivery#delivery{mode = false}).

packets({batch, Batch, _, _}) -> gen_raw_batch:decode(Batch);
packets({packets, Packets, _, _}) -> Packets.

count({error, _, _}) -> 0;
count({_, _, Count, _}) -> Count.

bytes({error, _, Bytes}) -> Bytes;
bytes({_, _, _, Bytes}) -> Bytes.
