%% @private
%% The Unix socket on which descriptors cross between the BEAM and a port process.
-module(procket_channel).

-include_lib("kernel/include/file.hrl").

-export([sweep/0, listen/1, path/1, secret/0, accept/3, unlisten/1]).
-export([send/5, receive_fds/2, fds/1, close/1]).

-export_type([channel/0, listener/0]).

-type channel() :: socket:socket().
-opaque listener() :: #{socket := socket:socket(), path := file:filename(), dir := file:filename() | undefined}.

%% The kernel passes at most so many descriptors with one message (SCM_MAX_FD).
-define(SCM_MAX_FD, 253).
%% Room for them in a control buffer: a header and 4 bytes each.
-define(CONTROL_SIZE, 16 + 4 * ?SCM_MAX_FD + 8).

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

%% One of another user is left alone: what is in it may be a link to anywhere.
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
    case byte_size(native(Path)) < procket:unix_path_max() of
        true ->
            case socket:open(local, stream, default) of
                {ok, Socket} -> bind_and_listen(Socket, Path, Dir);
                {error, Reason} -> {error, Reason}
            end;
        false ->
            {error, enametoolong}
    end.

bind_and_listen(Socket, Path, Dir) ->
    maybe_ok([
        fun() -> socket:bind(Socket, #{family => local, path => native(Path)}) end,
        fun() -> file:change_mode(Path, 8#600) end,
        fun() -> socket:listen(Socket, 8) end
    ], {Socket, Path, Dir}).

maybe_ok([], {Socket, Path, Dir}) ->
    {ok, #{socket => Socket, path => Path, dir => Dir}};
maybe_ok([Step | Steps], {Socket, _Path, _Dir} = All) ->
    case Step() of
        ok ->
            maybe_ok(Steps, All);
        {error, Reason} ->
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

%% The connection of the one that knows the secret. Others that connect are dropped.
-spec accept(listener(), Secret :: binary(), Timeout :: non_neg_integer()) ->
    {ok, channel()} | {error, procket:posix()}.
accept(#{socket := Socket} = Listener, Secret, Timeout) ->
    case socket:accept(Socket, Timeout) of
        {ok, Channel} ->
            case socket:recv(Channel, byte_size(Secret), [], 0) of
                {ok, Secret} ->
                    {ok, Channel};
                _ ->
                    _ = socket:close(Channel),
                    accept(Listener, Secret, Timeout)
            end;
        {error, timeout} ->
            {error, etimedout};
        {error, Reason} ->
            {error, Reason}
    end.

%% Stops listening and removes the path, and the directory where it is our own.
-spec unlisten(listener()) -> ok.
unlisten(#{socket := Socket, path := Path, dir := Dir}) ->
    _ = socket:close(Socket),
    _ = file:delete(Path),
    _ = [file:del_dir(Dir) || Dir =/= undefined],
    ok.

%% Sends a frame behind its header, with the BEAM's descriptors `FDs'. An error but `closed' and `etimedout': nothing was sent.
-spec send(channel(), Header :: binary(), Frame :: binary(), [procket:fd()], timeout()) ->
    ok | {error, procket:posix() | closed}.
send(Channel, Header, Frame, FDs, Timeout) ->
    case lists:all(fun(FD) -> FD =< 16#7fffffff end, FDs) of
        true -> send_message(Channel, [Header, Frame], FDs, Timeout);
        false -> {error, ebadf}
    end.

send_message(Channel, Iov, FDs, Timeout) ->
    Control = [#{level => socket, type => rights, data => <<<<FD:32/native>> || FD <- FDs>>} || FDs =/= []],
    case socket:sendmsg(Channel, #{iov => Iov, ctrl => Control}, [], Timeout) of
        ok -> ok;
        {ok, Rest} -> send_rest(Channel, Rest, Timeout);
        {error, timeout} -> {error, etimedout};
        {error, {Reason, _Rest}} -> {error, Reason};
        {error, Reason} -> {error, Reason}
    end.

send_rest(Channel, Rest, Timeout) ->
    case socket:sendmsg(Channel, #{iov => Rest}, [], Timeout) of
        ok -> ok;
        {ok, More} -> send_rest(Channel, More, Timeout);
        {error, _} -> {error, closed}
    end.

%% Takes `Count' descriptors, which the port process has already sent. They are open in the BEAM, and close on exec.
-spec receive_fds(channel(), Count :: pos_integer()) -> {ok, [procket:fd()]} | {error, procket:posix()}.
receive_fds(Channel, Count) ->
    case socket:recvmsg(Channel, 1, ?CONTROL_SIZE, [cmsg_cloexec], 1000) of
        {ok, #{iov := [<<0>>], ctrl := Control}} ->
            FDs = fds(Control),
            case length(FDs) of
                Count ->
                    {ok, FDs};
                _ ->
                    lists:foreach(fun procket_fd:close/1, FDs),
                    {error, emfile}
            end;
        {ok, _} ->
            {error, eproto};
        {error, timeout} ->
            {error, eproto};
        {error, Reason} ->
            {error, Reason}
    end.

%% The descriptors among control messages.
-spec fds([map()]) -> [procket:fd()].
fds(Control) ->
    [FD || #{level := socket, type := rights, data := Data} <- Control, <<FD:32/native>> <= Data].

-spec close(channel()) -> ok.
close(Channel) ->
    _ = socket:close(Channel),
    ok.

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
