%% @private
%% A socket of `gen_raw': takes batches of packets from its capture process and hands them to the owner, or to processes that ask.
%%
%% The capture process sends as far as it was given credit, in bytes. What was handed on is given back when it has been read, so a slow
%% owner leaves the packets in the kernel's buffer.
-module(gen_raw_server).
-behaviour(gen_server).

-export([open/2, call/3, sockets/1, closed/2]).
-export([start_link/2, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% {FD, Socket}: a bag.
-define(TABLE, ?MODULE).
%% What may be on the way from the kernel to the owner, in bytes of the wire.
-define(CREDIT, 1_048_576).
%% What is given back at once.
-define(OWED, 262_144).

-record(state, {
    options :: gen_raw_opts:options(),
    delivery :: gen_raw_queue:delivery(),
    %% `starting', with the process that starts it and the caller that waits; `opening', until it has said that packets come, with frames
    %% that were faster than this answer.
    capture ::
        undefined
        | {starting, pid(), gen_server:from()}
        | {opening, port(), gen_server:from(), gen_raw_capture:capture(), [binary()]}
        | {open, port()},
    %% With a capture process that has started.
    requests :: undefined | gen_raw_requests:requests(),
    %% What has come of a batch that is longer than a frame.
    fragments = {0, []} :: {Bytes :: non_neg_integer(), [binary()]},
    owed = 0 :: non_neg_integer()
}).

%% Opens a socket on this node for an owner on any.
-spec open(gen_raw_opts:options(), Owner :: pid()) ->
    {ok, pid()} | {error, procket:posix() | {filter, string()}}.
open(Options, Owner) ->
    case procket_app:ensure_started() of
        ok ->
            case procket_sup:start_socket(Options, Owner) of
                {ok, Pid} -> opened(Pid);
                {error, _} -> {error, epipe}
            end;
        {error, _} ->
            {error, enoexec}
    end.

opened(Pid) ->
    try gen_server:call(Pid, open, infinity) of
        ok -> {ok, Pid};
        {error, _} = Error -> Error
    catch
        exit:_ -> {error, epipe}
    end.

