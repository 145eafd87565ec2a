%% @private
%% What the node does itself where the worker had no right to it: a node may have rights that do not pass to the programs that it starts,
%% as file capabilities of `beam.smp' do not.
%%
%% OTP's `socket' makes the call. To close a socket of that module makes the open file blocking, which a descriptor may share: so each
%% is used by a process that ends, which does not.
-module(procket_node).

-export([socket/2, bind/3, passed/0]).

%% The first descriptor that a service manager passes: SD_LISTEN_FDS_START.
-define(FIRST_PASSED, 3).

%% After the worker's answer to `socket': the descriptor, or that answer.
-spec socket(Answer, {non_neg_integer(), non_neg_integer(), non_neg_integer()}) -> Answer when
    Answer :: {ok, procket:fd()} | {error, procket:posix()}.
socket({error, Reason} = Refused, {Family, Type, Protocol}) when Reason =:= eperm; Reason =:= eacces ->
    Open = fun() ->
        {ok, Socket} = socket:open(Family, Type, Protocol),
        socket:getopt(Socket, {otp, fd})
    end,
    %% The caller duplicates it: if the caller is killed, the worker's answer is closed like any other.
    instead(Refused, Open, fun({ok, FD}) -> procket_calls:run(procket_calls:duplicate(FD)) end);
socket(Answer, _Numbers) ->
    Answer.

%% After the worker's answer to `bind', which a low port needs a right for.
-spec bind(Answer, procket:fd(), Sockaddr :: binary()) -> Answer when Answer :: ok | {error, procket:posix()}.
bind({error, eacces} = Refused, FD, Sockaddr) ->
    case procket_names:internet_address(Sockaddr) of
        none ->
            Refused;
        Address ->
            Bind = fun() ->
                {ok, Socket} = socket:open(FD, #{dup => true}),
                socket:bind(Socket, Address)
            end,
            instead(Refused, Bind, fun(ok) -> ok end)
    end;
bind(Answer, _FD, _Sockaddr) ->
    Answer.

%% `Use' of what `Make' returns in a process of its own, or `Refused' if either fails. The sockets of that process stay open until the
%% caller has used them, or has ended.
instead(Refused, Make, Use) ->
    {Caller, Tag} = {self(), make_ref()},
    {Pid, Monitor} = spawn_monitor(fun() ->
        Calling = monitor(process, Caller),
        Caller ! {Tag, try Make() catch error:Reason -> {error, Reason} end},
        receive
            {Tag, used} -> ok;
            {'DOWN', Calling, process, Caller, _} -> ok
        end
    end),
    receive
        {Tag, {error, _}} -> used(Pid, Monitor, Tag, Refused);
        {Tag, Made} -> used(Pid, Monitor, Tag, either(Use(Made), Refused));
        {'DOWN', Monitor, process, Pid, _} -> Refused
    end.

used(Pid, Monitor, Tag, Result) ->
    Pid ! {Tag, used},
    receive
        {'DOWN', Monitor, process, Pid, _} -> Result
    end.

either({error, _}, Refused) -> Refused;
either(Result, _Refused) -> Result.

%% The descriptors that a service manager passed to the node: sd_listen_fds_with_names(3).
-spec passed() -> [{Name :: string(), procket:fd()}] | {error, einval | ebadf}.
passed() ->
    case os:getenv("LISTEN_PID") =:= os:getpid() of
        true -> passed_descriptors(os:getenv("LISTEN_FDS", "0"), os:getenv("LISTEN_FDNAMES"));
        false -> []
    end.

passed_descriptors(Number, Names) ->
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
    case procket_calls:run(procket_calls:getsockname(FD, <<>>)) of
        {ok, _} -> true;
        {error, enotsock} -> true;
        {error, _} -> false
    end.
