%% @private
%% Starts a port process and connects it: docs/protocol.md, "Start". It takes as long as sudo likes, so a server starts one in a process
%% of its own, and serves others meanwhile.
-module(procket_spawn).

-export([start_link/1, connect/1, hand_over/3, close_port/1, polling_time/0]).

-export_type([options/0, started/0]).

-define(PROTOCOL, 3).
%% How long a port process may take to connect, and for the connection to come once it says that it has connected, in milliseconds.
-define(TIMEOUT, 10_000).
-define(ACCEPT_TIMEOUT, 1000).
%% These name the user that started the BEAM with sudo, doas or pkexec, and not the one that starts the port program.
-define(ENV, [{"SUDO_UID", false}, {"SUDO_GID", false}, {"DOAS_USER", false}, {"PKEXEC_UID", false}]).

%% `pipe': where to listen, in place of a directory that is made for it.
-type options() :: #{command := procket_command:command(), pipe => file:filename(), _ => _}.
%% The process identifier is what the port process says: the port may be that of sudo.
-type started() :: {ok, port(), socket:socket(), OsPid :: pos_integer()} | {error, procket:posix()}.

%% Starts one in a process of its own. The calling process gets `{procket_spawn, Pid, started()}', and owns port and socket then.
%% To end that process ends the port process.
-spec start_link(options()) -> pid().
start_link(Options) ->
    Parent = self(),
    spawn_link(fun() ->
        _ = process_flag(trap_exit, true),
        Started = connect(Options),
        case Started of
            {ok, Port, Socket, _OsPid} -> ok = hand_over(Port, Socket, Parent);
            {error, _} -> ok
        end,
        Parent ! {?MODULE, self(), Started}
    end).

%% Makes another process the owner of port and socket.
-spec hand_over(port(), socket:socket(), pid()) -> ok.
hand_over(Port, Socket, Owner) ->
    true = erlang:port_connect(Port, Owner),
    true = unlink(Port),
    ok = socket:setopt(Socket, {otp, controlling_process}, Owner),
    forward(Port, Owner).

%% What the port has said meanwhile.
forward(Port, Owner) ->
    receive
        {Port, _} = Message ->
            Owner ! Message,
            forward(Port, Owner);
        {'EXIT', Port, _} = Message ->
            Owner ! Message,
            forward(Port, Owner)
    after 0 -> ok
    end.

%% The same by the calling process, which waits.
-spec connect(options()) -> started().
connect(Options) ->
    case procket_listener:listen(maps:get(pipe, Options, undefined)) of
        {ok, Listener} ->
            Result =
                case procket_listener:secret() of
                    {ok, Secret} -> start(Options, Listener, Secret);
                    {error, Reason} -> {error, Reason}
                end,
            procket_listener:close(Listener),
            Result;
        {error, Reason} ->
            {error, Reason}
    end.

