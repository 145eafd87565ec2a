%% @private
%% The caller's side of a call to a port process: over the lane where it is free, else through the server of the port process.
-module(procket_call).

-export([worker/2, worker/3, ask/2, tell/2, opener/3, with_server/3, request/3, response/2, run/1, application/2, timeout/0]).

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

%% A question that has the same answer whenever it is asked: so it is asked again where its worker has ended.
-spec ask(Function :: atom(), Args :: [term()]) -> term().
ask(Function, Args) ->
    case worker(Function, Args) of
        {error, epipe} -> worker(Function, Args);
        Answer -> Answer
    end.

%% Asks the worker, if there is one, for something whose answer nobody waits for.
-spec tell(Function :: atom(), Args :: [term()]) -> ok.
tell(Function, Args) ->
    case procket_ports:find(worker) of
        %% No process has this name: the answer is dropped.
        {ok, #{server := Server}} -> procket_port:submit(Server, make_ref(), {Function, Args, []}, false, infinity);
        error -> ok
    end.

%% Calls a function of an opener, which brings one descriptor. One that is outdated opens nothing and ends: the next one is asked.
-spec opener(procket_command:command(), Function :: atom(), Args :: [term()]) -> result().
opener(Command, Function, Args) ->
    Key = {opener, Command},
    Before = procket_ports:find(Key),
    case {call(Key, Function, Args, [], true), Before} of
        {{{error, {_, <<"outdated">>}}, []}, {ok, #{server := Server}}} ->
            case await_end(Server, deadline(timeout())) of
                unsent -> call(Key, Function, Args, [], true);
                {error, _} = Error -> Error
            end;
        {Result, _} ->
            Result
    end.

%% The same with a port process that is not shared.
-spec with_server(pid(), Function :: atom(), Args :: [term()]) -> result().
with_server(Server, Function, Args) ->
    case through(Server, Function, Args, [], true, deadline(timeout())) of
        unsent -> {error, epipe};
        Result -> Result
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

%% Asks a server of the application. Where it ends meanwhile: `{error, epipe}'.
-spec application(Server :: atom(), Request :: term()) -> term().
application(Server, Request) ->
    try
        gen_server:call(Server, Request, infinity)
    catch
        exit:_ -> {error, epipe}
    end.

-spec call(procket_ports:key(), atom(), [term()], [procket:fd()], boolean()) -> result().
call(Key, Function, Args, FDs, Brings) ->
    call(Key, Function, Args, FDs, Brings, timeout()).

%% The time of a call begins when there is a port process: starting one has a limit of its own.
call(Key, Function, Args, FDs, Brings, Timeout) ->
    case procket_ports:get(Key) of
        {ok, #{server := Server} = Handle} ->
            Deadline = deadline(Timeout),
            case on_lane(Handle, Function, Args, FDs, Brings, Timeout) of
                NotSent when NotSent =:= busy; NotSent =:= unsent ->
                    case through(Server, Function, Args, FDs, Brings, Deadline) of
                        unsent ->
                            %% Another takes its place.
                            case remaining(Deadline) of
                                0 -> {error, etimedout};
                                Left -> call(Key, Function, Args, FDs, Brings, Left)
                            end;
                        Result ->
                            Result
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
-spec through(pid(), atom(), [term()], [procket:fd()], boolean(), Deadline :: integer() | infinity) -> result() | unsent.
through(Server, Function, Args, FDs, Brings, Deadline) ->
    Id = monitor(process, Server, [{alias, reply_demonitor}]),
    ok = procket_port:submit(Server, Id, {Function, Args, FDs}, Brings, Deadline),
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
            _ = [procket_port:abandon(Server, Id) || Brings],
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
