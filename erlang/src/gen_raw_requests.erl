%% @private
%% What a socket asks of its capture process: which requests have no answer yet, and whether the capture process answers at all.
-module(gen_raw_requests).

-export([new/1, start/2, command/3, ask/3, send/3, handle/2, answered/2, watch/1, refuse/1, close/1]).

-export_type([requests/0]).

%% How long a capture process that is asked for something may say nothing, in milliseconds.
-define(PATIENCE, 5_000).

-type ask() :: stats | info | counters.
-type request() :: start | {ask(), gen_server:from()} | {send, Chunks :: pos_integer()} | ping.

-opaque requests() :: #{
    connection := procket_connection:connection(),
    asked := #{reference() => request()},
    %% Whether it is looked from time to time that it answers.
    watched := boolean()
}.

%% The requests of the calling process, which owns the socket.
-spec new(socket:socket()) -> {ok, requests()} | {error, term()}.
new(Socket) ->
    case procket_connection:new(Socket) of
        {ok, [], Connection} -> {ok, #{connection => Connection, asked => #{}, watched => false}};
        {ok, [_ | _], Connection} ->
            procket_connection:close(Connection),
            {error, eproto};
        {error, _} = Error -> Error
    end.

%% Asks for packets.
-spec start(map(), requests()) -> requests().
start(Start, Requests) ->
    asked(start, start, [Start], Requests).

%% Tells something that has no answer.
-spec command(Function :: atom(), Args :: [term()], requests()) -> requests().
command(Function, Args, Requests) ->
    write(term_to_binary({Function, Function, Args}), Requests).

-spec ask(ask(), gen_server:from(), requests()) -> requests().
ask(Ask, From, Requests) ->
    asked({Ask, From}, Ask, [], Requests).

%% A request of its sender's, whose alias is `Id': the answer goes there.
-spec send(Id :: reference(), Encoded :: binary(), requests()) -> {ok, requests()} | {error, procket:posix() | closed}.
send(Id, Encoded, #{connection := Connection, asked := Asked} = Requests) ->
    case procket_connection:send(Encoded, [], Connection) of
        {ok, Next} ->
            {ok, watched(Requests#{connection := Next, asked := maps:update_with(Id, fun({send, N}) -> {send, N + 1} end, {send, 1}, Asked)})};
        {error, emsgsize} = Error ->
            Error;
        {error, _} ->
            {error, closed}
    end.

%% Takes a message of the process: the answers that have come, if it is about the connection.
-spec handle(Message :: term(), requests()) -> {ok, [Answer :: term()], requests()} | {error, term(), requests()} | unknown.
handle(Message, #{connection := Connection} = Requests) ->
    case procket_connection:handle(Message, Connection) of
        {ok, Frames, Next} -> {ok, [binary_to_term(Frame) || {Frame, []} <- Frames], Requests#{connection := Next}};
        {error, Reason, Next} -> {error, Reason, Requests#{connection := Next}};
        unknown -> unknown
    end.

%% What it was that is answered.
-spec answered(Id :: reference(), requests()) -> {start | {ask(), gen_server:from()} | send | ping, requests()}.
answered(Id, #{asked := Asked} = Requests) ->
    case Asked of
        #{Id := {send, N}} when N > 1 -> {send, Requests#{asked := Asked#{Id := {send, N - 1}}}};
        #{Id := {send, 1}} -> {send, Requests#{asked := maps:remove(Id, Asked)}};
        #{Id := Request} -> {Request, Requests#{asked := maps:remove(Id, Asked)}}
    end.

%% The socket's process has got `{gen_raw_requests, watch}'. To send may take as long as the interface likes, so what is asked then is
%% whether the process answers at all.
-spec watch(requests()) -> {ok, requests()} | hangs.
watch(#{asked := Asked} = Requests) when map_size(Asked) =:= 0 ->
    {ok, Requests#{watched := false}};
watch(#{asked := Asked} = Requests) ->
    case lists:member(ping, maps:values(Asked)) of
        true -> hangs;
        false -> {ok, asked(ping, stats, [], Requests#{watched := false})}
    end.

%% Nobody will answer these.
-spec refuse(requests()) -> ok.
refuse(#{asked := Asked}) ->
    maps:foreach(
        fun
            (Id, {send, N}) -> lists:foreach(fun(_) -> Id ! {Id, {error, {closed, 0}}} end, lists:seq(1, N));
            (_Id, {_Ask, From}) -> gen_server:reply(From, {error, closed});
            (_Id, _Own) -> ok
        end,
        Asked
    ).

-spec close(requests()) -> ok.
close(#{connection := Connection}) ->
    procket_connection:close(Connection).

asked(Request, Function, Args, #{asked := Asked} = Requests) ->
    Id = make_ref(),
    watched(write(term_to_binary({Id, Function, Args}), Requests#{asked := Asked#{Id => Request}})).

watched(#{watched := true} = Requests) ->
    Requests;
watched(Requests) ->
    _ = erlang:send_after(?PATIENCE, self(), {?MODULE, watch}),
    Requests#{watched := true}.

write(Frame, #{connection := Connection} = Requests) ->
    case procket_connection:send(Frame, [], Connection) of
        {ok, Next} -> Requests#{connection := Next};
        %% The capture process has ended, as its port tells.
        {error, _} -> Requests
    end.
