%% @private
%% What is asked of the capture process of a socket: written by a process of its own where the pipe is full, so that the socket goes on;
%% and given up where the capture process hangs.
-module(procket_raw_requests).

-export([new/1, is_writer/2, command/3, ask/3, send/3, answered/2, watch/1, refuse/1, close/1]).

-export_type([requests/0]).

%% How long a capture process that is asked for something may say nothing, in milliseconds. So long, too, closing waits for it to read.
-define(PATIENCE, 5_000).
-define(MAX_FRAME, 65_535).

-type ask() :: stats | info | counters.
-type request() :: {ask(), gen_server:from()} | {send, Chunks :: pos_integer()} | ping.

-opaque requests() :: #{
    port := port(),
    writer := pid(),
    asked := #{reference() => request()},
    %% Whether it is looked from time to time that it answers.
    watched := boolean()
}.

%% The requests of the calling process, which owns the port.
-spec new(port()) -> requests().
new(Port) ->
    {ok, Writer} = gen_server:start_link(procket_raw_writer, Port, []),
    #{port => Port, writer => Writer, asked => #{}, watched => false}.

-spec is_writer(pid(), requests()) -> boolean().
is_writer(Pid, #{writer := Writer}) ->
    Pid =:= Writer.

%% Tells something that has no answer.
-spec command(Function :: atom(), Args :: [term()], requests()) -> ok.
command(Function, Args, Requests) ->
    write(term_to_binary({Function, Function, Args}), Requests).

-spec ask(ask(), gen_server:from(), requests()) -> requests().
ask(Ask, From, Requests) ->
    asked({Ask, From}, Ask, Requests).

%% A request of its sender's, whose alias is `Id': the answer goes there.
-spec send(Id :: reference(), Encoded :: binary(), requests()) -> {ok, requests()} | {error, procket:posix()}.
send(Id, Encoded, #{writer := Writer, asked := Asked} = Requests) ->
    case procket_parts:split(Id, Encoded, ?MAX_FRAME) of
        {error, Reason} ->
            {error, Reason};
        Frames ->
            ok = procket_raw_writer:write(Writer, Frames),
            {ok, watched(Requests#{asked := maps:update_with(Id, fun({send, N}) -> {send, N + 1} end, {send, 1}, Asked)})}
    end.

%% What it was that is answered.
-spec answered(Id :: reference(), requests()) -> {{ask(), gen_server:from()} | send | ping, requests()}.
answered(Id, #{asked := Asked} = Requests) ->
    case Asked of
        #{Id := {send, N}} when N > 1 -> {send, Requests#{asked := Asked#{Id := {send, N - 1}}}};
        #{Id := {send, 1}} -> {send, Requests#{asked := maps:remove(Id, Asked)}};
        #{Id := Request} -> {Request, Requests#{asked := maps:remove(Id, Asked)}}
    end.

%% The socket's process has got `{procket_raw_requests, watch}'. Sending may take as long as the interface likes, so what is asked then is
%% whether the process answers at all.
-spec watch(requests()) -> {ok, requests()} | hangs.
watch(#{asked := Asked} = Requests) when map_size(Asked) =:= 0 ->
    {ok, Requests#{watched := false}};
watch(#{asked := Asked} = Requests) ->
    case is_pinged(Asked) of
        true -> hangs;
        false -> {ok, asked(ping, stats, Requests#{watched := false})}
    end.

%% Nobody will answer these.
-spec refuse(requests()) -> ok.
refuse(#{asked := Asked}) ->
    maps:foreach(
        fun
            (Id, {send, N}) -> lists:foreach(fun(_) -> Id ! {Id, {error, {closed, 0}}} end, lists:seq(1, N));
            (_Id, {_Ask, From}) -> gen_server:reply(From, {error, closed});
            (_Id, ping) -> ok
        end,
        Asked
    ).

%% Closes the port, once what was sent has been read, unless the capture process hangs.
-spec close(requests()) -> ok.
close(#{port := Port, writer := Writer, asked := Asked}) ->
    Patience = case is_pinged(Asked) of true -> 0; false -> ?PATIENCE end,
    Monitor = monitor(process, Writer),
    ok = procket_raw_writer:close(Writer),
    receive
        {'DOWN', Monitor, process, Writer, _} -> ok
    after Patience ->
        true = demonitor(Monitor, [flush]),
        ok
    end,
    procket_start:close_port(Port),
    true = unlink(Writer),
    true = exit(Writer, kill),
    receive
        {'EXIT', Writer, _} -> ok
    after 0 -> ok
    end.

is_pinged(Asked) ->
    lists:member(ping, maps:values(Asked)).

asked(Request, Function, #{asked := Asked} = Requests) ->
    Id = make_ref(),
    ok = write(term_to_binary({Id, Function, []}), Requests),
    watched(Requests#{asked := Asked#{Id => Request}}).

watched(#{watched := true} = Requests) ->
    Requests;
watched(Requests) ->
    _ = erlang:send_after(?PATIENCE, self(), {?MODULE, watch}),
    Requests#{watched := true}.

write(Frame, #{port := Port, writer := Writer}) ->
    try port_command(Port, Frame, [nosuspend]) of
        true ->
            ok;
        false ->
            procket_raw_writer:write(Writer, [Frame])
    catch
        %% That the port has ended is told by a message of its own.
        error:badarg -> ok
    end.
