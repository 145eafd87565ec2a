%% @private
%% The caller's side of a call to a port process: over the lane where it is free, else through the server of the port process.
-module(procket_call).

-export([worker/2, worker/3, opener/3, with_server/3, run/1]).

-type result() :: {Result :: term(), [procket:fd()]} | {error, term()}.

%% Makes a call of the worker.
-spec run(procket_request:request()) -> term().
run({Function, Args, FDs, Decode}) ->
    case call(worker, Function, Args, FDs, procket_request:brings_descriptors(Decode)) of
        {error, _} = Error -> procket_request:decode(Function, Decode, Error, []);
        {Result, New} -> procket_request:decode(Function, Decode, Result, New)
    end.

%% Calls a function of the worker that brings no descriptor.
-spec worker(Function :: atom(), Args :: [term()]) -> term().
worker(Function, Args) ->
    worker(Function, Args, []).

%% The same with descriptors for it to act on.
-spec worker(Function :: atom(), Args :: [term()], [procket:fd()]) -> term().
worker(Function, Args, FDs) ->
    run({Function, Args, FDs, result}).

%% Calls a function of an opener, which brings one descriptor.
-spec opener(procket_command:command(), Function :: atom(), Args :: [term()]) -> result().
opener(Command, Function, Args) ->
    call({opener, Command}, Function, Args, [], true).

%% The same with a port process that is not shared.
-spec with_server(pid(), Function :: atom(), Args :: [term()]) -> result().
with_server(Server, Function, Args) ->
    case through(Server, Function, Args, [], true, timeout()) of
        unsent -> {error, epipe};
        Result -> Result
    end.

-spec call(procket_ports:key(), atom(), [term()], [procket:fd()], boolean()) -> result().
call(Key, Function, Args, FDs, Brings) ->
    case procket_ports:get(Key) of
        {ok, #{server := Server} = Handle} ->
            Timeout = timeout(),
            case on_lane(Handle, Function, Args, FDs, Brings, Timeout) of
                NotSent when NotSent =:= busy; NotSent =:= unsent ->
                    case through(Server, Function, Args, FDs, Brings, Timeout) of
                        unsent -> call(Key, Function, Args, FDs, Brings);
                        Result -> Result
                    end;
                Result ->
                    Result
            end;
        {error, _} = Error ->
            Error
    end.

on_lane(#{lane := Lane}, Function, Args, FDs, Brings, Timeout) ->
    procket_lane:call(Lane, Function, Args, FDs, Brings, Timeout);
on_lane(#{}, _Function, _Args, _FDs, _Brings, _Timeout) ->
    busy.

%% The answer comes to an alias that also monitors the server: its end is `{error, epipe}'.
-spec through(pid(), atom(), [term()], [procket:fd()], boolean(), timeout()) -> result() | unsent.
through(Server, Function, Args, FDs, Brings, Timeout) ->
    Id = monitor(process, Server, [{alias, reply_demonitor}]),
    ok = procket_port:submit(Server, Id, {Function, Args, FDs}, Brings),
    receive
        {Id, Result, New} ->
            taken(Server, Id, New),
            {Result, New};
        {Id, unsent} ->
            await_end(Server, Timeout);
        {'DOWN', Id, process, Server, noproc} ->
            unsent;
        {'DOWN', Id, process, Server, _} ->
            {error, epipe}
    after Timeout ->
        true = demonitor(Id, [flush]),
        receive
            {Id, Result, New} ->
                taken(Server, Id, New),
                {Result, New}
        after 0 ->
            _ = [procket_port:abandon(Server, Id) || Brings],
            {error, etimedout}
        end
    end.

taken(_Server, _Id, []) -> ok;
taken(Server, Id, [_ | _]) -> procket_port:taken(Server, Id).

%% The port process has ended and nothing was sent: its server will be gone, and another takes its place.
await_end(Server, Timeout) ->
    Monitor = monitor(process, Server),
    receive
        {'DOWN', Monitor, process, Server, _} -> unsent
    after Timeout ->
        true = demonitor(Monitor, [flush]),
        {error, epipe}
    end.

timeout() ->
    application:get_env(procket, timeout, 5000).
