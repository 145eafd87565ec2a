%% @private
%% Why there is no port process: what the caller is told, and what is logged.
-module(procket_refusal).

-export([not_started/2, refused/2, misunderstood/3]).

%% Why a command that could not be executed failed.
-spec not_started(procket_command:command(), procket:posix()) -> {error, procket:posix()}.
not_started([Program | _] = Command, Reason) ->
    case Program =:= procket_command:progname() of
        true -> procket_log:no_executable(Program, Reason);
        %% sudo is often not there.
        false when Reason =:= enoent -> ok;
        false -> procket_log:refused(Command, Reason)
    end,
    {error, Reason}.

%% Why one that ended before it had connected failed: a prefix such as sudo refused, or had nothing to execute.
-spec refused(procket_command:command(), Why :: term()) -> {error, procket:posix()}.
refused([Program | _] = Command, Why) ->
    Path = procket_command:progname(),
    case {Program =:= Path, Why} of
        %% The errno of execve(2), from OTP's erl_child_setup: the loader or the format of the executable is another system's.
        {true, {exit_status, 2}} -> not_started(Command, enoent);
        {true, {exit_status, 8}} -> not_started(Command, enoexec);
        %% Killed as it started.
        {true, {exit_status, Status}} when Status > 128 ->
            procket_log:refused(Command, Why),
            {error, epipe};
        %% It ended while it was written to, so its status is not known: what it is when nothing is written.
        {true, epipe} -> refused(Command, {exit_status, status(Path)});
        {_, _} ->
            procket_log:refused(Command, Why),
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
                procket_start:close_port(Port),
                unknown
            end;
        {error, _} ->
            unknown
    end.

%% One whose answer to `attach' is not that of this version of the protocol.
-spec misunderstood(procket_command:command(), Answer :: term(), Ours :: integer()) -> {error, eproto}.
misunderstood(Command, Answer, Ours) ->
    %% Whatever else another version says, it says its own first.
    case is_tuple(Answer) andalso tuple_to_list(Answer) of
        [ok, Theirs | _] when Theirs =/= Ours -> procket_log:other_version(Command, Theirs, Ours);
        [error, {badarity, attach, _}] -> procket_log:other_version(Command, unknown, Ours);
        _ -> procket_log:refused(Command, {not_procket, Answer})
    end,
    {error, eproto}.
