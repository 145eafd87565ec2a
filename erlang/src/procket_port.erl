%% @private
%% The server of one port process: starts it, sends the requests that do not go over the lane, hands on their answers, and
%% ends with it. Only a few requests are with the port process at a time: the others gather, and cross in one batch.
-module(procket_port).
-behaviour(gen_server).

-export([start_link/1, await/1, stop/1, submit/5, taken/2, abandon/2, replace_lane/2, spin/0]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([handle/0, options/0]).

%% How long a port process may leave a request unread or unanswered, in milliseconds, and when a lane is tried again.
-define(PATIENCE, 10_000).
%% How long an opener is there without a call, in milliseconds, unless the application's `opener_idle' says otherwise.
-define(IDLE, 60_000).
%% How long a port server waits for the one who started it, in milliseconds.
-define(UNASKED, 5000).
%% So many requests are with the port process at a time. Their answers never fill the channel, where the port process would wait for
%% this server while this server waits for the port process; and their descriptors, 253 each, are fewer than an unprivileged
%% user may have on the way by default (1024: ETOOMANYREFS of unix(7)).
-define(WINDOW, 4).
%% The longest frame on stdin, and on the channel, where the kernel takes up to this length whole or not at all.
-define(MAX_FRAME, 65_535).
-define(MAX_CHANNEL_FRAME, 32_768).

-type handle() :: #{server := pid(), os_pid := pos_integer(), lane => procket_lane:lane()}.
-type options() :: #{
    command := procket_command:command(),
    key => procket_ports:key(),
    pipe => file:filename()
}.
-type request() :: {Function :: atom(), Args :: [term()], [procket:fd()]}.

-record(state, {
    options :: options(),
    port :: port() | undefined,
    os_pid :: pos_integer() | undefined,
    channel :: procket_channel:channel() | undefined,
    lane :: procket_lane:lane() | {opening, reference()} | undefined,
    waiting = procket_queue:new() :: procket_queue:queue(),
    %% What has no answer yet: the calls of a batch, or one that is none.
    sent = #{} :: #{Id :: reference() => [procket_queue:waiting()] | alone},
    %% How many answers have come, and whether somebody looks that there are more.
    answers = 0 :: non_neg_integer(),
    %% How many calls came here, but for those about the port process itself.
    uses = 0 :: non_neg_integer(),
    watched = false :: boolean(),
    untaken = procket_untaken:new() :: procket_untaken:untaken(),
    parts = #{} :: procket_parts:assembly()
}).