%% Asks a socket, on any node. `Timeout' in milliseconds.
-spec call(pid(), Request :: term(), timeout()) -> term().
call(Socket, Request, Timeout) ->
    try
        gen_server:call(Socket, Request, Timeout)
    catch
        exit:{timeout, _} -> {error, etimedout};
        exit:_ -> {error, closed}
    end.

%% Which sockets capture from a descriptor of the BEAM.
-spec sockets(procket:fd()) -> [pid()].
sockets(FD) ->
    try
        [Pid || {_, Pid} <- ets:take(?TABLE, FD)]
    catch
        error:badarg -> []
    end.

%% The calling socket captures from this descriptor, as long as it lives. Those that have ended are forgotten.
register_source(#{source := {fd, FD}}) ->
    lists:foreach(
        fun({_, Pid} = Row) -> is_process_alive(Pid) orelse ets:delete_object(?TABLE, Row) end,
        ets:lookup(?TABLE, FD)
    ),
    true = ets:insert(?TABLE, {FD, self()}),
    ok;
register_source(#{}) ->
    ok.

%% The descriptor of these sockets was closed by procket:close/1.
-spec closed(procket:fd(), [pid()]) -> ok.
closed(FD, Sockets) ->
    lists:foreach(fun(Pid) -> gen_server:cast(Pid, {closed, FD}) end, Sockets).

-spec start_link(gen_raw_opts:options(), pid()) -> {ok, pid()} | {error, term()}.
start_link(Options, Owner) ->
    %% What comes is handed on at once, so there is little to collect, however much went through.
    gen_server:start_link(?MODULE, {Options, Owner}, [{spawn_opt, [{min_heap_size, 32_768}]}]).

-spec init({gen_raw_opts:options(), pid()}) -> {ok, #state{}}.
init({#{active := Mode} = Options, Owner}) ->
    _ = process_flag(trap_exit, true),
    {ok, #state{options = Options, delivery = gen_raw_queue:new(Owner, Mode)}}.

-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, term(), #state{}} | {noreply, #state{}} | {stop, term(), term(), #state{}} | {stop, term(), #state{}}.
handle_call(open, From, #state{capture = undefined, options = Options} = State) ->
    {noreply, State#state{capture = {starting, gen_raw_capture:start_link(Options, ?CREDIT), From}}};
handle_call({recv, Timeout}, From, #state{delivery = Delivery} = State) ->
    case gen_raw_queue:recv(Timeout, From, Delivery) of
        {error, _} = Error -> {reply, Error, State};
        Step -> stepped(Step, State)
    end;
handle_call({active, Value}, _From, #state{delivery = Delivery} = State) ->
    replied(gen_raw_queue:activate(Value, Delivery), State);
handle_call(getopts, _From, #state{options = Options, delivery = Delivery} = State) ->
    {reply, {ok, Options#{active := gen_raw_queue:mode(Delivery)}}, State};
handle_call({handover, start}, {Pid, _}, #state{delivery = Delivery} = State) ->
    case gen_raw_queue:pause(Pid, Delivery) of
        {ok, Paused} -> {reply, ok, State#state{delivery = Paused}};
        {error, _} = Error -> {reply, Error, State}
    end;
handle_call({handover, New}, {Pid, _}, #state{delivery = Delivery} = State) ->
    replied(gen_raw_queue:resume(Pid, New, Delivery), State);
handle_call(close, _From, State) ->
    {stop, normal, ok, State};
handle_call(_Ask, _From, #state{requests = undefined} = State) ->
    {reply, {error, closed}, State};
handle_call(Ask, From, #state{requests = Requests} = State) when Ask =:= stats; Ask =:= info; Ask =:= counters ->
    {noreply, State#state{requests = gen_raw_requests:ask(Ask, From, Requests)}};
handle_call(_Request, _From, State) ->
    {reply, {error, einval}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_cast({send, Id, Encoded}, State) when not is_reference(Id); not is_binary(Encoded) ->
    {noreply, State};
handle_cast({send, Id, _Encoded}, #state{requests = undefined} = State) ->
    Id ! {Id, {error, {closed, 0}}},
    {noreply, State};
handle_cast({send, Id, _Encoded}, #state{options = #{link := cooked}} = State) ->
    Id ! {Id, {error, {enotsup, 0}}},
    {noreply, State};
handle_cast({send, Id, Encoded}, #state{requests = Requests} = State) ->
    case gen_raw_requests:send(Id, Encoded, Requests) of
        {ok, New} ->
            {noreply, State#state{requests = New}};
        {error, Reason} ->
            Id ! {Id, {error, {Reason, 0}}},
            {noreply, State}
    end;
handle_cast({closed, _FD}, State) ->
    ended(ebadf, State);
handle_cast({keep, Owner}, #state{delivery = Delivery} = State) ->
    stepped(gen_raw_queue:continue(Owner, Delivery), State);
handle_cast(_Message, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Port, {data, Data}}, #state{capture = {open, Port}} = State) ->
    data(Data, State);
handle_info({Port, {data, Data}}, #state{capture = {opening, Port, From, Capture, Early}} = State) ->
    {noreply, State#state{capture = {opening, Port, From, Capture, [Data | Early]}}};
handle_info({'$socket', _, _, _} = Message, #state{requests = Requests} = State) when Requests =/= undefined ->
    case gen_raw_requests:handle(Message, Requests) of
        {ok, Answers, Next} -> answered(Answers, State#state{requests = Next});
        {error, _, Next} -> ended(epipe, State#state{requests = Next});
        unknown -> {noreply, State}
    end;
handle_info({Port, {exit_status, _}}, State) when is_port(Port) ->
    ended(epipe, State);
handle_info({'EXIT', Port, _}, State) when is_port(Port) ->
    ended(epipe, State);
handle_info({gen_raw_capture, Starter, Result}, #state{capture = {starting, Starter, From}} = State) ->
    started(Result, From, State);
handle_info({'EXIT', Starter, _}, #state{capture = {starting, Starter, From}} = State) ->
    started({error, epipe}, From, State);
handle_info({gen_raw_requests, watch}, #state{requests = undefined} = State) ->
    {noreply, State};
handle_info({gen_raw_requests, watch}, #state{requests = Requests} = State) ->
    case gen_raw_requests:watch(Requests) of
        {ok, New} -> {noreply, State#state{requests = New}};
        hangs -> ended(etimedout, State)
    end;
handle_info(Message, #state{delivery = Delivery} = State) ->
    stepped(gen_raw_queue:message(Message, Delivery), State).

started({ok, #{port := Port, socket := Socket, start := Start} = Capture}, From, State) ->
    case gen_raw_requests:new(Socket) of
        {ok, Requests} ->
            {noreply, State#state{capture = {opening, Port, From, Capture, []}, requests = gen_raw_requests:start(Start, Requests)}};
        {error, _} ->
            procket_spawn:close_port(Port),
            started({error, epipe}, From, State)
    end;
started({error, _} = Error, From, State) ->
    gen_server:reply(From, Error),
    {stop, {shutdown, Error}, State#state{capture = undefined}}.

opened(ok, #state{capture = {opening, Port, From, #{os_pid := OsPid}, Early}, options = Options} = State) ->
    ok = procket_registry:ready_capture(#{server => self(), os_pid => OsPid}),
    ok = register_source(Options),
    gen_server:reply(From, ok),
    early(lists:reverse(Early), State#state{capture = {open, Port}});
opened({error, _} = Error, #state{capture = {opening, _Port, From, #{start := #{filter := Program}}, _Early}} = State) ->
    close(State),
    started(gen_raw_capture:refused(Error, Program), From, State#state{requests = undefined}).

early([], State) ->
    {noreply, State};
early([Data | Others], State) ->
    case data(Data, State) of
        {noreply, Next} -> early(Others, Next);
        Stop -> Stop
    end.

-spec terminate(term(), #state{}) -> ok.
terminate(Reason, #state{capture = Capture, delivery = Delivery} = State) ->
    %% `normal': it was closed, or its owner was told or has gone. `{shutdown, _}': it was not opened.
    Told = case Reason of normal -> told; {shutdown, {error, _}} -> told; _ -> untold end,
    gen_raw_queue:close(Told, Delivery),
    case Capture of
        {opening, _, _, _, _} -> close(State);
        {open, _} -> close(State);
        _ -> ok
    end.

