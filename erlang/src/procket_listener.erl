%% @private
%% The Unix socket to which a port process connects as it starts, in a directory that only this user may enter.
-module(procket_listener).

-include_lib("kernel/include/file.hrl").

-export([sweep/0, listen/1, path/1, secret/0, accept/3, close/1]).

-export_type([listener/0]).

-opaque listener() :: #{socket := socket:socket(), path := file:filename(), dir := file:filename() | undefined}.

%% The size of `sun_path' in the system that has the shortest, in bytes: unix(7).
-define(UNIX_PATH_MAX, 104).
%% What a directory of a socket is named, in front of the node's process identifier and a random number; and how old one is, in seconds,
%% that no start of a port process can still be using.
-define(PREFIX, "procket-").
-define(SOCKET, "s").
-define(OLD, 60).

%% Removes the directories that nodes of this user left which were killed as they started a port process.
-spec sweep() -> ok.
sweep() ->
    case file:read_file_info("/proc/self") of
        {ok, #file_info{uid = User}} ->
            Old = erlang:system_time(second) - ?OLD,
            lists:foreach(fun(Tmp) -> sweep(Tmp, User, Old) end, lists:usort(tmp_dirs()));
        {error, _} ->
            ok
    end.

sweep(Tmp, User, Old) ->
    Names = case file:list_dir(Tmp) of {ok, All} -> All; {error, _} -> [] end,
    lists:foreach(fun(Name) -> remove_old(filename:join(Tmp, Name), User, Old) end, [Name || ?PREFIX ++ _ = Name <- Names, is_own_name(Name)]).

is_own_name(Name) ->
    re:run(Name, "^" ?PREFIX "[0-9]+-[0-9A-Fa-f]{16}$", [{capture, none}]) =:= match.

%% Leaves alone one of another user: what is in it may be a link to anywhere.
remove_old(Dir, User, Old) ->
    case file:read_link_info(Dir, [{time, posix}]) of
        {ok, #file_info{type = directory, uid = User, mtime = Time}} when Time < Old ->
            _ = file:delete(filename:join(Dir, ?SOCKET)),
            _ = file:del_dir(Dir),
            ok;
        _ ->
            ok
    end.

%% Listens at `Path', or in a directory of its own that only this user may enter.
-spec listen(file:filename() | undefined) -> {ok, listener()} | {error, procket:posix()}.
listen(undefined) ->
    case random_bytes(8) of
        {ok, Random} -> listen_in_directory(?PREFIX ++ os:getpid() ++ "-" ++ binary_to_list(binary:encode_hex(Random)));
        {error, Reason} -> {error, Reason}
    end;
listen(Path) ->
    listen_at(Path, undefined).

listen_in_directory(Name) ->
    Dirs = tmp_dirs(),
    case listen_below(Dirs, Name, enoent) of
        {ok, Listener} ->
            {ok, Listener};
        {error, Reason} ->
            procket_log:no_directory(Dirs, Reason),
            {error, Reason}
    end.

listen_below([], _Name, Reason) ->
    {error, Reason};
listen_below([Tmp | Others], Name, _Reason) ->
    Dir = filename:join(Tmp, Name),
    Path = filename:join(Dir, ?SOCKET),
    case make_private_dir(Dir) of
        ok ->
            case listen_at(Path, Dir) of
                {ok, Listener} ->
                    {ok, Listener};
                {error, Reason} ->
                    _ = file:del_dir(Dir),
                    listen_below(Others, Name, Reason)
            end;
        {error, Reason} ->
            listen_below(Others, Name, Reason)
    end.

listen_at(Path, Dir) ->
    case byte_size(native(Path)) < ?UNIX_PATH_MAX of
        true ->
            case socket:open(local, stream, default) of
                {ok, Socket} -> listen_on(Socket, Path, Dir);
                {error, Reason} -> {error, Reason}
            end;
        false ->
            {error, enametoolong}
    end.

listen_on(Socket, Path, Dir) ->
    try
        ok = socket:bind(Socket, #{family => local, path => native(Path)}),
        ok = file:change_mode(Path, 8#600),
        ok = socket:listen(Socket, 8),
        {ok, #{socket => Socket, path => Path, dir => Dir}}
    catch
        error:{badmatch, {error, Reason}} ->
            _ = socket:close(Socket),
            {error, Reason}
    end.

-spec path(listener()) -> binary().
path(#{path := Path}) ->
    native(Path).

%% What the port process proves itself with.
-spec secret() -> {ok, binary()} | {error, procket:posix()}.
secret() ->
    random_bytes(32).

%% The connection of the process that knows the secret. Others that connect are dropped.
-spec accept(listener(), Secret :: binary(), Timeout :: non_neg_integer()) ->
    {ok, socket:socket()} | {error, procket:posix()}.
accept(#{socket := Listening} = Listener, Secret, Timeout) ->
    case socket:accept(Listening, Timeout) of
        {ok, Socket} ->
            case socket:recv(Socket, byte_size(Secret), [], 0) of
                {ok, Secret} ->
                    {ok, Socket};
                _ ->
                    _ = socket:close(Socket),
                    accept(Listener, Secret, Timeout)
            end;
        {error, timeout} ->
            {error, etimedout};
        {error, Reason} ->
            {error, Reason}
    end.

%% Stops listening and removes the path, and the directory that was made for it.
-spec close(listener()) -> ok.
close(#{socket := Socket, path := Path, dir := Dir}) ->
    _ = socket:close(Socket),
    _ = file:delete(Path),
    case Dir of
        undefined -> ok;
        _ -> _ = file:del_dir(Dir), ok
    end.

make_private_dir(Dir) ->
    case file:make_dir(Dir) of
        ok -> file:change_mode(Dir, 8#700);
        {error, _} = Error -> Error
    end.

%% Behind TMPDIR and /tmp: what can be written where the file system is read-only, under systemd and in a container.
tmp_dirs() ->
    Set = [hd(string:split(os:getenv(Variable, ""), ":")) || Variable <- ["TMPDIR", "RUNTIME_DIRECTORY"]],
    [Dir || Dir <- Set, Dir =/= ""] ++ ["/tmp", "/dev/shm"].

native(Path) ->
    unicode:characters_to_binary(Path, unicode, file:native_name_encoding()).

random_bytes(Size) ->
    case file:open("/dev/urandom", [read, raw, binary]) of
        {ok, File} ->
            Read = file:read(File, Size),
            ok = file:close(File),
            case Read of
                {ok, Bytes} -> {ok, Bytes};
                _ -> {error, eio}
            end;
        {error, Reason} when is_atom(Reason) ->
            {error, Reason}
    end.
