%% @private
%% The calls whose answers may bring descriptors, each from its request until its caller has taken them: if the caller ends or gives
%% up before, they are closed.
-module(procket_in_flight).

-export([new/0, add/3, deliver/4, remove/2, close/2, down/2, close_all/1]).

-export_type([in_flight/0]).

%% How long the server waits for its callers as it ends, in milliseconds.
-define(PATIENCE, 1000).

%% An alias of the caller.
-type id() :: reference().
-type in_flight() :: {
    #{id() => {Monitor :: reference(), pending | [procket:fd()]}},
    #{Monitor :: reference() => id()}
}.

-spec new() -> {#{}, #{}}.
new() ->
    {#{}, #{}}.

-spec add(id(), Caller :: pid(), in_flight()) -> in_flight().
add(Id, Caller, {Calls, Monitors}) ->
    Monitor = monitor(process, Caller),
    {Calls#{Id => {Monitor, pending}}, Monitors#{Monitor => Id}}.

%% Sends an answer to its caller. The call stays here as long as its descriptors have not been taken.
-spec deliver(id(), Result :: term(), [procket:fd()], in_flight()) -> in_flight().
deliver(Id, Result, [], InFlight) ->
    Id ! {Id, Result, []},
    remove(Id, InFlight);
deliver(Id, Result, FDs, {Calls, Monitors} = InFlight) ->
    case Calls of
        #{Id := {Monitor, pending}} ->
            Id ! {Id, Result, FDs},
            {Calls#{Id := {Monitor, FDs}}, Monitors};
        #{} ->
            lists:foreach(fun procket_fd:close/1, FDs),
            InFlight
    end.

%% The caller has taken the descriptors, or there are none.
-spec remove(id(), in_flight()) -> in_flight().
remove(Id, {Calls, Monitors} = InFlight) ->
    case Calls of
        #{Id := {Monitor, _}} ->
            true = demonitor(Monitor, [flush]),
            {maps:remove(Id, Calls), maps:remove(Monitor, Monitors)};
        #{} ->
            InFlight
    end.

%% The caller has given up.
-spec close(id(), in_flight()) -> in_flight().
close(Id, {Calls, _} = InFlight) ->
    case Calls of
        #{Id := {_Monitor, pending}} ->
            remove(Id, InFlight);
        #{Id := {_Monitor, FDs}} ->
            lists:foreach(fun procket_fd:close/1, FDs),
            remove(Id, InFlight);
        #{} ->
            InFlight
    end.

%% A process has ended.
-spec down(Monitor :: reference(), in_flight()) -> in_flight().
down(Monitor, {_, Monitors} = InFlight) ->
    case Monitors of
        #{Monitor := Id} -> close(Id, InFlight);
        #{} -> InFlight
    end.

%% The calling server ends. A caller that lives says whether it took its descriptors; if it has not done so in time, they stay open:
%% the caller may be using them already.
-spec close_all(in_flight()) -> ok.
close_all({Calls, _} = InFlight) ->
    settle(length([sent || {_, FDs} <- maps:values(Calls), is_list(FDs)]), InFlight).

settle(0, _InFlight) ->
    ok;
settle(Left, {_, Monitors} = InFlight) ->
    receive
        {'$gen_cast', {taken, Id}} -> settled(Id, Left, InFlight, remove(Id, InFlight));
        {'$gen_cast', {abandon, Id}} -> settled(Id, Left, InFlight, close(Id, InFlight));
        {'DOWN', Monitor, process, _, _} when is_map_key(Monitor, Monitors) ->
            settled(map_get(Monitor, Monitors), Left, InFlight, down(Monitor, InFlight))
    after ?PATIENCE -> ok
    end.

settled(Id, Left, {Calls, _}, Others) ->
    case Calls of
        #{Id := {_, [_ | _]}} -> settle(Left - 1, Others);
        #{} -> settle(Left, Others)
    end.
