%% @private
%% What is executed for a port process: words, never a shell line. And what follows when that fails.
-module(procket_command).

-export([progname/0, worker/0, openers/1, find/1, to_string/1]).
-export([not_started/2, refused/2, misunderstood/3]).

-export_type([command/0]).

-type command() :: nonempty_list(string()).
%% The program, to be found on `PATH' where it has no `/', and its arguments.

%% The path of the port program: the application environment's `port_executable', else `priv/procket'.
-spec progname() -> string().
progname() ->
    ok = load(),
    case application:get_env(procket, port_executable) of
        {ok, Path} -> unicode:characters_to_list(Path);
        undefined -> filename:join(priv_dir(), "procket")
    end.

%% What the node's configuration says is known once the application is loaded.
load() ->
    case application:get_key(procket, vsn) of
        {ok, _} ->
            ok;
        undefined ->
            _ = application:load(procket),
            ok
    end.

-spec worker() -> command().
worker() ->
    [progname(), "worker"].

%% The commands to try in turn to have something opened, as the options `exec' and `progname' say.
-spec openers(#{exec := [string()], progname => string(), pipe => file:filename()}) -> [command()].
openers(#{exec := Prefixes} = Options) ->
    Program =
        case Options of
            #{progname := String} -> words(String);
            #{} -> [progname()]
        end,
    [non_interactive(words(Prefix) ++ Program) ++ ["opener"] || Prefix <- Prefixes].

%% The path of a program, looked for as a shell does. Raises `enoent', as open_port/2 does.
-spec find(string()) -> file:filename().
find(Program) ->
    case filename:basename(Program) of
        Program ->
            case os:find_executable(Program) of
                false -> error(enoent);
                Path -> Path
            end;
        _ ->
            filename:absname(Program)
    end.

%% Why a command that could not be executed failed.
-spec not_started(command(), procket:posix()) -> {error, procket:posix()}.
not_started([Program | _] = Command, Reason) ->
    case Program =:= progname() of
        true -> procket_log:no_executable(Program, Reason);
        %% sudo is often not there.
        false when Reason =:= enoent -> ok;
        false -> procket_log:refused(Command, Reason)
    end,
    {error, Reason}.

%% Why one that ended before it had connected failed: a prefix such as sudo refused, or had nothing to execute.
-spec refused(command(), Why :: term()) -> {error, procket:posix()}.
refused([Program | _] = Command, Why) ->
    Path = progname(),
    case {Program =:= Path, Why} of
        %% The errno of execve(2), from OTP's erl_child_setup: the loader or the format of the executable is another system's.
        {true, {exit_status, 2}} -> not_started(Command, enoent);
        {true, {exit_status, 8}} -> not_started(Command, enoexec);
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
    Port = open_port({spawn_executable, Path}, [{args, ["--version"]}, exit_status, hide]),
    receive
        {Port, {exit_status, Status}} -> Status
    after 1000 ->
        true = port_close(Port),
        unknown
    end.

%% One whose answer to `attach' is not that of this version of the protocol.
-spec misunderstood(command(), Answer :: term(), Ours :: integer()) -> {error, eproto}.
misunderstood(Command, Answer, Ours) ->
    case Answer of
        {ok, Theirs, _} when Theirs =/= Ours -> procket_log:other_version(Command, Theirs, Ours);
        _ -> procket_log:refused(Command, {not_procket, Answer})
    end,
    {error, eproto}.

-spec to_string(command()) -> string().
to_string(Command) ->
    lists:flatten(lists:join(" ", Command)).

words(String) ->
    string:lexemes(String, " \t\n").

%% A prefix that could ask for a password is told not to.
non_interactive([Word, Next | Words]) ->
    Asks = lists:member(filename:basename(Word), ["sudo", "doas"]),
    case Asks andalso not lists:member(Next, ["-n", "--non-interactive"]) of
        true -> [Word, "-n" | non_interactive([Next | Words])];
        false -> [Word | non_interactive([Next | Words])]
    end;
non_interactive(Words) ->
    Words.

priv_dir() ->
    case code:priv_dir(procket) of
        {error, bad_name} ->
            Beam = code:which(?MODULE),
            filename:join(filename:dirname(filename:dirname(Beam)), "priv");
        Dir ->
            Dir
    end.