%% What the capture process says

data(Data, State) ->
    case gen_raw_batch:count(Data) of
        false -> frame(binary_to_term(Data), byte_size(Data) + 2, State);
        Count -> arrived([{batch, Data, Count, byte_size(Data) + 2}], State)
    end.

frame({fragment, Chunk}, Bytes, #state{fragments = {Before, Chunks}} = State) ->
    {noreply, State#state{fragments = {Before + Bytes, [Chunk | Chunks]}}};
%% The fragments are worth their bytes together.
frame({last_fragment, Chunk}, Bytes, #state{fragments = {Before, Chunks}} = State) ->
    Batch = iolist_to_binary(lists:reverse(Chunks, [Chunk])),
    arrived([{batch, Batch, gen_raw_batch:count(Batch), Before + Bytes}], State#state{fragments = {0, []}});
frame({failed, Reason}, Bytes, State) ->
    arrived([{error, Reason, Bytes}], State);
frame({ended, Reason}, Bytes, State) ->
    arrived([{error, Reason, Bytes}, closed], State).

answered([], State) ->
    {noreply, State};
answered([{Id, Result} | Answers], #state{requests = Requests} = State) ->
    {Request, Left} = gen_raw_requests:answered(Id, Requests),
    case Request of
        start ->
            opened(Result, State#state{requests = Left});
        send ->
            Id ! {Id, Result},
            answered(Answers, State#state{requests = Left});
        ping ->
            answered(Answers, State#state{requests = Left});
        {Ask, From} ->
            gen_server:reply(From, answer(Ask, Result, State)),
            answered(Answers, State#state{requests = Left})
    end.

answer(stats, {ok, Received, Dropped, Truncated, Sent}, #state{delivery = Delivery}) ->
    Delivered = gen_raw_queue:delivered(Delivery),
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
    gen_raw_capture:info(Options, Result).

%% There will be no more packets.
ended(_Reason, #state{requests = undefined} = State) ->
    {noreply, State};
ended(Reason, #state{capture = {opening, _, _, _, _}} = State) ->
    opened({error, Reason}, State);
ended(Reason, State) ->
    close(State),
    arrived([{error, Reason, 0}, closed], State#state{capture = undefined, requests = undefined}).

%% Nobody will answer what was asked.
close(#state{capture = Capture, requests = Requests}) ->
    procket_registry:gone({capture, self()}),
    gen_raw_requests:refuse(Requests),
    procket_spawn:close_port(case Capture of {open, Port} -> Port; {opening, Port, _, _, _} -> Port end),
    gen_raw_requests:close(Requests).

%% Handing on

arrived(Items, #state{delivery = Delivery} = State) ->
    stepped(gen_raw_queue:add(Items, Delivery), State).

%% What was read gives credit back.
stepped({Next, Delivery}, State) ->
    {Read, Taken} = gen_raw_queue:read(Delivery),
    Given = give_back(Read, State#state{delivery = Taken}),
    case Next of
        next -> {noreply, Given};
        stop -> {stop, normal, Given}
    end.

%% The caller is answered, whatever becomes of the socket.
replied({error, _} = Error, State) ->
    {reply, Error, State};
replied(Step, State) ->
    case stepped(Step, State) of
        {noreply, New} -> {reply, ok, New};
        {stop, Reason, New} -> {stop, Reason, ok, New}
    end.

%% To the capture process

give_back(Bytes, #state{owed = Owed, requests = Requests} = State) when Owed + Bytes >= ?OWED, Requests =/= undefined ->
    State#state{owed = 0, requests = gen_raw_requests:command(credit, [Owed + Bytes], Requests)};
give_back(Bytes, #state{owed = Owed} = State) ->
    State#state{owed = Owed + Bytes}.