-spec start_link(options()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    gen_server:start_link(?MODULE, Options, []).

%% The port process, started and connected by the first who asks. `noproc': that one has ended, and there can be another.
-spec await(pid()) -> {ok, handle()} | {error, procket:posix()} | noproc.
await(Pid) ->
    try
        gen_server:call(Pid, await, infinity)
    catch
        exit:{{shutdown, {posix, Reason}}, _} -> {error, Reason};
        exit:{Reason, _} when Reason =:= noproc; Reason =:= normal; Reason =:= shutdown; Reason =:= killed -> noproc;
        exit:{{shutdown, _}, _} -> noproc;
        exit:{_Reason, _} -> {error, epipe}
    end.

-spec stop(pid()) -> ok.
stop(Pid) ->
    try
        gen_server:stop(Pid)
    catch
        exit:_ -> ok
    end.

%% Sends a request on behalf of the caller, unless it has died or its time (monotonic, in milliseconds) is up before it is its turn.
%% The answer comes to `Id', an alias of the caller: `{Id, Result, FDs}', or `{Id, unsent}'.
-spec submit(pid(), Id :: reference(), request(), Brings :: boolean(), Deadline :: integer() | infinity) -> ok.
submit(Server, Id, {_, Args, _} = Request, Brings, Deadline) ->
    Waiting = #{call => {Id, Request}, size => erlang:external_size(Args), caller => self(), deadline => Deadline},
    Server ! {request, Waiting, Brings},
    ok.

%% The caller has the descriptors of the answer.
-spec taken(pid(), Id :: reference()) -> ok.
taken(Server, Id) ->
    gen_server:cast(Server, {taken, Id}).

%% The caller waits no longer: descriptors that come for it are closed.
-spec abandon(pid(), Id :: reference()) -> ok.
abandon(Server, Id) ->
    gen_server:cast(Server, {abandon, Id}).

%% The lane is of no use any more: an answer to `Pid' is still to come, and nobody waits for it.
-spec replace_lane(pid(), Pid :: pid()) -> ok.
replace_lane(Server, Pid) ->
    gen_server:cast(Server, {replace_lane, Pid}).

%% For how long a port process polls before it sleeps, in microseconds; 0 is never.
-spec spin() -> non_neg_integer().
spin() ->
    application:get_env(procket, spin, 100).

-spec init(options()) -> {ok, #state{}}.
init(Options) ->
    _ = process_flag(trap_exit, true),
    _ = erlang:send_after(?UNASKED, self(), unasked),
    {ok, #state{options = Options}}.

-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, {ok, handle()} | {error, einval}, #state{}}
    | {reply, {ok, handle()}, #state{}, {continue, open_lane}}
    | {stop, {shutdown, {posix, atom()}}, {error, atom()}, #state{}}.
handle_call(await, _From, #state{port = undefined, options = Options} = State) ->
    case procket_start:connect(Options) of
        {ok, Port, Channel, OsPid} ->
            ok = ask_reasons(Options, Port),
            Connected = State#state{port = Port, channel = Channel, os_pid = OsPid},
            {reply, {ok, announce(Connected)}, Connected, {continue, open_lane}};
        {error, Reason} ->
            {stop, {shutdown, {posix, Reason}}, {error, Reason}, State}
    end;
handle_call(await, _From, State) ->
    {reply, {ok, handle(State)}, State};
handle_call(_Request, _From, State) ->
    {reply, {error, einval}, State}.

%% An opener that knows of reasons answers refusals with them from then on; to its answer nobody listens.
ask_reasons(#{key := worker}, _Port) ->
    ok;
ask_reasons(#{}, Port) ->
    %% Where it has ended, the first call notices.
    _ = procket_start:command(Port, term_to_binary({make_ref(), reasons, []})),
    ok.

%% One who serves a single call needs no lane.
-spec handle_continue(open_lane, #state{}) -> {noreply, #state{}}.
handle_continue(open_lane, #state{options = #{key := _}} = State) -> {noreply, look_later(open_lane(State))};
handle_continue(open_lane, State) -> {noreply, look_later(State)}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({taken, Id}, State) ->
    {noreply, State#state{untaken = procket_untaken:remove(Id, State#state.untaken)}};
handle_cast({abandon, Id}, State) ->
    {noreply, State#state{untaken = procket_untaken:close(Id, State#state.untaken)}};
handle_cast({replace_lane, Pid}, #state{lane = #{} = Lane} = State) ->
    case procket_lane:is_taken_by(Pid, Lane) of
        true ->
            procket_lane:close(Lane),
            {noreply, open_lane(State)};
        false ->
            {noreply, State}
    end;
handle_cast(_Message, State) ->
    {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({request, Waiting, Brings}, State) ->
    send_waiting(queue_submitted(queue(Waiting, Brings, State)));
handle_info({Port, {data, Data}}, #state{port = Port} = State) ->
    try binary_to_term(Data) of
        Answer -> send_waiting(answer(Answer, State))
    catch
        error:badarg -> {stop, {shutdown, eproto}, State}
    end;
handle_info({Port, {exit_status, Status}}, #state{port = Port} = State) ->
    {stop, {shutdown, {exit_status, Status}}, State};
handle_info({'EXIT', Port, Reason}, #state{port = Port} = State) ->
    {stop, {shutdown, Reason}, State};
handle_info({'DOWN', Monitor, process, _Pid, _Reason}, State) ->
    {noreply, State#state{untaken = procket_untaken:down(Monitor, State#state.untaken)}};
handle_info({Id, Result, FDs}, #state{lane = {opening, Id}} = State) ->
    {noreply, lane_opened(Id, Result, FDs, State)};
handle_info({watch, _Answers}, #state{sent = Sent} = State) when map_size(Sent) =:= 0 ->
    {noreply, State#state{watched = false}};
%% The port process hangs, or is stopped: the next call finds another one.
handle_info({watch, Answers}, #state{answers = Answers} = State) ->
    {stop, {shutdown, etimedout}, State};
handle_info({watch, _Answers}, State) ->
    {noreply, watch(State#state{watched = false})};
%% The one who was to ask for it has died.
handle_info(unasked, #state{port = undefined} = State) ->
    {stop, normal, State};
handle_info({idle, Before}, State) ->
    case activity(State) =:= Before andalso is_idle(State) of
        true -> {stop, normal, State};
        false -> {noreply, look_later(State)}
    end;
handle_info(open_lane, #state{lane = undefined} = State) ->
    {noreply, open_lane(State)};
handle_info(_Message, State) ->
    {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{port = undefined}) ->
    ok;
terminate(Reason, #state{port = Port, channel = Channel, options = Options, lane = Lane, untaken = Untaken} = State) ->
    _ = [procket_log:ended(maps:get(command, Options), Why) || {shutdown, Why} <- [Reason], is_unexpected(Why, Options)],
    _ = [procket_ports:gone(Key) || #{key := Key} <- [Options]],
    procket_start:close_port(Port),
    procket_channel:close(Channel),
    _ = [procket_lane:close(Lane) || is_map(Lane)],
    procket_untaken:close_all(Untaken),
    refuse(State#state.waiting),
    refuse_submitted().

%% An opener that is outdated ends, and has said so.
is_unexpected({exit_status, 0}, #{key := {opener, _}}) -> false;
is_unexpected(_Why, _Options) -> true.

%% An opener that nobody uses ends: rights do not live on.

look_later(#state{options = #{key := worker}} = State) ->
    State;
look_later(State) ->
    Idle = application:get_env(procket, opener_idle, ?IDLE),
    _ = [erlang:send_after(Idle, self(), {idle, activity(State)}) || Idle =/= infinity],
    State.

activity(#state{uses = Uses, lane = #{} = Lane}) -> {Uses, procket_lane:uses(Lane)};
activity(#state{uses = Uses}) -> {Uses, 0}.

%% From then on nobody has its lane.
is_idle(#state{sent = Sent}) when map_size(Sent) > 0 -> false;
is_idle(#state{lane = #{} = Lane}) -> procket_lane:retire(Lane);
is_idle(#state{}) -> true.

%% What was not sent can be submitted again, to another port process.
refuse(Queue) ->
    case procket_queue:next(alone, Queue) of
        {[], _} ->
            ok;
        {[#{call := {Id, _}}], Others} ->
            Id ! {Id, unsent},
            refuse(Others)
    end.

refuse_submitted() ->
    receive
        {request, #{call := {Id, _}}, _Brings} ->
            Id ! {Id, unsent},
            refuse_submitted()
    after 0 -> ok
    end.

%% The lane

handle(#state{lane = #{} = Lane, os_pid = OsPid}) -> #{server => self(), os_pid => OsPid, lane => Lane};
handle(#state{os_pid = OsPid}) -> #{server => self(), os_pid => OsPid}.

%% Callers find it from now on.
announce(#state{options = Options} = State) ->
    Handle = handle(State),
    _ = [procket_ports:ready(Key, Handle) || #{key := Key} <- [Options]],
    Handle.

open_lane(State) ->
    Id = alias([reply]),
    Opening = remember(Id, self(), State#state{lane = {opening, Id}}),
    _ = announce(Opening),
    case transmit(Opening, Id, term_to_binary({Id, lane, []}), []) of
        ok -> sent(Id, alone, Opening);
        %% The port process has ended, or does not read.
        {error, _} -> Opening
    end.

lane_opened(Id, Result, FDs, #state{untaken = Untaken} = State) ->
    Taken = State#state{untaken = procket_untaken:remove(Id, Untaken)},
    case [procket_lane:open(FD) || {ok, [FD]} <- [{Result, FDs}]] of
        [{ok, Lane}] ->
            Open = Taken#state{lane = Lane},
            _ = announce(Open),
            Open;
        _ ->
            %% There is no room for another descriptor. It works without a lane.
            _ = erlang:send_after(?PATIENCE, self(), open_lane),
            Taken#state{lane = undefined}
    end.

%% Sending

queue(#{call := {Id, {Function, _, _}}, caller := Caller} = Waiting, Brings, #state{waiting = Queue, uses = Uses} = State) ->
    Queued = State#state{waiting = procket_queue:add(Waiting, Queue), uses = case Function of counters -> Uses; _ -> Uses + 1 end},
    case Brings of
        true -> remember(Id, Caller, Queued);
        false -> Queued
    end.

queue_submitted(State) ->
    receive
        {request, Waiting, Brings} -> queue_submitted(queue(Waiting, Brings, State))
    after 0 -> State
    end.

remember(Id, Caller, #state{untaken = Untaken} = State) ->
    State#state{untaken = procket_untaken:add(Id, Caller, Untaken)}.

send_waiting(#state{sent = Sent} = State) when map_size(Sent) >= ?WINDOW ->
    {noreply, State};
send_waiting(#state{} = State) ->
    {Calls, Queue} = procket_queue:next(how(State), State#state.waiting),
    case Calls of
        [] -> {noreply, State#state{waiting = Queue}};
        _ -> send_waiting(send_calls(Calls, State#state{waiting = Queue}))
    end;
send_waiting({stop, _, _} = Stop) ->
    Stop.

%% An opener takes no batches.
how(#state{options = #{key := worker}}) -> batch;
how(#state{}) -> alone.

send_calls([#{call := {Id, {Function, Args, FDs}}}], State) ->
    case transmit(State, Id, term_to_binary({Id, Function, Args}), FDs) of
        ok -> sent(Id, alone, State);
        %% The port process does not read, and may have read half of it.
        {error, etimedout} -> {stop, {shutdown, etimedout}, State};
        {error, epipe} ->
            Id ! {Id, unsent},
            State#state{untaken = procket_untaken:remove(Id, State#state.untaken)};
        {error, Reason} -> deliver(Id, {error, Reason}, {ok, []}, State)
    end;
send_calls(Calls, State) ->
    Id = make_ref(),
    {Args, FDs} = procket_batch:request([Request || #{call := {_, Request}} <- Calls]),
    case transmit(State, Id, term_to_binary({Id, batch, [Args]}), FDs) of
        ok -> sent(Id, Calls, State);
        {error, etimedout} -> {stop, {shutdown, etimedout}, State};
        %% One of the descriptors is bad. Alone they show which.
        {error, _} -> send_again(Calls, State)
    end.

send_again(Calls, #state{waiting = Queue} = State) ->
    State#state{waiting = procket_queue:retry(Calls, Queue)}.

sent(Id, What, #state{sent = Sent} = State) ->
    watch(State#state{sent = Sent#{Id => What}}).

watch(#state{watched = true} = State) ->
    State;
watch(#state{answers = Answers} = State) ->
    _ = erlang:send_after(?PATIENCE, self(), {watch, Answers}),
    State#state{watched = true}.

transmit(#state{port = Port}, Id, Encoded, []) ->
    in_frames(Id, Encoded, ?MAX_FRAME, fun(Frame, _FDs) -> procket_start:command(Port, Frame) end, []);
transmit(#state{channel = Channel}, Id, Encoded, FDs) ->
    Send = fun(Frame, Attached) ->
        procket_channel:send(Channel, <<(byte_size(Frame)):16>>, Frame, Attached, ?PATIENCE)
    end,
    in_frames(Id, Encoded, ?MAX_CHANNEL_FRAME, Send, FDs).

in_frames(Id, Encoded, Max, Send, FDs) ->
    case procket_parts:split(Id, Encoded, Max) of
        {error, _} = Error -> Error;
        Frames -> send_frames(Frames, Send, FDs)
    end.

send_frames([], _Send, _FDs) ->
    ok;
send_frames([Frame | Frames], Send, FDs) ->
    case Send(Frame, FDs) of
        ok -> send_frames(Frames, Send, []);
        {error, closed} -> {error, epipe};
        {error, _} = Error -> Error
    end.

%% Answers

answer({Id, Result}, State) when is_reference(Id) ->
    answered(Id, Result, {ok, []}, State);
answer({Id, Result, Count}, #state{channel = Channel} = State) when is_reference(Id), is_integer(Count) ->
    answered(Id, Result, procket_channel:receive_fds(Channel, Count), State);
answer({Id, part, Part}, State) when is_reference(Id) ->
    case procket_parts:join(Id, Part, State#state.parts) of
        {more, Parts} -> State#state{parts = Parts, answers = State#state.answers + 1};
        {complete, Encoded, Parts} -> answer(binary_to_term(Encoded), State#state{parts = Parts});
        {error, badpart} -> {stop, {shutdown, eproto}, State}
    end;
answer(_Answer, State) ->
    {stop, {shutdown, eproto}, State}.

answered(_Id, _Result, {error, eproto}, State) ->
    {stop, {shutdown, eproto}, State};
answered(Id, Result, FDs, #state{sent = Sent, answers = Answers} = State) ->
    case {maps:take(Id, Sent), Result, FDs} of
        {{[_ | _] = Calls, Others}, {ok, Results}, _} ->
            deliver_batch(Calls, Results, FDs, State#state{sent = Others, answers = Answers + 1});
        %% Nothing of it was done: there was no room for its descriptors, or for its answer. There may be for each alone.
        {{[_ | _] = Calls, Others}, {error, _}, _} ->
            send_again(Calls, State#state{sent = Others, answers = Answers + 1});
        {{alone, Others}, _, _} ->
            deliver(Id, Result, FDs, State#state{sent = Others, answers = Answers + 1});
        %% A message to one who waits for a descriptor.
        {error, _, _} ->
            deliver(Id, Result, FDs, State)
    end.

deliver_batch(Calls, Results, {ok, FDs}, State) ->
    deliver_all(Calls, procket_batch:split(Results, FDs), State);
%% There was no room for the descriptors: those that bring none have their results all the same.
deliver_batch(Calls, Results, {error, _} = Error, State) ->
    deliver_all(Calls, [case Count of 0 -> {Result, []}; _ -> {Error, []} end || {Count, Result} <- Results], State).

deliver_all(Calls, Results, State) ->
    lists:foldl(fun({#{call := {Id, _}}, {Result, FDs}}, S) -> deliver(Id, Result, {ok, FDs}, S) end, State, lists:zip(Calls, Results)).

deliver(Id, _Result, {error, Reason}, State) ->
    deliver(Id, {error, Reason}, {ok, []}, State);
deliver(Id, Result, {ok, FDs}, #state{untaken = Untaken} = State) ->
    State#state{untaken = procket_untaken:deliver(Id, Result, FDs, Untaken)}.
