%% @private
%% The server of one port process: starts it, sends the requests that do not go over the direct connection, hands on their answers, and
%% ends with it. Only a few requests are with the port process at a time: the others gather, and cross in one batch.
%%
%% States: `new', until a caller asks for the port process; `starting', until that has connected; `ready'. A port process that hangs, ends,
%% or is idle, ends its server.
-module(procket_port).
-behaviour(gen_statem).

-export([start_link/1, await/1, stop/1, submit/5, taken/2, abandon/2]).
-export([init/1, callback_mode/0, new/3, starting/3, ready/3, terminate/3]).

-export_type([options/0]).

%% How long a port process may leave a request unread or unanswered, in milliseconds, and when a direct connection is tried again.
-define(PATIENCE, 10_000).
%% How long an opener is there without a call, in milliseconds, unless the application's `opener_idle' says otherwise.
-define(IDLE, 60_000).
%% How long a server waits for the caller for which it was started, in milliseconds.
-define(UNASKED, 5000).
%% How long a port process that has closed its connection may take to end, in milliseconds.
-define(ENDING, 1000).
%% So many requests are with the port process at a time. Their descriptors, 253 each, are fewer than an unprivileged user may have on
%% the way by default (1024: ETOOMANYREFS of unix(7)).
-define(WINDOW, 4).

%% Without a key: for one caller, which stops it.
-type options() :: #{
    command := procket_command:command(),
    key => procket_registry:key(),
    pipe => file:filename()
}.

-record(data, {
    options :: options(),
    starter :: pid() | undefined,
    port :: port() | undefined,
    os_pid :: pos_integer() | undefined,
    connection :: procket_connection:connection() | undefined,
    direct :: procket_direct:direct() | opening | undefined,
    waiting = procket_queue:new() :: procket_queue:queue(),
    %% What has no answer yet.
    sent = #{} :: #{Id :: reference() => [procket_queue:waiting()] | direct | reasons},
    %% How many answers have come, and whether a time-out looks that there are more.
    answers = 0 :: non_neg_integer(),
    watched = false :: boolean(),
    %% How many calls came here, but for those about the port process itself.
    uses = 0 :: non_neg_integer(),
    in_flight = procket_in_flight:new() :: procket_in_flight:in_flight()
}).

-spec start_link(options()) -> {ok, pid()} | {error, term()}.
start_link(Options) ->
    gen_statem:start_link(?MODULE, Options, []).

