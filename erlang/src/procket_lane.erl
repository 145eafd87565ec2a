%% @private
%% The shortest way to a port process and back: a Unix socket on which one caller at a time sends a request and reads the
%% answer itself, with no other process in between.
%%
%% Whoever has the lane stands in a table. One who finds it taken, or others waiting for a processor, goes through the server: so
%% does everyone where answers do not come while the caller polls for them.
%% A caller that dies or gives up leaves it taken, with an answer still to come: the server replaces it then.
-module(procket_lane).

-export([new_table/0, open/1, close/1, call/6, is_taken_by/2, uses/1, retire/1]).

-export_type([lane/0]).

-type lane() :: #{key := reference(), socket := socket:socket(), server := pid(), counts := atomics:atomics_ref(), polls := boolean()}.

-define(TABLE, ?MODULE).
%% How often an answer is looked for before the caller sleeps until it comes: each takes about a microsecond.
-define(SPINS, 400).
%% After so many answers in a row that did not come so soon the lane is tried only now and then: others use the processors.
-define(PATIENCE, 4).
-define(RETRY, 32).
%% What is counted for a lane: answers in a row that did not come so soon, and calls.
-define(MISSES, 1).
-define(USES, 2).
%% So much of an answer is received at once, in bytes.
-define(RECEIVE_SIZE, 65_536).
%% Room for the most descriptors that come with a message: a header, and 4 bytes each.
-define(CONTROL_SIZE, 16 + 4 * 254).

-spec new_table() -> ok.
new_table() ->
    procket_table:new(?TABLE, [{write_concurrency, true}]).

%% The calling server's lane, of the end that its port process has sent.
-spec open(procket:fd()) -> {ok, lane()} | {error, term()}.
open(FD) ->
    ok = sweep(),
    Opened = socket:open(FD, #{domain => local, type => stream, protocol => default, dup => true}),
    _ = procket_fd:close(FD),
    case Opened of
        {ok, Socket} ->
            ok = socket:setopt(Socket, {otp, rcvbuf}, ?RECEIVE_SIZE),
            %% Each side polls on a processor of its own, or not at all.
            Polls = procket_port:spin() > 0 andalso erlang:system_info(schedulers_online) > 1,
            {ok, #{key => make_ref(), socket => Socket, server => self(), counts => atomics:new(2, []), polls => Polls}};
        {error, _} = Error ->
            Error
    end.

%% Removes what callers have left that were killed as they took a lane that had gone.
sweep() ->
    Own = self(),
    lists:foreach(fun free/1, [Key || {Key, _, Server} <- ets:tab2list(?TABLE), Server =:= Own orelse not is_process_alive(Server)]).

-spec close(lane()) -> ok.
close(#{key := Key, socket := Socket}) ->
    _ = socket:close(Socket),
    free(Key).

free(Key) ->
    procket_table:delete(?TABLE, Key).

-spec is_taken_by(pid(), lane()) -> boolean().
is_taken_by(Pid, #{key := Key, server := Server}) ->
    ets:lookup(?TABLE, Key) =:= [{Key, Pid, Server}].

%% How often callers have used it.
-spec uses(lane()) -> non_neg_integer().
uses(#{counts := Counts}) ->
    atomics:get(Counts, ?USES).

%% Keeps others from the lane for good, unless one has it.
-spec retire(lane()) -> boolean().
retire(Lane) ->
    take(Lane).

%% Calls, if it is of use, nobody waits for a processor, and the lane is free. `busy' and `unsent': nothing was sent.
-spec call(lane(), Function :: atom(), Args :: [term()], [procket:fd()], Brings :: boolean(), timeout()) ->
    {Result :: term(), [procket:fd()]} | {error, procket:posix()} | busy | unsent.
call(Lane, Function, Args, FDs, Brings, Timeout) ->
    case nobody_waits() andalso take(Lane) of
        true -> exchange(Lane, term_to_binary({0, Function, Args}), FDs, Brings, Timeout);
        false -> busy
    end.

%% How often to look for an answer before sleeping until it comes.
spins(#{polls := false}) ->
    0;
spins(#{counts := Counts}) ->
    case atomics:get(Counts, ?MISSES) of
        Few when Few < ?PATIENCE -> ?SPINS;
        Many when Many rem ?RETRY =:= 0 -> ?SPINS;
        _ -> 0
    end.

%% Whoever waits for a processor has it first: it may be the server, which this caller has just told something.
nobody_waits() ->
    erlang:statistics(total_run_queue_lengths) =:= 0 orelse
        erlang:yield() andalso erlang:statistics(total_run_queue_lengths) =:= 0.

take(#{key := Key, server := Server}) ->
    try ets:insert_new(?TABLE, {Key, self(), Server}) orelse ets:lookup(?TABLE, Key) of
        true ->
            true;
        [{Key, Pid, Server}] ->
            _ = is_process_alive(Pid) orelse procket_port:replace_lane(Server, Pid),
            false;
        [] ->
            false
    catch
        %% The application is stopping, and the table has gone.
        error:badarg -> false
    end.

exchange(#{key := Key, socket := Socket, server := Server, counts := Counts} = Lane, Request, FDs, Brings, Timeout) ->
    ok = atomics:add(Counts, ?USES, 1),
    case procket_channel:send(Socket, <<(byte_size(Request)):32>>, Request, FDs, Timeout) of
        ok ->
            case answer(Socket, Brings, Counts, spins(Lane), Timeout) of
                {ok, Answer, New} ->
                    ok = free(Key),
                    result(binary_to_term(Answer), New);
                unsent ->
                    ok = free(Key),
                    unsent;
                {error, _} = Error ->
                    ok = procket_port:replace_lane(Server, self()),
                    Error
            end;
        {error, etimedout} = Error ->
            ok = procket_port:replace_lane(Server, self()),
            Error;
        {error, Reason} ->
            ok = free(Key),
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

%% The first bytes are looked for again and again; with them come the descriptors.
answer(Socket, Brings, Counts, Spins, Timeout) ->
    case receive_some(Socket, Brings, 0) of
        {error, timeout} when Spins > 1 ->
            _ = nobody_waits(),
            answer(Socket, Brings, Counts, Spins - 1, Timeout);
        {error, timeout} ->
            ok = atomics:add(Counts, ?MISSES, 1),
            rest(Socket, receive_some(Socket, Brings, Timeout), Timeout);
        Received ->
            ok = atomics:put(Counts, ?MISSES, max(0, min(?PATIENCE, atomics:get(Counts, ?MISSES)) - 1)),
            rest(Socket, Received, Timeout)
    end.

soon(Socket, 0, Timeout) ->
    receive_some(Socket, false, Timeout);
soon(Socket, Spins, Timeout) ->
    case receive_some(Socket, false, 0) of
        {error, timeout} -> soon(Socket, Spins - 1, Timeout);
        Received -> Received
    end.

receive_some(Socket, false, Timeout) ->
    case socket:recv(Socket, 0, [], Timeout) of
        {ok, Bytes} -> {ok, Bytes, []};
        {error, _} = Error -> Error
    end;
receive_some(Socket, true, Timeout) ->
    case socket:recvmsg(Socket, 0, ?CONTROL_SIZE, [cmsg_cloexec], Timeout) of
        {ok, #{iov := [], ctrl := []}} -> {error, closed};
        {ok, #{iov := Iov, ctrl := Control}} -> {ok, iolist_to_binary(Iov), procket_channel:fds(Control)};
        {error, _} = Error -> Error
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
    case soon(Socket, ?SPINS, Timeout) of
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
