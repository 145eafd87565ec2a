%% @private
%% The caller's side of a call to a port process.
%%
%% A small request goes straight from the caller to the port process. The answer comes through the server of the
%% port process, to an alias that also monitors that server: its end is `{error, epipe}'.
-module(procket_call).

-export([worker/2, worker/3, worker_fds/2, worker_fds/3, opener/3, with_handle/3]).

-type result() :: ok | {ok, term()} | {ok, term(), term()} | {ok, term(), term(), term()}
    | {ok, term(), term(), term(), term()} | {error, term()}.
-type fds_result() :: {result(), [procket:fd()]} | {error, term()}.

%% Requests up to this length, in bytes, are sent by the caller itself.
-define(DIRECT, 32_768).

%% Calls a function of the worker.
-spec worker(Function :: atom(), Args :: [term()]) -> result().
worker(Function, Args) ->
    worker(Function, Args, []).

%% The same with descriptors for it to act on.
-spec worker(Function :: atom(), Args :: [term()], [procket:fd()]) -> result().
worker(Function, Args, FDs) ->
    no_fds(call(worker, Function, Args, FDs, direct)).

%% Calls a function of the worker that brings descriptors.
-spec worker_fds(Function :: atom(), Args :: [term()]) -> fds_result().
worker_fds(Function, Args) ->
    worker_fds(Function, Args, []).

-spec worker_fds(Function :: atom(), Args :: [term()], [procket:fd()]) -> fds_result().
worker_fds(Function, Args, FDs) ->
    call(worker, Function, Args, FDs, submit).

%% Calls a function of an opener, which brings one descriptor.
-spec opener(procket_command:command(), Function :: atom(), Args :: [term()]) -> fds_result().
opener(Command, Function, Args) ->
    call({opener, Command}, Function, Args, [], submit).

%% The same with a port process that is not shared.
-spec with_handle(procket_port:handle(), Function :: atom(), Args :: [term()]) -> fds_result().
with_handle(Handle, Function, Args) ->
    case attempt(Handle, Function, Args, [], submit) of
        unsent -> {error, epipe};
        Result -> Result
    end.

no_fds({Result, []}) -> Result;
no_fds({error, _} = Error) -> Error.

call(Key, Function, Args, FDs, Way) ->
    case procket_ports:get(Key) of
        {ok, Handle} ->
            case attempt(Handle, Function, Args, FDs, Way) of
                unsent -> call(Key, Function, Args, FDs, Way);
                Result -> Result
            end;
        {error, _} = Error ->
            Error
    end.

attempt(#{server := Server} = Handle, Function, Args, FDs, Way) ->
    Id = monitor(process, Server, [{alias, reply_demonitor}]),
    Encoded = term_to_binary({Id, Function, Args}),
    case send(Way, Handle, Id, Encoded, FDs) of
        ok ->
            await(Handle, Id, Function);
        {error, closed} ->
            true = demonitor(Id, [flush]),
            await_end(Server);
        {error, _} = Error ->
            true = demonitor(Id, [flush]),
            Error
    end.

send(direct, Handle, Id, Encoded, FDs) when byte_size(Encoded) =< ?DIRECT ->
    direct(Handle, Id, Encoded, FDs);
send(_Way, Handle, Id, Encoded, FDs) ->
    procket_port:submit(Handle, Id, Encoded, FDs).

direct(#{port := Port}, _Id, Encoded, []) ->
    try
        true = port_command(Port, Encoded),
        ok
    catch
        error:badarg -> {error, closed}
    end;
direct(#{channel := Channel}, _Id, Encoded, FDs) ->
    procket_channel:send(Channel, Encoded, FDs, procket_timeout()).

await(#{server := Server} = Handle, Id, Function) ->
    receive
        {Id, unsent} ->
            await_end(Server);
        {Id, Result} ->
            {result(Function, Result), []};
        {Id, Result, FDs} ->
            procket_port:taken(Handle, Id),
            {Result, FDs};
        {'DOWN', Id, process, Server, noproc} ->
            unsent;
        {'DOWN', Id, process, Server, _} ->
            {error, epipe}
    after procket_timeout() ->
        true = demonitor(Id, [flush]),
        receive
            {Id, Result} ->
                {result(Function, Result), []};
            {Id, Result, FDs} ->
                procket_port:taken(Handle, Id),
                {Result, FDs}
        after 0 ->
            procket_port:abandon(Handle, Id),
            {error, etimedout}
        end
    end.

%% The port process has ended and nothing was sent: its server will be gone, and another takes its place.
await_end(Server) ->
    Monitor = monitor(process, Server),
    receive
        {'DOWN', Monitor, process, Server, _} -> unsent
    after procket_timeout() ->
        true = demonitor(Monitor, [flush]),
        {error, epipe}
    end.

result(Function, {error, {badarg, N}}) -> procket_error:badarg({Function, N});
result(_Function, {error, {undef, _}}) -> {error, enosys};
result(_Function, Result) -> Result.

procket_timeout() ->
    application:get_env(procket, timeout, 5000).