start(#{command := [Program | Args] = Command}, Listener, Secret) ->
    case procket_command:execute(Program, Args, [{env, ?ENV}, {packet, 2}, binary, exit_status, hide]) of
        {ok, Port} ->
            case attach(Port, Command, Listener, Secret) of
                {ok, Socket, OsPid} ->
                    {ok, Port, Socket, OsPid};
                {error, Reason} ->
                    ok = case Reason of etimedout -> procket_command:kill(Port); _ -> ok end,
                    close_port(Port),
                    {error, Reason}
            end;
        {error, Reason} ->
            not_started(Command, Reason)
    end.

attach(Port, Command, Listener, Secret) ->
    Id = make_ref(),
    try port_command(Port, term_to_binary({Id, attach, [procket_listener:path(Listener), Secret, polling_time()]})) of
        true ->
            case await_attached(Port, Command, Id) of
                {ok, OsPid} -> with_pid(procket_listener:accept(Listener, Secret, ?ACCEPT_TIMEOUT), OsPid);
                {error, _} = Error -> Error
            end
    catch
        error:badarg ->
            receive
                {Port, {exit_status, Status}} -> ended(Command, {exit_status, Status})
            after 0 -> ended(Command, epipe)
            end
    end.

with_pid({ok, Socket}, OsPid) -> {ok, Socket, OsPid};
with_pid({error, _} = Error, _OsPid) -> Error.

await_attached(Port, Command, Id) ->
    receive
        {Port, {data, Data}} ->
            try binary_to_term(Data) of
                {Id, {ok, ?PROTOCOL, OsPid}} when is_integer(OsPid), OsPid > 0 -> {ok, OsPid};
                {Id, {error, Reason}} when is_atom(Reason) -> {error, Reason};
                {Id, Answer} -> misunderstood(Command, Answer);
                Answer -> misunderstood(Command, Answer)
            catch
                error:badarg -> misunderstood(Command, Data)
            end;
        {Port, {exit_status, Status}} ->
            ended(Command, {exit_status, Status});
        {'EXIT', Port, Reason} ->
            ended(Command, Reason);
        %% The process for which it is started has ended.
        {'EXIT', Pid, _} when is_pid(Pid) ->
            {error, epipe}
    after ?TIMEOUT ->
        {error, etimedout}
    end.

%% At once, also if the port process does not read what was written to it: port_close/1 would wait for that.
-spec close_port(port()) -> ok.
close_port(Port) ->
    true = unlink(Port),
    true = exit(Port, kill),
    receive
        {'EXIT', Port, _} -> ok
    after 0 -> ok
    end.

%% For how long a port process polls before it sleeps, in microseconds; 0 is never.
-spec polling_time() -> non_neg_integer().
polling_time() ->
    application:get_env(procket, spin, 100).

%% Why there is none

%% The command could not be executed.
not_started([Program | _] = Command, Reason) ->
    case Program =:= procket_command:progname() of
        true -> procket_log:no_executable(Program, Reason);
        %% sudo is often not there.
        false when Reason =:= enoent -> ok;
        false -> procket_log:not_started(procket_command:to_string(Command), Reason)
    end,
    {error, Reason}.

%% It ended before it had connected: a prefix such as sudo refused, or had nothing to execute.
ended([Program | _] = Command, Why) ->
    Path = procket_command:progname(),
    case {Program =:= Path, Why} of
        %% The errno of execve(2), from OTP's erl_child_setup: the loader or the format of the executable is another system's.
        {true, {exit_status, 2}} -> not_started(Command, enoent);
        {true, {exit_status, 8}} -> not_started(Command, enoexec);
        %% Killed as it started.
        {true, {exit_status, Status}} when Status > 128 ->
            procket_log:not_started(procket_command:to_string(Command), Why),
            {error, epipe};
        %% It ended while it was written to, so its status is not known: ask for the one of a run that is not written to.
        {true, epipe} -> ended(Command, {exit_status, status(Path)});
        {_, _} ->
            procket_log:not_started(procket_command:to_string(Command), Why),
            case lists:member(Path, Command) andalso file:read_file_info(Path) of
                {error, enoent} -> {error, enoent};
                {error, enotdir} -> {error, enoent};
                _ -> {error, eperm}
            end
    end.

status(Path) ->
    case procket_command:execute(Path, ["--version"], [exit_status, hide]) of
        {ok, Port} ->
            receive
                {Port, {exit_status, Status}} -> Status
            after 1000 ->
                close_port(Port),
                unknown
            end;
        {error, _} ->
            unknown
    end.

%% Its answer to `attach' is not that of this version of the protocol. Whatever else another version says, it says its own first.
misunderstood(Command, Answer) ->
    Name = procket_command:to_string(Command),
    case is_tuple(Answer) andalso tuple_to_list(Answer) of
        [ok, Theirs | _] when Theirs =/= ?PROTOCOL -> procket_log:other_version(Name, Theirs, ?PROTOCOL);
        [error, {badarity, attach, _}] -> procket_log:other_version(Name, unknown, ?PROTOCOL);
        _ -> procket_log:not_started(Name, {not_procket, Answer})
    end,
    {error, eproto}.
