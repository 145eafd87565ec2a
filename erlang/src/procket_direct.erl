%% @private
%% The direct connection: the shortest way to a port process and back. One caller at a time sends a request on it and reads the answer
%% itself, with no other process in between.
%%
%% The holder is an ETS row. If the connection is held, or the run queue is busy, callers go through {@link procket_port}; likewise if
%% answers do not come while the caller polls for them. A caller that dies or gives up leaves the row, with an answer still to come: the
%% server replaces the connection then.
-module(procket_direct).

-export([open/1, close/1, call/6, hold/1, release/1, is_held_by/2, uses/1]).

-export_type([direct/0]).

-type direct() :: #{key := reference(), socket := socket:socket(), server := pid(), counts := atomics:atomics_ref(), polls := boolean()}.

%% {Key, Holder, Server}
-define(TABLE, ?MODULE).
%% How often an answer is looked for before the caller sleeps until it comes: each takes about a microsecond.
-define(POLLS, 400).
%% After so many answers in a row that did not come so soon, polling is tried only now and then: others use the processors.
-define(PATIENCE, 4).
-define(RETRY, 32).
%% Counts of a connection: answers in a row that did not come so soon, and calls.
-define(MISSES, 1).
-define(USES, 2).
%% How much of an answer is received at once, in bytes.
-define(RECEIVE_SIZE, 65_536).

