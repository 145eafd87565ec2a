%% @private
%% The calls that may bring descriptors, each from its request until its caller has taken what came: where the caller
%% ends or gives up before, the descriptors are closed.
-module(procket_untaken).

-export([new/0, add/3, deliver/4, remove/2, close/2, down/2, close_all/1]).

-export_type([untaken/0]).

%% How long the server waits for its callers as it ends, in milliseconds.
-define(PATIENCE, 1000).

-type id() :: reference().
%% An alias of the caller.
-type untaken() :: {
    #{id() => {Monitor :: reference(), Caller :: pid(), pending | [procket:fd()]}},
    #{Monitor :: reference() => id()}
}.

-spec new() -> {#{}, #{}}.
new() ->
    {#{}, #{}}.

-spec add(id(), Caller :: pid(), untaken()) -> untaken().
add(Id, Caller, {Calls, Monitors}) ->
    Monitor = monitor(process, Caller),
    {Calls#{Id => {Monitor, Caller, pending}}, Monitors#{Monitor => Id}}.

%% Sends an answer to its caller. It stays here as long as it has descriptors.
-spec deliver(id(), Result :: term(), [procket:fd()], untaken()) -> untaken().
deliver(Id, Result, [], Untaken) ->
    Id ! {Id, Result, []},
    remove(Id, Untaken);
deliver(Id, Result, FDs, {Calls, Monitors} = Untaken) ->
    case Calls of
        #{Id := {Monitor, Caller, pending}} ->
            Id ! {Id, Result, FDs},
            {Calls#{Id := {Monitor, Caller, FDs}}, Monitors};
        #{} ->
            lists:foreach(fun procket_fd:close/1, FDs),
            Untaken
    end.

%% The caller has what came.
-spec remove(id(), untaken()) -> untaken().
remove(Id, {Calls, Monitors} = Untaken) ->
    case Calls of
        #{Id := {Monitor, _, _}} ->
            true = demonitor(Monitor, [flush]),
            {maps:remove(Id, Calls), maps:remove(Monitor, Monitors)};
        #{} ->
            Untaken
    end.

%% The caller wants nothing any more.
-spec close(id(), untaken()) -> untaken().
close(Id, {Calls, _} = Untaken) ->
    case Calls of
        #{Id := Call} ->
            close_call(Id, Call),
            remove(Id, Untaken);
        #{} ->
            Untaken
    end.

%% A process has ended.
-spec down(Monitor :: reference(), untaken()) -> untaken().
down(Monitor, {_, Monitors} = Untaken) ->
    case Monitors of
        #{Monitor := Id} -> close(Id, Untaken);
        #{} -> Untaken
    end.

%% The calling server ends. A caller that lives says whether it took what it was sent; if it has not done so in time, what it was sent
%% stays open: the caller may be using it already.
-spec close_all(untaken()) -> ok.
close_all({Calls, _} = Untaken) ->
    %% What the server sent to itself it reads no more.
    {Own, Sent} = lists:partition(fun({_, {_, Caller, _}}) -> Caller =:= self() end, [Call || {_, {_, _, FDs}} = Call <- maps:to_list(Calls), is_list(FDs)]),
    lists:foreach(fun({Id, Call}) -> close_call(Id, Call) end, Own),
    settle(length(Sent), Untaken).

settle(0, _Untaken) ->
    ok;
settle(Left, {_, Monitors} = Untaken) ->
    receive
        {'$gen_cast', {taken, Id}} -> settled(Id, Left, Untaken, remove(Id, Untaken));
        {'$gen_cast', {abandon, Id}} -> settled(Id, Left, Untaken, close(Id, Untaken));
        {'DOWN', Monitor, process, _, _} when is_map_key(Monitor, Monitors) ->
            settled(map_get(Monitor, Monitors), Left, Untaken, down(Monitor, Untaken))
    after ?PATIENCE -> ok
    end.

settled(Id, Left, {Calls, _}, Others) ->
    case Calls of
        #{Id := {_, _, [_ | _]}} -> settle(Left - 1, Others);
        #{} -> settle(Left, Others)
    end.

close_call(_Id, {_Monitor, _Caller, pending}) -> ok;
close_call(_Id, {_Monitor, _Caller, FDs}) -> lists:foreach(fun procket_fd:close/1, FDs).
