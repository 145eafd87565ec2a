%% @private
%% The calls that may bring descriptors, each from its request until its caller has taken what came: where the caller
%% ends or gives up before, the descriptors are closed.
-module(procket_untaken).

-export([new/0, add/3, deliver/4, remove/2, close/2, down/2, close_all/1]).

-export_type([untaken/0]).

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

%% The server ends. What was sent to a caller that lives is that caller's: it may be using it already.
-spec close_all(untaken()) -> ok.
close_all({Calls, _}) ->
    maps:foreach(fun(Id, {_, Caller, _} = Call) -> is_process_alive(Caller) orelse close_call(Id, Call) end, Calls).

close_call(_Id, {_Monitor, _Caller, pending}) -> ok;
close_call(_Id, {_Monitor, _Caller, FDs}) -> lists:foreach(fun procket_fd:close/1, FDs).
