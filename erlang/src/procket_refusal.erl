%% @private
%% Why there is no port process, or an opener opens nothing: what the caller is told, and what is logged.
-module(procket_refusal).

-export([not_started/2, refused/2, misunderstood/3]).
-export([new_table/0, of_request/3, log/3, counts/1]).

-export_type([refusal/0]).

-type refusal() :: {procket_command:command(), procket:posix(), Why :: binary()}.

%% `{{Command, Why}, Times, Logged}': how often an opener refused for a reason, and how often it was to be logged.
-define(TABLE, ?MODULE).
%% So many rows at most: commands are whatever callers name.
-define(MOST, 100).
%% So much of a reason, in bytes.
-define(LONGEST, 200).

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

-spec new_table() -> ok.
new_table() ->
    procket_table:new(?TABLE, []).

%% An opener refused a request, and said why: counts it.
-spec of_request(procket_command:command(), procket:posix(), binary()) -> refusal().
of_request(Command, Posix, Said) ->
    Why = printable(Said),
    _ = count({Command, Why}, 2),
    {Command, Posix, Why}.

%% An opener may be any program.
printable(Said) ->
    << <<(case C of _ when C >= 32, C =< 126 -> C; _ -> $? end)>> || <<C>> <= binary:part(Said, 0, min(?LONGEST, byte_size(Said))) >>.

%% Logs why an opener refused, once for each reason.
-spec log(refusal(), open | dev | capture, Request :: tuple()) -> ok.
log({Command, Posix, Why}, Function, Request) ->
    case count({Command, Why}, 3) of
        1 -> procket_log:request_refused(Command, what(Function, Request), Posix, Why);
        _ -> ok
    end.

what(open, {Family, Type, Protocol, _Address, 0, _Interface, _Namespace, _Backlog}) ->
    io_lib:format("a socket (family ~b, type ~b, protocol ~b)", [Family, Type, Protocol]);
what(open, {Family, Type, Protocol, _Address, Port, _Interface, _Namespace, _Backlog}) ->
    io_lib:format("port ~b (family ~b, type ~b, protocol ~b)", [Port, Family, Type, Protocol]);
what(capture, {_Type, <<>>, _Namespace, _Filter}) ->
    "a capture of all interfaces";
what(capture, {_Type, Interface, _Namespace, _Filter}) ->
    ["a capture of ", Interface];
what(dev, {Name, _Namespace}) ->
    ["device ", Name].

count(Key, Position) ->
    try
        _ = [ets:delete_all_objects(?TABLE) || ets:info(?TABLE, size) >= ?MOST, not ets:member(?TABLE, Key)],
        ets:update_counter(?TABLE, Key, {Position, 1}, {Key, 0, 0})
    catch
        %% The application is stopping.
        error:badarg -> 0
    end.

%% Why an opener refused requests, and how often.
-spec counts(procket_command:command()) -> #{Why :: binary() => pos_integer()}.
counts(Command) ->
    try
        maps:from_list([{Why, Times} || [Why, Times] <- ets:match(?TABLE, {{Command, '$1'}, '$2', '_'})])
    catch
        error:badarg -> #{}
    end.
