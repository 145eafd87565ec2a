%% @private
%% How a port process is started and proves that it is the one that was started: docs/protocol.md, "Start".
-module(procket_start).

-export([connect/1, close_port/1, command/2]).

-define(PROTOCOL, 2).
-define(TIMEOUT, 10_000).
%% Whoever started the BEAM with sudo, doas or pkexec is not the one who starts the port program, whom these name here.
-define(ENV, [{"SUDO_UID", false}, {"SUDO_GID", false}, {"DOAS_USER", false}, {"PKEXEC_UID", false}]).

%% Starts the command, and connects the channel. `OsPid' is what the port process says: the port may be that of sudo.
-spec connect(procket_port:options()) ->
    {ok, port(), procket_channel:channel(), OsPid :: pos_integer()} | {error, procket:posix()}.
connect(Options) ->
    case procket_channel:listen(maps:get(pipe, Options, undefined)) of
        {ok, Listener} ->
            Result =
                case procket_channel:secret() of
                    {ok, Secret} -> start(Options, Listener, Secret);
                    {error, Reason} -> {error, Reason}
                end,
            procket_channel:unlisten(Listener),
            Result;
        {error, Reason} ->
            {error, Reason}
    end.

start(#{command := [Program | Args] = Command}, Listener, Secret) ->
    case procket_command:execute(Program, Args, [{env, ?ENV}, {packet, 2}, binary, exit_status, hide]) of
        {ok, Port} -> introduce(Port, Command, Listener, Secret);
        {error, Reason} -> procket_refusal:not_started(Command, Reason)
    end.

introduce(Port, Command, Listener, Secret) ->
    Id = make_ref(),
    Connected =
        case command(Port, term_to_binary({Id, attach, [procket_channel:path(Listener), Secret, procket_port:spin()]})) of
            ok ->
                case await_connected(Port, Command, Id) of
                    {ok, OsPid} -> with_pid(procket_channel:accept(Listener, Secret, 1000), OsPid);
                    {error, _} = Error -> Error
                end;
            {error, epipe} ->
                receive
                    {Port, {exit_status, Status}} -> procket_refusal:refused(Command, {exit_status, Status})
                after 0 -> procket_refusal:refused(Command, epipe)
                end;
            {error, etimedout} = Unread ->
                Unread
        end,
    case Connected of
        {ok, Channel, Pid} ->
            {ok, Port, Channel, Pid};
        {error, Reason} ->
            _ = [procket_command:kill(Port) || Reason =:= etimedout],
            close_port(Port),
            {error, Reason}
    end.

with_pid({ok, Channel}, OsPid) -> {ok, Channel, OsPid};
with_pid({error, _} = Error, _OsPid) -> Error.

await_connected(Port, Command, Id) ->
    receive
        {Port, {data, Data}} ->
            try binary_to_term(Data) of
                {Id, {ok, ?PROTOCOL, OsPid}} when is_integer(OsPid), OsPid > 0 -> {ok, OsPid};
                {Id, {error, Reason}} when is_atom(Reason) -> {error, Reason};
                {Id, Answer} -> procket_refusal:misunderstood(Command, Answer, ?PROTOCOL);
                Answer -> procket_refusal:misunderstood(Command, Answer, ?PROTOCOL)
            catch
                error:badarg -> procket_refusal:misunderstood(Command, Data, ?PROTOCOL)
            end;
        {Port, {exit_status, Status}} ->
            procket_refusal:refused(Command, {exit_status, Status});
        {'EXIT', Port, Reason} ->
            procket_refusal:refused(Command, Reason)
    after ?TIMEOUT ->
        {error, etimedout}
    end.

%% At once, also where the port process does not read what was written to it: port_close/1 would wait for that.
-spec close_port(port()) -> ok.
close_port(Port) ->
    true = unlink(Port),
    true = exit(Port, kill),
    receive
        {'EXIT', Port, _} -> ok
    after 0 -> ok
    end.

%% Writes a frame to the port process. `epipe': it has ended. `etimedout': it does not read.
-spec command(port(), iodata()) -> ok | {error, epipe | etimedout}.
command(Port, Frame) ->
    command(Port, Frame, ?TIMEOUT).

command(Port, Frame, Milliseconds) ->
    try port_command(Port, Frame, [nosuspend]) of
        true ->
            ok;
        false when Milliseconds > 0 ->
            timer:sleep(1),
            command(Port, Frame, Milliseconds - 1);
        false ->
            {error, etimedout}
    catch
        error:badarg -> {error, epipe}
    end.
