%% @private
%% A socket of `gen_raw': takes batches of packets from its capture process and hands them to the owner, or to who asks.
%%
%% The capture process sends as far as it was given credit, in bytes. What was handed on is given back when it has been read, so a slow
%% owner leaves the packets in the kernel's buffer.
-module(procket_raw).
-behaviour(gen_server).

-export([open/2, call/3, closed/2]).
-export([start_link/2, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% What may be on the way from the kernel to the owner, in bytes of the wire.
-define(CREDIT, 1_048_576).
%% What is given back at once.
-define(OWED, 262_144).

-record(state, {
    options :: procket_raw_options:options(),
    delivery :: procket_raw_delivery:delivery(),
    capture :: undefined | procket_raw_start:capture(),
    %% With `capture'.
    requests :: undefined | procket_raw_requests:requests(),
    parts = #{} :: #{packets => {Bytes :: non_neg_integer(), procket_parts:assembly()}},
    owed = 0 :: non_neg_integer()
}).

%% Opens a socket on this node for an owner on any.
-spec open(procket_raw_options:options(), Owner :: pid()) ->
    {ok, pid()} | {error, procket:posix() | {filter, string()}}.
open(Options, Owner) ->
    case procket_app:ensure_started() of
        ok ->
            case procket_raw_sup:start_socket(Options, Owner) of
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

%% The descriptor of these sockets was closed by procket:close/1.
-spec closed(procket:fd(), [pid()]) -> ok.
closed(FD, Sockets) ->
    lists:foreach(fun(Pid) -> gen_server:cast(Pid, {closed, FD}) end, Sockets).

-spec start_link(procket_raw_options:options(), pid()) -> {ok, pid()} | {error, term()}.
start_link(Options, Owner) ->
    %% What comes is handed on at once, so there is little to collect, however much went through.
    gen_server:start_link(?MODULE, {Options, Owner}, [{spawn_opt, [{min_heap_size, 32_768}]}]).