%% The port process, started by the first caller that asks, once it has connected. `noproc': that one has ended, and there can be another.
-spec await(pid()) -> {ok, procket_registry:handle()} | {error, procket:posix()} | noproc.
await(Server) ->
    try
        gen_statem:call(Server, await, infinity)
    catch
        exit:{{shutdown, {posix, Reason}}, _} -> {error, Reason};
        exit:{Reason, _} when Reason =:= noproc; Reason =:= normal; Reason =:= shutdown; Reason =:= killed -> noproc;
        exit:{{shutdown, _}, _} -> noproc;
        exit:{_Reason, _} -> {error, epipe}
    end.

-spec stop(pid()) -> ok.
stop(Server) ->
    try
        gen_statem:stop(Server)
    catch
        exit:_ -> ok
    end.

%% Sends a request on behalf of the caller, unless it has died or its time (monotonic, in milliseconds) is up before it is its turn.
%% The answer comes to `Id', an alias of the caller: `{Id, Result, FDs}', or `{Id, unsent}'.
-spec submit(pid(), Id :: reference(), procket_queue:request(), Brings :: boolean(), Deadline :: integer() | infinity) -> ok.
submit(Server, Id, {_, Args, _} = Request, Brings, Deadline) ->
    Waiting = #{id => Id, request => Request, size => erlang:external_size(Args), caller => self(), deadline => Deadline},
    gen_statem:cast(Server, {request, Waiting, Brings}).

%% The caller has the descriptors of the answer.
-spec taken(pid(), Id :: reference()) -> ok.
taken(Server, Id) ->
    gen_statem:cast(Server, {taken, Id}).

%% The caller waits no longer: descriptors that come for it are closed.
-spec abandon(pid(), Id :: reference()) -> ok.
abandon(Server, Id) ->
    gen_statem:cast(Server, {abandon, Id}).

-spec callback_mode() -> state_functions.
callback_mode() -> state_functions.

-spec init(options()) -> {ok, new, #data{}, [gen_statem:action()]}.
init(Options) ->
    _ = process_flag(trap_exit, true),
    {ok, new, #data{options = Options}, [{state_timeout, ?UNASKED, unasked}]}.

%% The caller that asks is told why there is no port process: so it is not started before.
-spec new(gen_statem:event_type(), term(), #data{}) -> gen_statem:event_handler_result(atom(), #data{}).
new({call, _From}, await, #data{options = Options} = Data) ->
    {next_state, starting, Data#data{starter = procket_spawn:start_link(Options)}, [postpone]};
new(state_timeout, unasked, Data) ->
    {stop, normal, Data};
new(_Type, _Event, _Data) ->
    {keep_state_and_data, postpone}.

-spec starting(gen_statem:event_type(), term(), #data{}) -> gen_statem:event_handler_result(atom(), #data{}).
starting(info, {procket_spawn, Starter, {ok, Port, Socket, OsPid}}, #data{starter = Starter} = Data) ->
    case procket_connection:new(Socket) of
        {ok, [], Connection} ->
            connected(Data#data{starter = undefined, port = Port, os_pid = OsPid, connection = Connection});
        {ok, [_ | _] = Frames, Connection} ->
            close_frames(Frames),
            procket_connection:close(Connection),
            procket_spawn:close_port(Port),
            stop_starting(eproto, Data);
        {error, _} ->
            procket_spawn:close_port(Port),
            stop_starting(epipe, Data)
    end;
starting(info, {procket_spawn, Starter, {error, Reason}}, #data{starter = Starter} = Data) ->
    stop_starting(Reason, Data);
starting(info, {'EXIT', Starter, _}, #data{starter = Starter} = Data) ->
    stop_starting(epipe, Data);
starting(_Type, _Event, _Data) ->
    {keep_state_and_data, postpone}.

stop_starting(Reason, Data) ->
    {stop, {shutdown, {posix, Reason}}, Data#data{starter = undefined}}.

connected(#data{options = #{key := worker}} = Data) ->
    {next_state, ready, announced(open_direct(Data)), []};
%% An opener that knows of reasons answers refusals with them from then on.
connected(#data{options = Options} = Data) ->
    Asked = send_own(reasons, reasons, Data),
    case Options of
        #{key := _} -> {next_state, ready, announced(open_direct(Asked)), idle_timeout(Asked)};
        %% A single call needs no direct connection.
        #{} -> {next_state, ready, Asked, idle_timeout(Asked)}
    end.

-spec ready(gen_statem:event_type(), term(), #data{}) -> gen_statem:event_handler_result(atom(), #data{}).
ready({call, From}, await, Data) ->
    {keep_state_and_data, [{reply, From, {ok, handle(Data)}}]};
ready({call, From}, _Request, _Data) ->
    {keep_state_and_data, [{reply, From, {error, einval}}]};
ready(cast, {request, Waiting, Brings}, Data) ->
    watch(send_waiting(queue_submitted(queue(Waiting, Brings, Data))));
ready(cast, {taken, Id}, #data{in_flight = InFlight} = Data) ->
    {keep_state, Data#data{in_flight = procket_in_flight:remove(Id, InFlight)}};
ready(cast, {abandon, Id}, #data{in_flight = InFlight} = Data) ->
    {keep_state, Data#data{in_flight = procket_in_flight:close(Id, InFlight)}};
ready(cast, {lost, Holder}, #data{direct = #{} = Direct} = Data) ->
    case procket_direct:is_held_by(Holder, Direct) of
        true ->
            procket_direct:close(Direct),
            watch(announced(open_direct(Data)));
        false ->
            keep_state_and_data
    end;
ready(info, {'$socket', _, _, _} = Message, #data{connection = Connection} = Data) ->
    case procket_connection:handle(Message, Connection) of
        {ok, Frames, Next} -> answers(Frames, Data#data{connection = Next});
        %% The port process is ending: its exit status says more.
        {error, Reason, Next} -> {keep_state, Data#data{connection = Next}, [{state_timeout, ?ENDING, Reason}]};
        unknown -> keep_state_and_data
    end;
ready(info, {Port, {data, Frame}}, #data{port = Port} = Data) ->
    event(Frame, Data);
ready(info, {Port, {exit_status, Status}}, #data{port = Port} = Data) ->
    {stop, {shutdown, {exit_status, Status}}, Data};
ready(info, {'EXIT', Port, Reason}, #data{port = Port} = Data) ->
    {stop, {shutdown, Reason}, Data};
ready(info, {'DOWN', Monitor, process, _Pid, _Reason}, #data{in_flight = InFlight} = Data) ->
    {keep_state, Data#data{in_flight = procket_in_flight:down(Monitor, InFlight)}};
ready(state_timeout, Reason, Data) ->
    {stop, {shutdown, Reason}, Data};
ready({timeout, watch}, _Answers, #data{sent = Sent} = Data) when map_size(Sent) =:= 0 ->
    {keep_state, Data#data{watched = false}};
%% The port process hangs, or is stopped: the next call finds another one.
ready({timeout, watch}, Answers, #data{answers = Answers} = Data) ->
    {stop, {shutdown, etimedout}, Data};
ready({timeout, watch}, _Answers, Data) ->
    watch(Data#data{watched = false});
ready({timeout, idle}, Before, Data) ->
    case activity(Data) =:= Before andalso is_idle(Data) of
        true -> {stop, normal, Data};
        false -> {keep_state_and_data, idle_timeout(Data)}
    end;
ready({timeout, direct}, open, #data{direct = undefined} = Data) ->
    watch(open_direct(Data));
ready(_Type, _Event, _Data) ->
    keep_state_and_data.

-spec terminate(term(), atom(), #data{}) -> ok.
terminate(_Reason, State, _Data) when State =/= ready ->
    %% A port process that is being started ends with the process that starts it.
    ok;
terminate(Reason, ready, #data{port = Port, connection = Connection, options = Options, direct = Direct} = Data) ->
    case {Reason, Options} of
        %% An opener that is outdated ends, and has said so.
        {{shutdown, {exit_status, 0}}, #{key := {opener, _}}} -> ok;
        {{shutdown, Why}, #{command := Command}} -> procket_log:ended(procket_command:to_string(Command), Why);
        _ -> ok
    end,
    case Options of
        #{key := Key} -> procket_registry:gone(Key);
        #{} -> ok
    end,
    procket_spawn:close_port(Port),
    procket_connection:close(Connection),
    case Direct of
        #{} -> procket_direct:close(Direct);
        _ -> ok
    end,
    procket_in_flight:close_all(Data#data.in_flight),
    refuse(Data#data.waiting),
    refuse_submitted().

%% What was not sent can be submitted again, to another port process.
refuse(Queue) ->
    case procket_queue:next(alone, Queue) of
        {[], _} ->
            ok;
        {[#{id := Id}], Others} ->
            Id ! {Id, unsent},
            refuse(Others)
    end.

refuse_submitted() ->
    receive
        {'$gen_cast', {request, #{id := Id}, _Brings}} ->
            Id ! {Id, unsent},
            refuse_submitted()
    after 0 -> ok
    end.

%% An opener that nobody uses ends: rights do not live on.

idle_timeout(Data) ->
    [{{timeout, idle}, application:get_env(procket, opener_idle, ?IDLE), activity(Data)}].

activity(#data{uses = Uses, direct = #{} = Direct}) -> {Uses, procket_direct:uses(Direct)};
activity(#data{uses = Uses}) -> {Uses, 0}.

%% From then on nobody holds its direct connection.
is_idle(#data{sent = Sent}) when map_size(Sent) > 0 -> false;
is_idle(#data{direct = #{} = Direct}) -> procket_direct:hold(Direct);
is_idle(#data{}) -> true.

%% The direct connection

handle(#data{direct = #{} = Direct, os_pid = OsPid}) -> #{server => self(), os_pid => OsPid, direct => Direct};
handle(#data{os_pid = OsPid}) -> #{server => self(), os_pid => OsPid}.

%% Callers find it from now on.
announced(#data{options = Options} = Data) ->
    case Options of
        #{key := Key} -> procket_registry:ready(Key, handle(Data));
        #{} -> ok
    end,
    Data.

open_direct(Data) ->
    send_own(direct, direct, Data#data{direct = opening}).

direct_opened([FD], Data) ->
    case procket_direct:open(FD) of
        {ok, Direct} -> {announced(Data#data{direct = Direct}), []};
        {error, _} -> direct_opened([], Data)
    end;
%% There is no room for another descriptor. Calls go through the server until there is.
direct_opened(FDs, Data) ->
    close_all(FDs),
    {Data#data{direct = undefined}, [{{timeout, direct}, ?PATIENCE, open}]}.

%% Sending

queue(#{id := Id, request := {Function, _, _}, caller := Caller} = Waiting, Brings, Data) ->
    #data{waiting = Queue, uses = Uses, in_flight = InFlight} = Data,
    Data#data{
        waiting = procket_queue:add(Waiting, Queue),
        uses = case Function of counters -> Uses; _ -> Uses + 1 end,
        in_flight = case Brings of true -> procket_in_flight:add(Id, Caller, InFlight); false -> InFlight end
    }.

%% What is in the mailbox already goes with the same batch; an event for each would cost as much as the call does otherwise.
queue_submitted(Data) ->
    receive
        {'$gen_cast', {request, Waiting, Brings}} -> queue_submitted(queue(Waiting, Brings, Data))
    after 0 -> Data
    end.

%% What has no caller.
send_own(Function, As, #data{connection = Connection, sent = Sent} = Data) ->
    Id = make_ref(),
    case procket_connection:send(term_to_binary({Id, Function, []}), [], Connection) of
        {ok, Next} -> Data#data{connection = Next, sent = Sent#{Id => As}};
        %% The port process has ended, as its port tells.
        {error, _} -> Data
    end.

send_waiting(#data{sent = Sent} = Data) when map_size(Sent) >= ?WINDOW ->
    Data;
send_waiting(#data{connection = Connection, waiting = Queue} = Data) ->
    case procket_connection:is_blocked(Connection) of
        true ->
            Data;
        false ->
            case procket_queue:next(how(Data), Queue) of
                {[], Rest} -> Data#data{waiting = Rest};
                {Calls, Rest} -> send_waiting(send(Calls, Data#data{waiting = Rest}))
            end
    end.

%% An opener takes no batches.
how(#data{options = #{key := worker}}) -> batch;
how(#data{}) -> alone.

send([#{id := Id, request := {Function, Args, FDs}} = Call], #data{sent = Sent} = Data) ->
    case transmit({Id, Function, Args}, FDs, Data) of
        {ok, Next} -> Next#data{sent = Sent#{Id => [Call]}};
        {blocked, Next} -> put_back([Call], Next);
        {error, closed} ->
            Id ! {Id, unsent},
            Data#data{in_flight = procket_in_flight:remove(Id, Data#data.in_flight)};
        {error, Reason} ->
            deliver(Id, {error, Reason}, [], Data)
    end;
send(Calls, #data{sent = Sent, waiting = Queue} = Data) ->
    Id = make_ref(),
    {Args, FDs} = procket_queue:batch([Request || #{request := Request} <- Calls]),
    case transmit({Id, batch, [Args]}, FDs, Data) of
        {ok, Next} -> Next#data{sent = Sent#{Id => Calls}};
        {blocked, Next} -> put_back(Calls, Next);
        %% One of the descriptors is bad. Alone they show which.
        {error, _} -> Data#data{waiting = procket_queue:retry(Calls, Queue)}
    end.

put_back(Calls, #data{waiting = Queue} = Data) ->
    Data#data{waiting = procket_queue:put_back(Calls, Queue)}.

transmit(Request, FDs, #data{connection = Connection} = Data) ->
    case procket_connection:send(term_to_binary(Request), FDs, Connection) of
        {Sent, Next} when Sent =:= ok; Sent =:= blocked -> {Sent, Data#data{connection = Next}};
        {error, Reason} when Reason =:= epipe; Reason =:= econnreset -> {error, closed};
        {error, _} = Error -> Error
    end.

%% Looks from time to time that answers come.
watch(#data{sent = Sent, watched = Watched} = Data) when Watched; map_size(Sent) =:= 0 ->
    {keep_state, Data};
watch(#data{answers = Answers} = Data) ->
    {keep_state, Data#data{watched = true}, [{{timeout, watch}, ?PATIENCE, Answers}]}.

%% Answers

answers(Frames, Data) -> answers(Frames, Data, []).

answers([], Data, Actions) ->
    case watch(send_waiting(Data)) of
        {keep_state, Next} -> {keep_state, Next, Actions};
        {keep_state, Next, More} -> {keep_state, Next, More ++ Actions}
    end;
answers([{Frame, FDs} | Frames], #data{answers = Count} = Data, Actions) ->
    try binary_to_term(Frame) of
        Answer ->
            case answer(Answer, FDs, Data#data{answers = Count + 1}) of
                {#data{} = Next, More} -> answers(Frames, Next, More ++ Actions);
                #data{} = Next -> answers(Frames, Next, Actions);
                unknown -> misunderstood([{Frame, FDs} | Frames], Data)
            end
    catch
        error:badarg -> misunderstood([{Frame, FDs} | Frames], Data)
    end.

misunderstood(Frames, Data) ->
    close_frames(Frames),
    {stop, {shutdown, eproto}, Data}.

close_frames(Frames) ->
    lists:foreach(fun({_, FDs}) -> close_all(FDs) end, Frames).

answer({Id, Result}, [], Data) ->
    answered(Id, Result, {ok, []}, Data);
answer({Id, Result, Count}, FDs, Data) when length(FDs) =:= Count ->
    answered(Id, Result, {ok, FDs}, Data);
%% There was no room for all of the descriptors.
answer({Id, Result, Count}, FDs, Data) when is_integer(Count) ->
    close_all(FDs),
    answered(Id, Result, {error, emfile}, Data);
answer(_Answer, _FDs, _Data) ->
    unknown.

answered(Id, Result, FDs, #data{sent = Sent} = Data) ->
    case maps:take(Id, Sent) of
        {What, Others} -> answered(What, Id, Result, FDs, Data#data{sent = Others});
        error -> unknown
    end.

answered(reasons, _Id, _Result, _FDs, Data) ->
    Data;
answered(direct, _Id, _Result, {ok, FDs}, Data) ->
    direct_opened(FDs, Data);
answered(direct, _Id, _Result, {error, _}, Data) ->
    direct_opened([], Data);
answered([#{id := Id}], Id, Result, {ok, FDs}, Data) ->
    deliver(Id, Result, FDs, Data);
answered([#{id := Id}], Id, _Result, {error, _} = Error, Data) ->
    deliver(Id, Error, [], Data);
answered(Calls, _Id, {ok, Results}, {ok, FDs}, Data) ->
    deliver_batch(Calls, procket_queue:split(Results, FDs), Data);
%% Calls that bring no descriptor have their results all the same.
answered(Calls, _Id, {ok, Results}, {error, _} = Error, Data) ->
    deliver_batch(Calls, [case Count of 0 -> {Result, []}; _ -> {Error, []} end || {Count, Result} <- Results], Data);
%% Nothing of it was done: there was no room for its descriptors, or for its answer. There may be for each alone.
answered(Calls, _Id, {error, _}, _FDs, #data{waiting = Queue} = Data) ->
    Data#data{waiting = procket_queue:retry(Calls, Queue)}.

deliver_batch(Calls, Results, Data) ->
    lists:foldl(fun({#{id := Id}, {Result, FDs}}, D) -> deliver(Id, Result, FDs, D) end, Data, lists:zip(Calls, Results)).

deliver(Id, Result, FDs, #data{in_flight = InFlight} = Data) ->
    Data#data{in_flight = procket_in_flight:deliver(Id, Result, FDs, InFlight)}.

close_all(FDs) ->
    lists:foreach(fun procket_fd:close/1, FDs).

%% What the port process tells by itself, to a process that waits for a descriptor: {@link procket_select}.
event(Frame, Data) ->
    try binary_to_term(Frame) of
        {Event, Result} when is_reference(Event) ->
            Event ! {Event, Result, []},
            keep_state_and_data;
        _ ->
            {stop, {shutdown, eproto}, Data}
    catch
        error:badarg -> {stop, {shutdown, eproto}, Data}
    end.