%% Takes over the node's end of a direct connection for the calling server.
-spec open(procket:fd()) -> {ok, direct()} | {error, term()}.
open(FD) ->
    ok = sweep(),
    Opened = socket:open(FD, #{domain => local, type => stream, protocol => default, dup => true}),
    _ = procket_fd:close(FD),
    case Opened of
        {ok, Socket} ->
            ok = socket:setopt(Socket, {otp, rcvbuf}, ?RECEIVE_SIZE),
            %% Each side polls on a processor of its own, or not at all.
            Polls = procket_spawn:polling_time() > 0 andalso erlang:system_info(schedulers_online) > 1,
            {ok, #{key => make_ref(), socket => Socket, server => self(), counts => atomics:new(2, []), polls => Polls}};
        {error, _} = Error ->
            Error
    end.

%% Removes the rows of callers that were killed as they took a connection that had gone.
sweep() ->
    Own = self(),
    lists:foreach(fun delete/1, [Key || {Key, _, Server} <- ets:tab2list(?TABLE), Server =:= Own orelse not is_process_alive(Server)]).

-spec close(direct()) -> ok.
close(#{socket := Socket} = Direct) ->
    _ = socket:close(Socket),
    release(Direct).

-spec release(direct()) -> ok.
release(#{key := Key}) ->
    delete(Key).

delete(Key) ->
    procket_table:delete(?TABLE, Key).

-spec is_held_by(pid(), direct()) -> boolean().
is_held_by(Pid, #{key := Key, server := Server}) ->
    ets:lookup(?TABLE, Key) =:= [{Key, Pid, Server}].

%% How often callers have used it.
-spec uses(direct()) -> non_neg_integer().
uses(#{counts := Counts}) ->
    atomics:get(Counts, ?USES).

%% Calls, if nobody waits for a processor and the connection is free. `busy' and `unsent': nothing was sent.
-spec call(direct(), Function :: atom(), Args :: [term()], [procket:fd()], Brings :: boolean(), timeout()) ->
    {Result :: term(), [procket:fd()]} | {error, procket:posix()} | busy | unsent.
call(Direct, Function, Args, FDs, Brings, Timeout) ->
    case nobody_waits() andalso hold(Direct) of
        true -> exchange(Direct, term_to_binary({0, Function, Args}), FDs, Brings, Timeout);
        false -> busy
    end.

%% How often to look for an answer before sleeping until it comes.
polls(#{polls := false}) ->
    0;
polls(#{counts := Counts}) ->
    case atomics:get(Counts, ?MISSES) of
        Few when Few < ?PATIENCE -> ?POLLS;
        Many when Many rem ?RETRY =:= 0 -> ?POLLS;
        _ -> 0
    end.

%% A process that waits for a processor has it first: it may be the server, which this caller has just told something.
nobody_waits() ->
    erlang:statistics(total_run_queue_lengths) =:= 0 orelse
        erlang:yield() andalso erlang:statistics(total_run_queue_lengths) =:= 0.

%% Keeps others from the connection, unless it is held.
-spec hold(direct()) -> boolean().
hold(#{key := Key, server := Server} = Direct) ->
    try ets:insert_new(?TABLE, {Key, self(), Server}) orelse ets:lookup(?TABLE, Key) of
        true ->
            true;
        [{Key, Pid, Server}] ->
            _ = is_process_alive(Pid) orelse lost(Direct, Pid),
            false;
        [] ->
            false
    catch
        %% The application is stopping, and the table has gone.
        error:badarg -> false
    end.

%% An answer to `Pid' is still to come, and nobody waits for it: the server opens another direct connection.
lost(#{server := Server}, Pid) ->
    gen_statem:cast(Server, {lost, Pid}).

exchange(#{socket := Socket, counts := Counts} = Direct, Request, FDs, Brings, Timeout) ->
    ok = atomics:add(Counts, ?USES, 1),
    case procket_connection:send_now(Socket, Request, FDs, Timeout) of
        ok ->
            case answer(Socket, Brings, Counts, polls(Direct), Timeout) of
                {ok, Answer, New} ->
                    ok = release(Direct),
                    result(binary_to_term(Answer), New);
                unsent ->
                    ok = release(Direct),
                    unsent;
                {error, _} = Error ->
                    ok = lost(Direct, self()),
                    Error
            end;
        {error, etimedout} = Error ->
            ok = lost(Direct, self()),
            Error;
        {error, Reason} ->
            ok = release(Direct),
            case lists:member(Reason, [closed, epipe, econnreset]) of
                true -> unsent;
                false -> {error, Reason}
            end
    end.

result({0, Result}, []) ->
    {Result, []};
result({0, Result, Count}, FDs) when length(FDs) =:= Count ->
    {Result, FDs};
result({0, _Result, _Count}, FDs) ->
    lists:foreach(fun procket_fd:close/1, FDs),
    {error, emfile}.

%% Looks for the first bytes again and again; descriptors come with them.
answer(Socket, Brings, Counts, Polls, Timeout) ->
    case procket_connection:receive_now(Socket, Brings, 0) of
        {error, timeout} when Polls > 1 ->
            _ = nobody_waits(),
            answer(Socket, Brings, Counts, Polls - 1, Timeout);
        {error, timeout} ->
            ok = atomics:add(Counts, ?MISSES, 1),
            rest(Socket, procket_connection:receive_now(Socket, Brings, Timeout), Timeout);
        Received ->
            ok = atomics:put(Counts, ?MISSES, max(0, min(?PATIENCE, atomics:get(Counts, ?MISSES)) - 1)),
            rest(Socket, Received, Timeout)
    end.

soon(Socket, 0, Timeout) ->
    procket_connection:receive_now(Socket, false, Timeout);
soon(Socket, Polls, Timeout) ->
    case procket_connection:receive_now(Socket, false, 0) of
        {error, timeout} -> soon(Socket, Polls - 1, Timeout);
        Received -> Received
    end.

rest(_Socket, {ok, <<Size:32, Answer:Size/binary>>, FDs}, _Timeout) ->
    {ok, Answer, FDs};
rest(Socket, {ok, <<Size:32, Begun/binary>>, FDs}, Timeout) ->
    case socket:recv(Socket, Size - byte_size(Begun), [], Timeout) of
        {ok, Bytes} ->
            {ok, <<Begun/binary, Bytes/binary>>, FDs};
        Failed ->
            lists:foreach(fun procket_fd:close/1, FDs),
            failed(Failed)
    end;
%% Descriptors come with one byte; the others follow at once.
rest(Socket, {ok, Begun, FDs}, Timeout) ->
    case soon(Socket, ?POLLS, Timeout) of
        {ok, Bytes, []} ->
            rest(Socket, {ok, <<Begun/binary, Bytes/binary>>, FDs}, Timeout);
        Failed ->
            lists:foreach(fun procket_fd:close/1, FDs),
            failed(Failed)
    end;
rest(_Socket, Failed, _Timeout) ->
    failed(Failed).

%% The port process has ended, and left the request unread.
failed({error, econnreset}) -> unsent;
failed({error, timeout}) -> {error, etimedout};
failed({error, {timeout, _}}) -> {error, etimedout};
failed({error, _}) -> {error, epipe}.
