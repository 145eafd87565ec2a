%% @private
%% What is executed for a port process: words, never a shell line.
-module(procket_command).

-include_lib("kernel/include/file.hrl").

-export([progname/0, worker/0, capture/0, filter/0, opener/2, is_lasting/1, execute/3, kill/1, to_string/1]).

-export_type([command/0]).

-type command() :: nonempty_list(string()).
%% The program, to be found on `PATH' where it has no `/', and its arguments.

%% The path of the port program: the application environment's `port_executable', else `priv/procket'.
-spec progname() -> string().
progname() ->
    Version = version(),
    case application:get_env(procket, port_executable) of
        {ok, Path} -> unicode:characters_to_list(Path);
        undefined -> own_program(Version)
    end.

%% What the node's configuration says is known once the application is loaded.
version() ->
    case application:get_key(procket, vsn) of
        {ok, Version} ->
            Version;
        undefined ->
            _ = application:load(procket),
            undefined
    end.

%% The code server knows where it is, and to ask it costs as much as a call does: it is asked once for each version.
own_program(Version) ->
    case persistent_term:get(?MODULE, none) of
        {Version, Program} when Version =/= undefined ->
            Program;
        _ ->
            Program = filename:join(priv_dir(), "procket"),
            ok = persistent_term:put(?MODULE, {Version, Program}),
            Program
    end.

-spec worker() -> command().
worker() ->
    [progname(), "worker"].

-spec capture() -> command().
capture() ->
    [progname(), "capture"].

%% The path of the compiler of filter expressions, which is beside the port program.
-spec filter() -> nonempty_string().
filter() ->
    progname() ++ "-filter".

%% The command of an opener behind a prefix, as the options `exec' and `progname' say.
-spec opener(Prefix :: string(), #{progname => string(), _ => _}) -> command().
opener(Prefix, Options) ->
    Program =
        case Options of
            #{progname := String} -> words(String);
            #{} -> [progname()]
        end,
    non_interactive(words(Prefix) ++ Program) ++ ["opener"].

%% Whether the command means the same later on: a program alone, or behind sudo or doas without options but `-n'. Other prefixes set a
%% scene that changes, as `ip netns exec' does, and a relative path depends on the directory.
-spec is_lasting(command()) -> boolean().
is_lasting([Program, "opener"]) ->
    filename:pathtype(Program) =:= absolute orelse filename:basename(Program) =:= Program;
is_lasting([Prefix, Option | [_, "opener"] = Command]) ->
    asks(Prefix) andalso is_silent(Option) andalso is_lasting(Command);
is_lasting(_) ->
    false.

%% Starts a program as a port; one without a `/' in its name is looked for on `PATH'.
%%
%% Each open_port/2 that fails costs the node a descriptor, so the file is looked at first. Whether this user may execute it only the
%% kernel can say, where not everybody may: one that was refused is not tried again until it has changed.
-spec execute(Program :: string(), Args :: [string() | binary()], Settings :: [term()]) -> {ok, port()} | {error, procket:posix()}.
execute(Program, Args, Settings) ->
    Path = find(Program),
    case runnable(Path) of
        {ok, State} ->
            try
                {ok, open_port({spawn_executable, Path}, [{args, Args} | Settings])}
            catch
                error:Reason ->
                    ok = note_refused(Reason, Path, State),
                    {error, posix(Reason)}
            end;
        {error, Reason} ->
            {error, posix(Reason)}
    end.

note_refused(eacces, Path, State) -> persistent_term:put({?MODULE, refused, Path}, State);
note_refused(_Reason, _Path, _State) -> ok.

find(Program) ->
    case filename:basename(Program) of
        Program -> os:find_executable(Program);
        _ -> filename:absname(Program)
    end.

%% What of a file changes when it can be executed by others than before.
runnable(false) ->
    {error, enoent};
runnable(Path) ->
    case file:read_file_info(Path, [raw, {time, posix}]) of
        {ok, #file_info{type = regular, mode = Mode, inode = Inode, ctime = Changed}} when Mode band 8#111 =/= 0 ->
            State = {Mode, Inode, Changed},
            case persistent_term:get({?MODULE, refused, Path}, none) of
                State -> {error, eacces};
                _ -> {ok, State}
            end;
        {ok, _} ->
            {error, eacces};
        {error, Reason} ->
            {error, Reason}
    end.

%% ENOTDIR: a path that leads into an archive.
posix(enotdir) -> enoent;
posix(system_limit) -> eagain;
posix(badarg) -> einval;
posix(Reason) when is_atom(Reason) -> Reason;
posix(_) -> einval.

%% Ends a program that does not do what it was started for, if this user may: not sudo, nor what it started.
-spec kill(port()) -> ok.
kill(Port) ->
    case erlang:port_info(Port, os_pid) of
        {os_pid, OsPid} -> signal(integer_to_list(OsPid));
        undefined -> ok
    end.

signal(OsPid) ->
    case execute("sh", ["-c", "kill -KILL " ++ OsPid ++ " 2>/dev/null"], [exit_status, hide]) of
        {ok, Port} ->
            receive
                {Port, {exit_status, _}} -> ok
            after 1000 -> true = port_close(Port)
            end;
        {error, _} ->
            ok
    end.

-spec to_string(command()) -> string().
to_string(Command) ->
    lists:flatten(lists:join(" ", Command)).

words(String) ->
    string:lexemes(String, " \t\n").

%% A prefix that could ask for a password is told not to.
non_interactive([Word, Next | Words]) ->
    case asks(Word) andalso not is_silent(Next) of
        true -> [Word, "-n" | non_interactive([Next | Words])];
        false -> [Word | non_interactive([Next | Words])]
    end;
non_interactive(Words) ->
    Words.

asks(Word) -> lists:member(filename:basename(Word), ["sudo", "doas"]).

is_silent(Option) -> lists:member(Option, ["-n", "--non-interactive"]).

priv_dir() ->
    case code:priv_dir(procket) of
        {error, bad_name} ->
            Beam = code:which(?MODULE),
            filename:join(filename:dirname(filename:dirname(Beam)), "priv");
        Dir ->
            Dir
    end.
