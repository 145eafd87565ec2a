%% @private
%% Descriptors of the BEAM, closed with what OTP's `prim_file' exports (there is no documented way).
-module(procket_fd).

-export([close/1, into_socket/1, passed/0]).

%% The first descriptor that a service manager passes: SD_LISTEN_FDS_START.
-define(FIRST_PASSED, 3).

%% Closes a descriptor, whatever it is. See close(2).
-spec close(procket:fd()) -> ok | {error, procket:posix()}.
close(FD) when FD > 16#7fffffff ->
    {error, ebadf};
close(FD) ->
    case prim_file:file_desc_to_ref(FD, []) of
        {ok, Ref} -> prim_file:close(Ref);
        {error, Reason} -> {error, Reason}
    end.

%% An OTP socket in place of a descriptor: the descriptor is closed, the socket has a duplicate that it closes itself.
-spec into_socket(procket:fd()) -> {ok, socket:socket()} | {error, procket:posix() | {invalid, term()}}.
into_socket(FD) ->
    try
        socket:open(FD, #{dup => true})
    after
        _ = close(FD)
    end.

%% What sd_listen_fds_with_names(3) says.
-spec passed() -> [{Name :: string(), procket:fd()}] | {error, einval | ebadf}.
passed() ->
    case os:getenv("LISTEN_PID") =:= os:getpid() of
        true -> passed(os:getenv("LISTEN_FDS", "0"), os:getenv("LISTEN_FDNAMES"));
        false -> []
    end.

passed(Number, Names) ->
    case string:to_integer(Number) of
        {0, ""} ->
            [];
        {Count, ""} when Count > 0 ->
            Last = ?FIRST_PASSED + Count - 1,
            %% The last one first: what it says bounds the list.
            case is_open(Last) andalso lists:all(fun is_open/1, lists:seq(?FIRST_PASSED, Last)) of
                true -> named(names(Names, Count), lists:seq(?FIRST_PASSED, Last));
                false -> {error, ebadf}
            end;
        _ ->
            {error, einval}
    end.

names(false, Count) -> lists:duplicate(Count, "unknown");
names(Joined, _Count) -> string:split(Joined, ":", all).

named(Names, FDs) when length(Names) =:= length(FDs) -> lists:zip(Names, FDs);
named(_Names, _FDs) -> {error, einval}.

is_open(FD) ->
    case file:read_link_all("/proc/self/fd/" ++ integer_to_list(FD)) of
        {ok, _} -> true;
        {error, _} -> false
    end.