-spec init({procket_raw_options:options(), pid()}) -> {ok, #state{}}.
init({#{active := Mode} = Options, Owner}) ->
    _ = process_flag(trap_exit, true),
    {ok, #state{options = Options, delivery = procket_raw_delivery:new(Owner, Mode)}}.

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
handle_call({recv, Timeout}, From, #state{delivery = Delivery} = State) ->
    case procket_raw_delivery:recv(Timeout, From, Delivery) of
        {error, _} = Error -> {reply, Error, State};
        Step -> stepped(Step, State)
    end;
handle_call({active, Value}, _From, #state{delivery = Delivery} = State) ->
    replied(procket_raw_delivery:activate(Value, Delivery), State);
handle_call(getopts, _From, #state{options = Options, delivery = Delivery} = State) ->
    {reply, {ok, Options#{active := procket_raw_delivery:mode(Delivery)}}, State};
handle_call({handover, start}, {Pid, _}, #state{delivery = Delivery} = State) ->
    case procket_raw_delivery:pause(Pid, Delivery) of
        {ok, Paused} -> {reply, ok, State#state{delivery = Paused}};
        {error, _} = Error -> {reply, Error, State}
    end;
handle_call({handover, New}, {Pid, _}, #state{delivery = Delivery} = State) ->
    replied(procket_raw_delivery:resume(Pid, New, Delivery), State);
handle_call(close, _From, State) ->
    {stop, normal, ok, State};
handle_call(_Ask, _From, #state{capture = undefined} = State) ->
    {reply, {error, closed}, State};
handle_call(Ask, From, #state{requests = Requests} = State) when Ask =:= stats; Ask =:= info; Ask =:= counters ->
    {noreply, State#state{requests = procket_raw_requests:ask(Ask, From, Requests)}};
handle_call(_Request, _From, State) ->
    {reply, {error, einval}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_cast({send, Id, Encoded}, State) when not is_reference(Id); not is_binary(Encoded) ->
    {noreply, State};
handle_cast({send, Id, _Encoded}, #state{capture = undefined} = State) ->
    Id ! {Id, {error, {closed, 0}}},
    {noreply, State};
handle_cast({send, Id, _Encoded}, #state{options = #{link := cooked}} = State) ->
    Id ! {Id, {error, {enotsup, 0}}},
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
    ended(ebadf, State);
handle_cast({keep, Owner}, #state{delivery = Delivery} = State) ->
    stepped(procket_raw_delivery:continue(Owner, Delivery), State);
handle_cast(_Message, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Port, {data, Data}}, #state{capture = #{port := Port}} = State) ->
    case procket_raw_packets:count(Data) of
        false -> frame(binary_to_term(Data), byte_size(Data) + 2, State);
        Count -> arrived([{batch, Data, Count, byte_size(Data) + 2}], State)
    end;
handle_info({Port, {exit_status, _}}, #state{capture = #{port := Port}} = State) ->
    ended(epipe, State);
handle_info({'EXIT', Port, _}, #state{capture = #{port := Port}} = State) ->
    ended(epipe, State);
%% Where its writer was killed, what was to be written is lost.
handle_info({'EXIT', Pid, _}, #state{requests = Requests} = State) when is_pid(Pid), Requests =/= undefined ->
    case procket_raw_requests:is_writer(Pid, Requests) of
        true -> ended(epipe, State);
        false -> {noreply, State}
    end;
handle_info({procket_raw_requests, watch}, #state{capture = undefined} = State) ->
    {noreply, State};
handle_info({procket_raw_requests, watch}, #state{requests = Requests} = State) ->
    case procket_raw_requests:watch(Requests) of
        {ok, New} -> {noreply, State#state{requests = New}};
        hangs -> ended(etimedout, State)
    end;
handle_info(Message, #state{delivery = Delivery} = State) ->
    stepped(procket_raw_delivery:message(Message, Delivery), State).

-spec terminate(term(), #state{}) -> ok.
terminate(Reason, #state{capture = Capture, delivery = Delivery} = State) ->
    %% `normal': it was closed, or its owner was told or has gone. `{shutdown, _}': it was not opened.
    Told = case Reason of normal -> told; {shutdown, {error, _}} -> told; _ -> untold end,
    procket_raw_delivery:close(Told, Delivery),
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
            arrived([{batch, Batch, Count, Before + Bytes}], State#state{parts = #{}})
    end;
frame({failed, Reason}, Bytes, State) ->
    arrived([{error, Reason, Bytes}], State);
frame({ended, Reason}, Bytes, State) ->
    arrived([{error, Reason, Bytes}, closed], State);
frame({Id, Result}, _Bytes, #state{requests = Requests} = State) ->
    {Request, Left} = procket_raw_requests:answered(Id, Requests),
    _ = case Request of
        send -> Id ! {Id, Result};
        ping -> ok;
        {Ask, From} -> gen_server:reply(From, answer(Ask, Result, State))
    end,
    {noreply, State#state{requests = Left}}.

answer(stats, {ok, Received, Dropped, Truncated, Sent}, #state{delivery = Delivery}) ->
    Delivered = procket_raw_delivery:delivered(Delivery),
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
    arrived([{error, Reason, 0}, closed], State#state{capture = undefined, requests = undefined}).

%% Nobody will answer what was asked.
close(#state{capture = Capture, requests = Requests}) ->
    procket_ports:gone({capture, self()}),
    procket_raw_requests:refuse(Requests),
    procket_raw_requests:close(Requests),
    procket_raw_start:close(Capture).

%% Handing on

arrived(Items, #state{delivery = Delivery} = State) ->
    stepped(procket_raw_delivery:add(Items, Delivery), State).

%% What was read gives credit back.
stepped({Next, Delivery}, State) ->
    {Read, Taken} = procket_raw_delivery:read(Delivery),
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
    ok = procket_raw_requests:command(credit, [Owed + Bytes], Requests),
    State#state{owed = 0};
give_back(Bytes, #state{owed = Owed} = State) ->
    State#state{owed = Owed + Bytes}.
