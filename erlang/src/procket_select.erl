%% @private
%% Which process waits for which descriptor. The worker watches a descriptor once for each direction, however many processes wait for it.
%%
%% A caller asks the worker itself; the server only notes which process waits for what, and tells them. Its notes are in a table that outlives
%% it: if it ends before its time, the next one tells the processes that wait.
-module(procket_select).
-behaviour(gen_server).

-export([select/2, stop/1, events/1, closed/2]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

%% {watch(), Event, Asking, Waiting}: what the worker was asked, by which processes, and which of these were told that it watches.
-define(TABLE, ?MODULE).

-type direction() :: read | write.
-type watch() :: {procket:fd(), direction()}.

-record(state, {
    %% An event is the alias that the worker's message comes to.
    events = #{} :: #{Event :: reference() => watch()},
    %% How many watches a process waits in.
    monitors = #{} :: #{pid() => {reference(), pos_integer()}},
    worker :: undefined | {pid(), reference()}
}).

-spec select(procket:fd(), direction()) -> ok | {error, procket:posix()}.
select(FD, Direction) ->
    case procket_client:port(worker) of
        {ok, #{server := Worker}} ->
            Watch = {FD, Direction},
            case procket_app:call(?MODULE, {wait, Worker, Watch}) of
                {ask, Event} -> ask(Watch, Event);
                Result -> Result
            end;
        {error, _} = Error ->
            Error
    end.

ask({FD, Direction} = Watch, Event) ->
    case procket_calls:worker(select, [FD, Direction, Event], [FD]) of
        ok ->
            procket_app:call(?MODULE, {asked, Watch, Event});
        {error, _} = Error ->
            _ = procket_app:call(?MODULE, {refused, Watch, Event}),
            Error
    end.

-spec stop(procket:fd()) -> ok.
stop(FD) ->
    %% Where the server has ended, nobody waits for anything any more.
    _ = is_watched(FD) andalso procket_app:call(?MODULE, {stop, FD}),
    flush(FD).

flush(FD) ->
    receive
        {procket, FD, ready, _} -> flush(FD);
        {procket, FD, error, _} -> flush(FD)
    after 0 -> ok
    end.

%% What is waited for on a descriptor that is about to be closed.
-spec events(procket:fd()) -> [{watch(), Event :: reference()}].
events(FD) ->
    try
        [{Watch, Event} || Watch <- directions(FD), {_, Event, _, _} <- ets:lookup(?TABLE, Watch)]
    catch
        error:badarg -> []
    end.

%% procket:close/1 has closed it. By now the number may be that of another, for which others wait.
-spec closed(procket:fd(), [{watch(), reference()}]) -> ok.
closed(_FD, []) -> ok;
closed(FD, Events) -> gen_server:cast(?MODULE, {closed, FD, Events}).

is_watched(FD) ->
    try
        ets:member(?TABLE, {FD, read}) orelse ets:member(?TABLE, {FD, write})
    catch
        error:badarg -> false
    end.

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

%% What an earlier server noted has come to nothing: its aliases went with it.
-spec init([]) -> {ok, #state{}}.
init([]) ->
    _ = process_flag(trap_exit, true),
    ok = end_all(),
    {ok, #state{}}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, _State) ->
    end_all().

end_all() ->
    lists:foreach(
        fun({Watch, Event, _Asking, Waiting}) ->
            ok = tell(Watch, {error, epipe}, Waiting),
            ok = procket_client:tell(select_stop, [Event]),
            true = ets:delete(?TABLE, Watch)
        end,
        ets:tab2list(?TABLE)
    ).

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({wait, Worker, Watch}, {Pid, _}, State) ->
    %% The caller may have found one that has ended.
    case is_process_alive(Worker) of
        true ->
            {Reply, New} = wait(Watch, Pid, with_worker(Worker, State)),
            {reply, Reply, New};
        false ->
            {reply, {error, epipe}, State}
    end;
handle_call({asked, Watch, Event}, {Pid, _}, State) ->
    case row(Watch) of
        {Event, Asking, Waiting} ->
            true = ets:insert(?TABLE, {Watch, Event, lists:delete(Pid, Asking), [Pid | Waiting]});
        %% It has come already, for another, or the worker has ended: the next call on the descriptor tells.
        _ ->
            ok = tell(Watch, ready, [Pid]),
            ok = procket_client:tell(select_stop, [Event])
    end,
    {reply, ok, State};
handle_call({refused, Watch, Event}, {Pid, _}, State) ->
    case row(Watch) of
        {Event, _, _} -> {reply, ok, leave(Watch, Pid, State)};
        _ -> {reply, ok, State}
    end;
handle_call({stop, FD}, {Pid, _}, State) ->
    {reply, ok, lists:foldl(fun(Watch, S) -> leave(Watch, Pid, S) end, State, directions(FD))};
handle_call(_Request, _From, State) ->
    {reply, {error, einval}, State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({closed, _FD, Events}, State) ->
    Same = [Watch || {Watch, Event} <- Events, {E, _, _} <- [row(Watch)], E =:= Event],
    {noreply, lists:foldl(fun(Watch, S) -> finish(Watch, {error, ebadf}, S) end, State, Same)};
handle_cast(_Message, State) ->
    {noreply, State}.

directions(FD) ->
    [{FD, read}, {FD, write}].

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({Event, Result, []}, #state{events = Events} = State) when is_reference(Event) ->
    case Events of
        #{Event := Watch} -> {noreply, finish(Watch, Result, State)};
        #{} -> {noreply, State}
    end;
handle_info({'DOWN', Monitor, process, Worker, _}, #state{worker = {Worker, Monitor}} = State) ->
    {noreply, worker_ended(State)};
handle_info({'DOWN', _Monitor, process, Pid, _}, #state{events = Events} = State) ->
    {noreply, maps:fold(fun(_Event, Watch, S) -> leave(Watch, Pid, S) end, State, Events)};
handle_info(_Message, State) ->
    {noreply, State}.

with_worker(Worker, #state{worker = {Worker, _}} = State) ->
    State;
with_worker(Worker, #state{worker = undefined} = State) ->
    State#state{worker = {Worker, monitor(process, Worker)}};
with_worker(Worker, #state{worker = {_Old, Monitor}} = State) ->
    true = demonitor(Monitor, [flush]),
    with_worker(Worker, worker_ended(State)).

worker_ended(#state{events = Events} = State) ->
    Ended = lists:foldl(fun(Watch, S) -> finish(Watch, {error, epipe}, S) end, State, maps:values(Events)),
    Ended#state{worker = undefined}.

row(Watch) ->
    case ets:lookup(?TABLE, Watch) of
        [{Watch, Event, Asking, Waiting}] -> {Event, Asking, Waiting};
        [] -> none
    end.

wait(Watch, Pid, #state{events = Events} = State) ->
    case row(Watch) of
        {Event, Asking, Waiting} ->
            case lists:member(Pid, Waiting) of
                true ->
                    {ok, State};
                false ->
                    %% Each asks the worker: for this one the number may be another descriptor than for those before.
                    true = ets:insert(?TABLE, {Watch, Event, [Pid | Asking], Waiting}),
                    {{ask, Event}, monitored(Pid, State)}
            end;
        none ->
            Event = alias(),
            true = ets:insert(?TABLE, {Watch, Event, [Pid], []}),
            {{ask, Event}, monitored(Pid, State#state{events = Events#{Event => Watch}})}
    end.

%% Tells all that wait. The worker watches no longer.
finish(Watch, Result, State) ->
    case row(Watch) of
        {Event, Asking, Waiting} ->
            ok = tell(Watch, Result, Waiting),
            ok = unwatch(Result, Event),
            unmonitor(Asking ++ Waiting, forget(Watch, Event, State));
        none ->
            State
    end.

%% The worker finds out by itself that a descriptor was closed, but later.
unwatch({error, ebadf}, Event) -> procket_client:tell(select_stop, [Event]);
unwatch(_Result, _Event) -> ok.

tell(Watch, Result, Pids) ->
    Message = message(Watch, Result),
    lists:foreach(fun(Pid) -> Pid ! Message end, Pids).

message({FD, Direction}, ready) -> {procket, FD, ready, Direction};
message({FD, _Direction}, {error, Reason}) -> {procket, FD, error, Reason}.

leave(Watch, Pid, State) ->
    case row(Watch) of
        {Event, Asking, Waiting} ->
            case {lists:delete(Pid, Asking), lists:delete(Pid, Waiting)} of
                {Asking, Waiting} ->
                    State;
                {[], []} ->
                    ok = procket_client:tell(select_stop, [Event]),
                    unmonitor([Pid], forget(Watch, Event, State));
                {StillAsking, StillWaiting} ->
                    true = ets:insert(?TABLE, {Watch, Event, StillAsking, StillWaiting}),
                    unmonitor([Pid], State)
            end;
        none ->
            State
    end.

forget(Watch, Event, #state{events = Events} = State) ->
    _ = unalias(Event),
    true = ets:delete(?TABLE, Watch),
    State#state{events = maps:remove(Event, Events)}.

monitored(Pid, #state{monitors = Monitors} = State) ->
    case Monitors of
        #{Pid := {Monitor, Count}} -> State#state{monitors = Monitors#{Pid := {Monitor, Count + 1}}};
        #{} -> State#state{monitors = Monitors#{Pid => {monitor(process, Pid), 1}}}
    end.

%% A process that waits for nothing more is not monitored any longer.
unmonitor(Pids, State) ->
    lists:foldl(fun unmonitor_one/2, State, Pids).

unmonitor_one(Pid, #state{monitors = Monitors} = State) ->
    case Monitors of
        #{Pid := {Monitor, 1}} ->
            true = demonitor(Monitor, [flush]),
            State#state{monitors = maps:remove(Pid, Monitors)};
        #{Pid := {Monitor, Count}} ->
            State#state{monitors = Monitors#{Pid := {Monitor, Count - 1}}}
    end.
