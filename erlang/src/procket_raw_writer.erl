%% @private
%% Writes to a capture process however long that takes, so that its socket goes on meanwhile.
-module(procket_raw_writer).
-behaviour(gen_server).

-export([write/2, close/1]).
-export([init/1, handle_call/3, handle_cast/2]).

-spec write(pid(), Frames :: [binary()]) -> ok.
write(Writer, Frames) ->
    gen_server:cast(Writer, {write, Frames}).

%% Closes the port once all is written, and ends.
-spec close(pid()) -> ok.
close(Writer) ->
    gen_server:cast(Writer, close).

-spec init(port()) -> {ok, port()}.
init(Port) ->
    {ok, Port}.

-spec handle_call(term(), gen_server:from(), port()) -> {reply, {error, einval}, port()}.
handle_call(_Request, _From, Port) ->
    {reply, {error, einval}, Port}.

%% That the port has ended is told to its owner.
-spec handle_cast({write, [binary()]} | close, port()) -> {noreply, port()} | {stop, normal, port()}.
handle_cast({write, Frames}, Port) ->
    lists:foreach(fun(Frame) -> unless_ended(fun() -> port_command(Port, Frame) end) end, Frames),
    {noreply, Port};
handle_cast(close, Port) ->
    unless_ended(fun() -> port_close(Port) end),
    {stop, normal, Port}.

unless_ended(Do) ->
    try Do() of
        true -> ok
    catch
        error:badarg -> ok
    end.
