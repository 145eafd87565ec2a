%% @private
%% Who waits for which descriptor. The worker watches a descriptor once for each direction, however many processes wait for it.
-module(procket_select).
-behaviour(gen_server).

-export([select/2, stop/1, closed/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

-define(TABLE, ?MODULE).

-type direction() :: read | write.
-type watch() :: {procket:fd(), direction()}.

-record(state, {
    %% What the worker watches, under the alias that its message comes to.
    watches = #{} :: #{watch() => {Event :: reference(), Waiting :: [pid()]}},
    events = #{} :: #{Event :: reference() => watch()},
    %% How many watches a process waits in.
    monitors = #{} :: #{pid() => {reference(), pos_integer()}},
    worker :: undefined | {pid(), reference()}
}).

-spec select(procket:fd(), direction()) -> ok | {error, procket:posix()}.
select(FD, Direction) ->
    case procket_ports:get(worker) of
        {ok, #{server := Worker}} -> procket_call:application(?MODULE, {select, Worker, {FD, Direction}});
        {error, _} = Error -> Error
    end.

-spec stop(procket:fd()) -> ok.
stop(FD) ->
    case watched(FD) of
        true ->
            %% Where it has ended, nobody waits for anything any more.
            _ = procket_call:application(?MODULE, {stop, FD}),
            flush(FD);
        false ->
            flush(FD)
    end.

flush(FD) ->
    receive
        {procket, FD, ready, _} -> flush(FD);
        {procket, FD, error, _} -> flush(FD)
    after 0 -> ok
    end.

%% A descriptor was closed by procket:close/1.
-spec closed(procket:fd()) -> ok.
closed(FD) ->
    case watched(FD) of
        true -> gen_server:cast(?MODULE, {closed, FD});
        false -> ok
    end.

watched(FD) ->
    try
        ets:member(?TABLE, FD)
    catch
        error:badarg -> false
    end.

-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    gen_server:start_link({local, ?MODULE}, ?MODULE, [], []).

-spec init([]) -> {ok, #state{}}.
init([]) ->
    ?TABLE = ets:new(?TABLE, [named_table, bag, protected, {read_concurrency, true}]),
    {ok, #state{}}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call({select, Worker, Watch}, {Pid, _}, State) ->
    {Reply, New} = watch(Watch, Pid, with_worker(Worker, State)),
    {reply, Reply, New};
handle_call({stop, FD}, {Pid, _}, State) ->
    {reply, ok, lists:foldl(fun(Watch, S) -> leave(Watch, Pid, S) end, State, [{FD, read}, {FD, write}])}.

-spec handle_cast({closed, procket:fd()}, #state{}) -> {noreply, #state{}}.
handle_cast({closed, FD}, State) ->
    {noreply, lists:foldl(fun(Watch, S) -> finish(Watch, {error, ebadf}, S) end, State, [{FD, read}, {FD, write}])}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info({Event, Result, []}, #state{events = Events} = State) when is_reference(Event) ->
    case Events of
        #{Event := Watch} -> {noreply, finish(Watch, Result, State)};
        #{} -> {noreply, State}
    end;
handle_info({'DOWN', Monitor, process, Worker, _}, #state{worker = {Worker, Monitor}} = State) ->
    {noreply, worker_ended(State)};
handle_info({'DOWN', _Monitor, process, Pid, _}, State) ->
    {noreply, maps:fold(fun(Watch, _, S) -> leave(Watch, Pid, S) end, State, State#state.watches)};
handle_info(_Message, State) ->
    {noreply, State}.

with_worker(Worker, #state{worker = {Worker, _}} = State) ->
    State;
with_worker(Worker, #state{worker = undefined} = State) ->
    State#state{worker = {Worker, monitor(process, Worker)}};
with_worker(Worker, #state{worker = {_Old, Monitor}} = State) ->
    true = demonitor(Monitor, [flush]),
    with_worker(Worker, worker_ended(State)).

worker_ended(#state{watches = Watches} = State) ->
    Ended = lists:foldl(fun(Watch, S) -> finish(Watch, {error, epipe}, S) end, State, maps:keys(Watches)),
    Ended#state{worker = undefined}.

watch({FD, Direction} = Watch, Pid, #state{watches = Watches} = State) ->
    case Watches of
        #{Watch := {Event, Waiting}} ->
            case lists:member(Pid, Waiting) of
                true -> {ok, State};
                false -> {ok, monitored(Pid, State#state{watches = Watches#{Watch := {Event, [Pid | Waiting]}}})}
            end;
        #{} ->
            Event = alias(),
            case procket_call:worker(select, [FD, Direction, Event], [FD]) of
                ok ->
                    true = ets:insert(?TABLE, {FD, Direction}),
                    {ok,
                        monitored(Pid, State#state{
                            watches = Watches#{Watch => {Event, [Pid]}},
                            events = (State#state.events)#{Event => Watch}
                        })};
                {error, _} = Error ->
                    _ = unalias(Event),
                    {Error, State}
            end
    end.

monitored(Pid, #state{monitors = Monitors} = State) ->
    case Monitors of
        #{Pid := {Monitor, Count}} -> State#state{monitors = Monitors#{Pid := {Monitor, Count + 1}}};
        #{} -> State#state{monitors = Monitors#{Pid => {monitor(process, Pid), 1}}}
    end.

%% Everyone who waits is told, and the worker watches no longer.
finish(Watch, Result, #state{watches = Watches} = State) ->
    case Watches of
        #{Watch := {_Event, Waiting}} ->
            lists:foreach(fun(Pid) -> Pid ! message(Watch, Result) end, Waiting),
            _ = [unwatch(Watch, State) || Result =:= {error, ebadf}],
            unmonitor(Waiting, forget(Watch, State));
        #{} ->
            State
    end.

message({FD, Direction}, ready) -> {procket, FD, ready, Direction};
message({FD, _Direction}, {error, Reason}) -> {procket, FD, error, Reason}.

leave(Watch, Pid, #state{watches = Watches} = State) ->
    case Watches of
        #{Watch := {_Event, [Pid]}} ->
            _ = unwatch(Watch, State),
            unmonitor([Pid], forget(Watch, State));
        #{Watch := {Event, Waiting}} ->
            case lists:member(Pid, Waiting) of
                true -> unmonitor([Pid], State#state{watches = Watches#{Watch := {Event, lists:delete(Pid, Waiting)}}});
                false -> State
            end;
        #{} ->
            State
    end.

unwatch(Watch, #state{watches = Watches}) ->
    #{Watch := {Event, _}} = Watches,
    procket_call:worker(select_stop, [Event]).

forget({FD, Direction} = Watch, #state{watches = Watches, events = Events} = State) ->
    #{Watch := {Event, _}} = Watches,
    _ = unalias(Event),
    true = ets:delete_object(?TABLE, {FD, Direction}),
    State#state{watches = maps:remove(Watch, Watches), events = maps:remove(Event, Events)}.

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
