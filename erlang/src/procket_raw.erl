%% @private
%% A socket of `gen_raw': takes batches of packets from its capture process and hands them to the owner, or to who asks.
%%
%% The capture process sends as far as it was given credit, in bytes. What was handed on is given back when it has been read, so a slow
%% owner leaves the packets in the kernel's buffer.
-module(procket_raw).
-behaviour(gen_server).

-export([open/2, closed/1]).
-export([start_link/2, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% What may be on the way from the kernel to the owner, in bytes of the wire.
-define(CREDIT, 1_048_576).
%% What is given back at once.
-define(OWED, 65_536).
-define(MAX_ACTIVE, 32_767).
-define(is_active(Mode), (Mode =/= false)).

-type item() ::
    %% A batch as it came; packets that are left of one. `Bytes' is the credit that goes back with it.
    {batch, binary(), Count :: pos_integer(), Bytes :: non_neg_integer()}
    | {packets, [gen_raw:packet()], Count :: pos_integer(), Bytes :: non_neg_integer()}
    | {error, procket:posix(), Bytes :: non_neg_integer()}
    | closed.

-type waiter() :: {gen_server:from(), Monitor :: reference(), Timer :: reference() | none}.

-record(state, {
    options :: procket_raw_options:options(),
    owner :: pid(),
    monitor :: reference(),
    capture :: undefined | procket_raw_start:capture(),
    mode :: gen_raw:active(),
    %% The mode that comes back when the owner has changed.
    handover :: undefined | gen_raw:active(),
    queue = queue:new() :: queue:queue(item()),
    waiting = queue:new() :: queue:queue(waiter()),
    %% With `capture'.
    requests :: undefined | procket_raw_requests:requests(),
    parts = #{} :: #{packets => {Bytes :: non_neg_integer(), procket_parts:assembly()}},
    delivered = 0 :: non_neg_integer(),
    flow :: procket_raw_flow:flow(),
    owed = 0 :: non_neg_integer()
}).

%% Opens a socket on this node for an owner on any.
-spec open(procket_raw_options:options(), Owner :: pid()) ->
    {ok, pid()} | {error, procket:posix() | {filter, string()}}.
open(Options, Owner) ->
    case application:ensure_all_started(procket) of
        {ok, _} ->
            {ok, Pid} = procket_raw_sup:start_socket(Options, Owner),
            try gen_server:call(Pid, open, infinity) of
                ok -> {ok, Pid};
                {error, _} = Error -> Error
            catch
                exit:_ -> {error, epipe}
            end;
        {error, _} ->
            {error, enoexec}
    end.

%% A descriptor was closed by procket:close/1.
-spec closed(procket:fd()) -> ok.
closed(FD) ->
    lists:foreach(fun(Pid) -> gen_server:cast(Pid, {closed, FD}) end, procket_raw_sup:sockets(FD)).

-spec start_link(procket_raw_options:options(), pid()) -> {ok, pid()} | {error, term()}.
start_link(Options, Owner) ->
    %% What comes is handed on at once, so there is little to collect, however much went through.
    gen_server:start_link(?MODULE, {Options, Owner}, [{spawn_opt, [{min_heap_size, 32_768}]}]).

-spec init({procket_raw_options:options(), pid()}) -> {ok, #state{}}.
init({#{active := Mode} = Options, Owner}) ->
    _ = process_flag(trap_exit, true),
    {ok, #state{
        options = Options,
        owner = Owner,
        monitor = monitor(process, Owner),
        mode = Mode,
        flow = procket_raw_flow:new(Owner)
    }}.

-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}} | {stop, term(), term(), #state{}} | {stop, term(), #state{}}.
handle_call(open, _From, #state{capture = undefined, options = Options} = State) ->
    case procket_raw_start:start(Options, ?CREDIT) of
        {ok, #{port := Port, os_pid := OsPid} = Capture} ->
            ok = procket_ports:captures(#{server => self(), os_pid => OsPid}),
            _ = [procket_raw_sup:register(FD) || #{source := {fd, FD}} <- [Options]],
            {reply, ok, State#state{capture = Capture, requests = procket_raw_requests:new(Port)}};
        {error, _} = Error ->
            {stop, {shutdown, Error}, Error, State}
    end;
handle_call({recv, _Timeout}, _From, #state{mode = Mode} = State) when ?is_active(Mode) ->
    {reply, {error, einval}, State};
handle_call({recv, Timeout}, {Pid, _} = From, #state{waiting = Waiting} = State) ->
    Monitor = monitor(process, Pid),
    run(State#state{waiting = queue:in({From, Monitor, timer(Timeout, Monitor)}, Waiting)});
handle_call({active, Value}, _From, State) ->
    activate(Value, State);
handle_call(getopts, _From, #state{options = Options, mode = Mode} = State) ->
    {reply, {ok, Options#{active := Mode}}, State};
handle_call({handover, start}, {Owner, _}, #state{owner = Owner, mode = Mode, handover = undefined} = State) ->
    {reply, ok, State#state{mode = false, handover = Mode}};
handle_call({handover, New}, {Owner, _}, #state{owner = Owner, handover = Mode} = State) when is_pid(New) ->
    true = demonitor(State#state.monitor, [flush]),
    Given = give_back(procket_raw_flow:outstanding(State#state.flow), State),
    replied(ok, run(Given#state{
        owner = New,
        monitor = monitor(process, New),
        mode = Mode,
        handover = undefined,
        flow = procket_raw_flow:new(New)
    }));
handle_call({handover, _}, _From, State) ->
    {reply, {error, not_owner}, State};
handle_call(close, _From, State) ->
    {stop, normal, ok, State};
handle_call(_Ask, _From, #state{capture = undefined} = State) ->
    {reply, {error, closed}, State};
handle_call(Ask, From, #state{requests = Requests} = State) when Ask =:= stats; Ask =:= info; Ask =:= counters ->
    {noreply, State#state{requests = procket_raw_requests:ask(Ask, From, Requests)}}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_cast({send, Id, _Encoded}, #state{capture = undefined} = State) ->
    Id ! {Id, {error, {closed, 0}}},
    {noreply, State};
handle_cast({send, Id, _Encoded}, #state{options = #{link := cooked}} = State) ->
    Id ! {Id, {error, {eopnotsupp, 0}}},
    {noreply, State};
handle_cast({send, Id, Encoded}, #state{requests = Requests} = State) ->
    case procket_raw_requests:send(Id, Encoded, Requests) of
        {ok, New} ->
            {noreply, State#state{requests = New}};
        {error, Reason} ->
            Id ! {Id, {error, {Reason, 0}}},
            {noreply, State}
    end;
handle_cast({closed, _FD}, State) ->
    ended(ebadf, State).

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Port, {data, Data}}, #state{capture = #{port := Port}} = State) ->
    case procket_raw_packets:count(Data) of
        false -> frame(binary_to_term(Data), byte_size(Data) + 2, State);
        Count -> arrived({batch, Data, Count, byte_size(Data) + 2}, State)
    end;
handle_info({Port, {exit_status, _}}, #state{capture = #{port := Port}} = State) ->
    ended(epipe, State);
handle_info({'EXIT', Port, _}, #state{capture = #{port := Port}} = State) ->
    ended(epipe, State);
handle_info({procket_raw_requests, watch}, #state{capture = undefined} = State) ->
    {noreply, State};
handle_info({procket_raw_requests, watch}, #state{requests = Requests} = State) ->
    case procket_raw_requests:watch(Requests) of
        {ok, New} -> {noreply, State#state{requests = New}};
        hangs -> ended(etimedout, State)
    end;
handle_info({'DOWN', Monitor, process, _, _}, #state{monitor = Monitor} = State) ->
    {stop, normal, State};
handle_info({timeout, Timer, {recv, Monitor}}, #state{waiting = Waiting} = State) ->
    _ = [gen_server:reply(From, {error, timeout}) || {From, _, T} <- queue:to_list(Waiting), T =:= Timer],
    {noreply, forget(Monitor, State)};
handle_info({procket_raw_flow, again}, #state{flow = Flow} = State) ->
    {noreply, State#state{flow = procket_raw_flow:again(Flow)}};
handle_info(Message, #state{flow = Flow} = State) ->
    case procket_raw_flow:response(Message, Flow) of
        {Read, New} -> {noreply, give_back(Read, State#state{flow = New})};
        no_response -> {noreply, gone(Message, State)}
    end.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{capture = Capture, waiting = Waiting} = State) ->
    _ = [gen_server:reply(From, {error, closed}) || {From, _, _} <- queue:to_list(Waiting)],
    _ = [close(State) || Capture =/= undefined],
    ok.

%% What the capture process says

frame({packets, part, Part}, Bytes, #state{parts = Parts} = State) ->
    %% Its parts are worth their bytes together.
    {Before, Assembly} = maps:get(packets, Parts, {0, #{}}),
    case procket_parts:join(packets, Part, Assembly) of
        {more, More} ->
            {noreply, State#state{parts = #{packets => {Before + Bytes, More}}}};
        {complete, Batch, _} ->
            Count = procket_raw_packets:count(Batch),
            arrived({batch, Batch, Count, Before + Bytes}, State#state{parts = #{}})
    end;
frame({failed, Reason}, Bytes, State) ->
    arrived({error, Reason, Bytes}, State);
frame({ended, Reason}, Bytes, State) ->
    arrived({error, Reason, Bytes}, closed, State);
frame({Id, Result}, _Bytes, #state{requests = Requests} = State) ->
    {Request, Left} = procket_raw_requests:answered(Id, Requests),
    _ = case Request of
        send -> Id ! {Id, Result};
        ping -> ok;
        {Ask, From} -> gen_server:reply(From, answer(Ask, Result, State))
    end,
    {noreply, State#state{requests = Left}}.

answer(stats, {ok, Received, Dropped, Truncated, Sent}, #state{delivered = Delivered}) ->
    {ok, #{
        received => Received,
        delivered => Delivered,
        queued => Received - Dropped - Delivered,
        kernel_dropped => Dropped,
        truncated => Truncated,
        sent => Sent
    }};
answer(stats, {error, _} = Error, _State) ->
    Error;
answer(counters, Result, _State) ->
    Result;
answer(info, Result, #state{options = Options}) ->
    procket_raw_start:info(Options, Result).

%% There will be no more packets.
ended(_Reason, #state{capture = undefined} = State) ->
    {noreply, State};
ended(Reason, State) ->
    close(State),
    arrived({error, Reason, 0}, closed, State#state{capture = undefined, requests = undefined}).

%% Nobody will answer what was asked.
close(#state{capture = Capture, requests = Requests}) ->
    procket_ports:gone({capture, self()}),
    procket_raw_requests:refuse(Requests),
    procket_raw_requests:close(Requests),
    procket_raw_start:close(Capture).

%% Handing on

arrived(Item, #state{queue = Queue} = State) ->
    run(State#state{queue = queue:in(Item, Queue)}).

arrived(Item, closed, #state{queue = Queue} = State) ->
    run(State#state{queue = queue:in(closed, queue:in(Item, Queue))}).

run(#state{queue = Queue, mode = false, waiting = Waiting} = State) ->
    case queue:is_empty(Queue) orelse queue:is_empty(Waiting) of
        true ->
            {noreply, State};
        false ->
            {{value, Item}, Rest} = queue:out(Queue),
            reply_with(Item, State#state{queue = Rest})
    end;
run(#state{queue = Queue} = State) ->
    case queue:out(Queue) of
        {empty, _} -> {noreply, State};
        {{value, Item}, Rest} -> deliver(Item, State#state{queue = Rest})
    end.

reply_with(closed, State) ->
    %% Those who wait are told when it terminates.
    {stop, normal, State};
reply_with(Item, #state{waiting = Waiting, delivered = Delivered} = State) ->
    {{value, {From, Monitor, Timer}}, Rest} = queue:out(Waiting),
    true = demonitor(Monitor, [flush]),
    cancel(Timer),
    gen_server:reply(From, answer_of(Item)),
    run(give_back(bytes(Item), State#state{waiting = Rest, delivered = Delivered + count(Item)})).

%% It is decoded by who asked.
answer_of({batch, Batch, _, _}) -> {ok, {batch, Batch}};
answer_of({packets, Packets, _, _}) -> {ok, {packets, Packets}};
answer_of({error, Reason, _}) -> {error, Reason}.

deliver(closed, #state{owner = Owner} = State) ->
    Owner ! {raw_closed, self()},
    {stop, normal, State};
deliver({error, Reason, Bytes}, #state{owner = Owner} = State) ->
    Owner ! {raw_error, self(), Reason},
    run(sent(Bytes, State));
deliver({_, _, Count, Bytes} = Item, #state{mode = Mode} = State) when is_integer(Mode), Count > Mode ->
    {Now, Later} = lists:split(Mode, packets(Item)),
    Rest = {packets, Later, Count - Mode, Bytes},
    passive(hand_on(Now, Mode, 0, State#state{queue = queue:in_r(Rest, State#state.queue)}));
deliver({_, _, Count, Bytes} = Item, #state{mode = Mode} = State) ->
    Handed = hand_on(packets(Item), Count, Bytes, State),
    case Mode of
        true -> run(Handed);
        once -> run(Handed#state{mode = false});
        Count -> passive(Handed);
        _ -> run(Handed#state{mode = Mode - Count})
    end.

hand_on(Packets, Count, Bytes, #state{owner = Owner, delivered = Delivered} = State) ->
    Owner ! {raw, self(), Packets},
    sent(Bytes, State#state{delivered = Delivered + Count}).

sent(Bytes, #state{flow = Flow} = State) ->
    State#state{flow = procket_raw_flow:sent(Bytes, Flow)}.

%% {active, N} has come to its end.
passive(#state{owner = Owner} = State) ->
    Owner ! {raw_passive, self()},
    run(State#state{mode = false}).

packets({batch, Batch, _, _}) -> procket_raw_packets:decode(Batch);
packets({packets, Packets, _, _}) -> Packets.

count({error, _, _}) -> 0;
count({_, _, Count, _}) -> Count.

bytes({error, _, Bytes}) -> Bytes;
bytes({_, _, _, Bytes}) -> Bytes.

activate(N, #state{mode = Mode} = State) when is_integer(N) ->
    case N + (case is_integer(Mode) of true -> Mode; false -> 0 end) of
        Sum when Sum > ?MAX_ACTIVE -> {reply, {error, einval}, State};
        Sum when Sum =< 0 -> replied(ok, passive(State));
        Sum -> replied(ok, run(State#state{mode = Sum}))
    end;
activate(Value, State) ->
    replied(ok, run(State#state{mode = Value})).

%% The caller is answered, whatever becomes of the socket.
replied(Reply, {noreply, State}) -> {reply, Reply, State};
replied(Reply, {stop, Reason, State}) -> {stop, Reason, Reply, State}.

%% Who waits

timer(infinity, _Monitor) -> none;
timer(Timeout, Monitor) -> erlang:start_timer(Timeout, self(), {recv, Monitor}).

cancel(none) -> ok;
cancel(Timer) -> _ = erlang:cancel_timer(Timer), ok.

%% Who waited has ended.
gone({'DOWN', Monitor, process, _, _}, State) -> forget(Monitor, State);
gone(_Message, State) -> State.

forget(Monitor, #state{waiting = Waiting} = State) ->
    true = demonitor(Monitor, [flush]),
    State#state{waiting = queue:filter(fun({_, M, _}) -> M =/= Monitor end, Waiting)}.

%% To the capture process

give_back(Bytes, #state{owed = Owed, requests = Requests} = State) when Owed + Bytes >= ?OWED, Requests =/= undefined ->
    ok = procket_raw_requests:command(credit, [Owed + Bytes], Requests),
    State#state{owed = 0};
give_back(Bytes, #state{owed = Owed} = State) ->
    State#state{owed = Owed + Bytes}.
