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
    instead(Refused, fun() ->
        {ok, Socket} = socket:open(Family, Type, Protocol),
        {ok, FD} = socket:getopt(Socket, {otp, fd}),
        procket_call:run(procket_request:duplicate(FD))
    end);
socket(Answer, _Numbers) ->
    Answer.

%% After the worker's answer to `bind', which a low port needs a right for.
-spec bind(Answer, procket:fd(), Sockaddr :: binary()) -> Answer when Answer :: ok | {error, procket:posix()}.
bind({error, eacces} = Refused, FD, Sockaddr) ->
    case procket_platform:internet_address(Sockaddr) of
        none ->
            Refused;
        Address ->
            instead(Refused, fun() ->
                {ok, Socket} = socket:open(FD, #{dup => true}),
                socket:bind(Socket, Address)
            end)
    end;
bind(Answer, _FD, _Sockaddr) ->
    Answer.

%% What `Fun' returns, in a process of its own, or `Refused' where that fails too.
instead(Refused, Fun) ->
    {Caller, Tag} = {self(), make_ref()},
    {Pid, Monitor} = spawn_monitor(fun() -> Caller ! {Tag, result(Refused, Fun)} end),
    receive
        {'DOWN', Monitor, process, Pid, _} ->
            receive
                {Tag, Result} -> Result
            after 0 -> Refused
            end
    end.

result(Refused, Fun) ->
    try Fun() of
        {error, _} -> Refused;
        Result -> Result
    catch
        error:_ -> Refused
    end.
