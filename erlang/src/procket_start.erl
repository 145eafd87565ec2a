%% @private
%% How a port process is started and proves that it is the one that was started: docs/protocol.md, "Start".
-module(procket_start).

-export([connect/1, close_port/1, command/2]).

-define(PROTOCOL, 1).
-define(TIMEOUT, 10_000).

%% Starts the command, and connects the channel.
-spec connect(procket_port:options()) -> {ok, port(), procket_channel:channel()} | {error, procket:posix()}.
connect(Options) ->
    case procket_channel:listen(maps:get(pipe, Options, undefined)) of
        {ok, Listener} ->
            Result = start(Options, Listener),
            procket_channel:unlisten(Listener),
            Result;
        {error, Reason} ->
            {error, Reason}
    end.

start(#{command := [Program | Args]}, Listener) ->
    case executable(Program) of
        {ok, Path} ->
            try open_port({spawn_executable, Path}, [{args, Args}, {packet, 2}, binary, exit_status, hide]) of
                Port -> introduce(Port, Listener)
            catch
                error:Reason -> {error, spawn_posix(Reason)}
            end;
        error ->
            {error, enoent}
    end.

introduce(Port, Listener) ->
    Secret = procket_channel:secret(),
    Id = make_ref(),
    Connected =
        case command(Port, term_to_binary({Id, attach, [procket_channel:path(Listener), Secret, procket_port:spin()]})) of
            ok ->
                case await_connected(Port, Id) of
                    ok -> procket_channel:accept(Listener, Secret, 1000);
                    {error, _} = Error -> Error
                end;
            {error, epipe} ->
                {error, eperm}
        end,
    case Connected of
        {ok, Channel} ->
            {ok, Port, Channel};
        {error, Reason} ->
            close_port(Port),
            {error, Reason}
    end.

await_connected(Port, Id) ->
    receive
        {Port, {data, Data}} ->
            try binary_to_term(Data) of
                {Id, {ok, ?PROTOCOL, OsPid}} when is_integer(OsPid) -> ok;
                {Id, {error, Reason}} when is_atom(Reason) -> {error, Reason};
                _ -> {error, eproto}
            catch
                error:badarg -> {error, eproto}
            end;
        %% Refused by a prefix such as sudo, or no port program.
        {Port, {exit_status, _}} ->
            {error, eperm};
        {'EXIT', Port, _} ->
            {error, eperm}
    after ?TIMEOUT ->
        {error, etimedout}
    end.

executable(Program) ->
    case filename:basename(Program) of
        Program ->
            case os:find_executable(Program) of
                false -> error;
                Path -> {ok, Path}
            end;
        _ ->
            {ok, filename:absname(Program)}
    end.

spawn_posix(Reason) when is_atom(Reason), Reason =/= badarg, Reason =/= system_limit -> Reason;
spawn_posix(system_limit) -> eagain;
spawn_posix(_) -> einval.

-spec close_port(port()) -> ok.
close_port(Port) ->
    try
        true = port_close(Port),
        ok
    catch
        error:badarg -> ok
    end,
    receive
        {'EXIT', Port, _} -> ok
    after 0 -> ok
    end.

%% Writes a frame to the port process. `epipe': it has ended.
-spec command(port(), iodata()) -> ok | {error, epipe}.
command(Port, Frame) ->
    try
        true = port_command(Port, Frame),
        ok
    catch
        error:badarg -> {error, epipe}
    end.
