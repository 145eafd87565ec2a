%% @private
%% What the node does itself where the worker had no right to it: a node may have rights that do not pass to the programs that it starts,
%% as file capabilities of `beam.smp' do not.
%%
%% OTP's `socket' makes the call. To close a socket of that module makes the open file blocking, which a descriptor may share: so each
%% is used by a process that ends, which does not.
-module(procket_node).

-export([socket/2, bind/3]).

%% After the worker's answer to `socket': the descriptor, or that answer.
-spec socket(Answer, {non_neg_integer(), non_neg_integer(), non_neg_integer()}) -> Answer when
    Answer :: {ok, procket:fd()} | {error, procket:posix()}.
socket({error, Reason} = Refused, {Family, Type, Protocol}) when Reason =:= eperm; Reason =:= eacces ->
    Open = fun() ->
        {ok, Socket} = socket:open(Family, Type, Protocol),
        socket:getopt(Socket, {otp, fd})
    end,
    %% The caller duplicates it: if the caller is killed, the worker's answer is closed like any other.
    instead(Refused, Open, fun({ok, FD}) -> procket_call:run(procket_request:duplicate(FD)) end);
socket(Answer, _Numbers) ->
    Answer.

%% After the worker's answer to `bind', which a low port needs a right for.
-spec bind(Answer, procket:fd(), Sockaddr :: binary()) -> Answer when Answer :: ok | {error, procket:posix()}.
bind({error, eacces} = Refused, FD, Sockaddr) ->
    case procket_platform:internet_address(Sockaddr) of
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
