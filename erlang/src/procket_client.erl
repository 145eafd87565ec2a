%% @private
%% A call to a port process, from its caller's side: on the direct connection if it is free, else through the server of the port process.
-module(procket_client).

-export([port/1, call/5, open/3, call_alone/3, ask/2, tell/2, request/3, response/2, timeout/0]).

-export_type([result/0]).

-type result() :: {Result :: term(), [procket:fd()]} | {error, term()}.

%% The port process for a key, started if there is none.
-spec port(procket_registry:key()) -> {ok, procket_registry:handle()} | {error, procket:posix() | full}.
port(Key) ->
    case procket_registry:find(Key) of
        {ok, Handle} -> {ok, Handle};
        error -> start(Key)
    end.

start(Key) ->
    case procket_app:ensure_started() of
        ok ->
            case procket_registry:start(Key) of
                {ok, Server} ->
                    case procket_port:await(Server) of
                        noproc -> start(Key);
                        Result -> Result
                    end;
                {error, _} = Error ->
                    Error
            end;
        {error, _} ->
            {error, enoexec}
    end.

%% Calls a function. `Brings': whether the answer may bring descriptors.
-spec call(procket_registry:key(), Function :: atom(), Args :: [term()], [procket:fd()], Brings :: boolean()) -> result().
call(Key, Function, Args, FDs, Brings) ->
    call(Key, {Function, Args, FDs}, Brings, timeout()).

%% The time of a call begins when there is a port process: starting one has a limit of its own.
call(Key, Request, Brings, Timeout) ->
    case port(Key) of
        {ok, #{server := Server} = Handle} ->
            Deadline = deadline(Timeout),
            case directly(Handle, Request, Brings, Timeout) of
                NotSent when NotSent =:= busy; NotSent =:= unsent ->
                    case through(Server, Request, Brings, Deadline) of
                        unsent -> again(Key, Request, Brings, remaining(Deadline));
                        Result -> Result
                    end;
                Result ->
                    Result
            end;
        {error, _} = Error ->
            Error
    end.

%% Nothing was sent, and another port process takes the place of the one that has ended.
again(_Key, _Request, _Brings, 0) -> {error, etimedout};
again(Key, Request, Brings, Left) -> call(Key, Request, Brings, Left).

directly(#{direct := Direct}, {Function, Args, FDs}, Brings, Timeout) ->
    procket_direct:call(Direct, Function, Args, FDs, Brings, Timeout);
directly(#{}, _Request, _Brings, _Timeout) ->
    busy.

%% Calls a function of an opener, which brings one descriptor. One that is outdated opens nothing and ends: the next one is asked.
-spec open(procket_command:command(), Function :: atom(), Args :: [term()]) -> result().
open(Command, Function, Args) ->
    Key = {opener, Command},
    Before = procket_registry:find(Key),
    case {call(Key, Function, Args, [], true), Before} of
        {{{error, {_, <<"outdated">>}}, []}, {ok, #{server := Server}}} ->
            case await_end(Server, deadline(timeout())) of
                unsent -> call(Key, Function, Args, [], true);
                {error, _} = Error -> Error
            end;
        {Result, _} ->
            Result
    end.

%% Calls a function that brings a descriptor of a port process that serves nobody else.
-spec call_alone(pid(), Function :: atom(), Args :: [term()]) -> result().
call_alone(Server, Function, Args) ->
    case through(Server, {Function, Args, []}, true, deadline(timeout())) of
        unsent -> {error, epipe};
        Result -> Result
    end.

%% Asks the worker a question that has the same answer whenever it is asked: so it is asked again if its worker has ended.
-spec ask(Function :: atom(), Args :: [term()]) -> term().
ask(Function, Args) ->
    case call(worker, Function, Args, [], false) of
        {error, epipe} -> answer(Function, call(worker, Function, Args, [], false));
        Answer -> answer(Function, Answer)
    end.

answer(Function, {{error, {badarg, N}}, []}) -> procket_error:badarg({Function, N});
answer(_Function, {Result, []}) -> Result;
answer(_Function, {error, _} = Error) -> Error.

%% Tells the worker, if there is one, something whose answer nobody waits for.
-spec tell(Function :: atom(), Args :: [term()]) -> ok.
tell(Function, Args) ->
    case procket_registry:find(worker) of
        %% No process has this alias: the answer is dropped.
        {ok, #{server := Server}} -> procket_port:submit(Server, make_ref(), {Function, Args, []}, false, infinity);
        error -> ok
    end.

%% Asks a port process for something that brings no descriptor, without waiting for the answer: {@link response/2}.
-spec request(pid(), Function :: atom(), Args :: [term()]) -> Id :: reference().
request(Server, Function, Args) ->
    Id = monitor(process, Server, [{alias, reply_demonitor}]),
    ok = procket_port:submit(Server, Id, {Function, Args, []}, false, infinity),
    Id.

%% What it has answered by a time, in milliseconds of monotonic time.
-spec response(Id :: reference(), Deadline :: integer()) -> term().
response(Id, Deadline) ->
    receive
        {Id, Result, []} -> Result;
        {Id, unsent} -> {error, epipe};
        {'DOWN', Id, process, _, _} -> {error, epipe}
    after remaining(Deadline) ->
        true = demonitor(Id, [flush]),
        receive
            {Id, Result, []} -> Result
        after 0 -> {error, etimedout}
        end
    end.

%% The answer comes to an alias that also monitors the server: the server's end is `{error, epipe}'.
-spec through(pid(), procket_queue:request(), Brings :: boolean(), Deadline :: integer() | infinity) -> result() | unsent.
through(Server, Request, Brings, Deadline) ->
    Id = monitor(process, Server, [{alias, reply_demonitor}]),
    ok = procket_port:submit(Server, Id, Request, Brings, Deadline),
    receive
        {Id, Result, New} ->
            taken(Server, Id, New),
            {Result, New};
        {Id, unsent} ->
            await_end(Server, Deadline);
        %% `normal': it had been idle, and nothing was sent.
        {'DOWN', Id, process, Server, Reason} when Reason =:= noproc; Reason =:= normal ->
            unsent;
        {'DOWN', Id, process, Server, _} ->
            {error, epipe}
    after remaining(Deadline) ->
        true = demonitor(Id, [flush]),
        receive
            {Id, Result, New} ->
                taken(Server, Id, New),
                {Result, New}
        after 0 ->
            ok = procket_port:abandon(Server, Id),
            {error, etimedout}
        end
    end.

taken(_Server, _Id, []) -> ok;
taken(Server, Id, [_ | _]) -> procket_port:taken(Server, Id).

%% The port process has ended and nothing was sent: its server will be gone, and another takes its place.
await_end(Server, Deadline) ->
    Monitor = monitor(process, Server),
    receive
        {'DOWN', Monitor, process, Server, _} -> unsent
    after remaining(Deadline) ->
        true = demonitor(Monitor, [flush]),
        {error, epipe}
    end.

%% How long a call may take, in milliseconds.
-spec timeout() -> timeout().
timeout() ->
    application:get_env(procket, timeout, 5000).

deadline(infinity) -> infinity;
deadline(Timeout) -> erlang:monotonic_time(millisecond) + Timeout.

remaining(infinity) -> infinity;
remaining(Deadline) -> max(0, Deadline - erlang:monotonic_time(millisecond)).
