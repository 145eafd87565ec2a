%% @private
%% The descriptors that a service manager passes.
-module(procket_passed).

-export([all/0]).

%% The first descriptor that a service manager passes: SD_LISTEN_FDS_START.
-define(FIRST_PASSED, 3).

%% What sd_listen_fds_with_names(3) says.
-spec all() -> [{Name :: string(), procket:fd()}] | {error, einval | ebadf}.
all() ->
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
        {error, _} -> not filelib:is_dir("/proc/self/fd") andalso is_open_by_call(FD)
    end.

%% Without proc(5), a call that changes nothing tells.
is_open_by_call(FD) when FD > 16#7fffffff ->
    false;
is_open_by_call(FD) ->
    case procket_call:run(procket_request:getsockname(FD, <<>>)) of
        {ok, _} -> true;
        {error, enotsock} -> true;
        {error, _} -> false
    end.
