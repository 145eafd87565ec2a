%% @private
%% Data that are sent, and messages with control data: how descriptors of the BEAM go into them and come out.
-module(procket_message).

-export([head/1, sent/2, send/5, recv/5]).

%% No more than this of a stream is sent with one call, in bytes: a request has to hold it.
-define(LIMIT, 8_388_608).
-define(SOL_SOCKET, 1).
-define(SCM_RIGHTS, 1).
%% The smallest control buffer in which a descriptor could come: `struct cmsghdr' and 4 bytes.
-define(RIGHTS_SIZE, 20).

%% What one call sends of `Data'.
-spec head(binary()) -> binary().
head(<<Head:?LIMIT/binary, _/binary>>) -> Head;
head(Data) -> Data.

%% `ok' when all was sent.
-spec sent(Data :: binary(), {ok, non_neg_integer()} | {error, procket:posix()}) ->
    ok | {ok, non_neg_integer()} | {error, procket:posix()}.
sent(Data, {ok, Sent}) when Sent =:= byte_size(Data) -> ok;
sent(_Data, Result) -> Result.

-spec send(procket:fd(), binary(), integer(), [procket:control()], binary()) ->
    ok | {ok, non_neg_integer()} | {error, procket:posix()}.
send(FD, Data, Flags, Control, Sockaddr) ->
    {Requests, FDs} = lists:mapfoldl(fun detach/2, [], Control),
    Args = [head(Data), Flags, Requests, Sockaddr],
    sent(Data, procket_call:worker(sendmsg, Args, [FD | lists:append(lists:reverse(FDs))])).

%% Descriptors travel beside the request; the control message says only how many are its own.
detach({Level, Type, Data}, FDs) when is_integer(Level), is_integer(Type), is_binary(Data) ->
    case rights(Level, Type) of
        true when byte_size(Data) rem 4 =:= 0 ->
            Own = [FD || <<FD:32/native>> <= Data],
            {{Level, Type, length(Own)}, [Own | FDs]};
        true ->
            procket_error:badarg({control, {Level, Type, Data}});
        false ->
            {{Level, Type, Data}, FDs}
    end;
detach(Control, _FDs) ->
    procket_error:badarg({control, Control}).

-spec recv(procket:fd(), non_neg_integer(), integer(), non_neg_integer(), non_neg_integer()) ->
    {ok, binary(), integer(), [procket:control()], binary()} | {error, procket:posix()}.
recv(FD, Size, Flags, CtrlSize, Salen) ->
    Args = [Size, Flags, CtrlSize, Salen],
    Result =
        case CtrlSize < ?RIGHTS_SIZE of
            true -> {procket_call:worker(recvmsg, Args, [FD]), []};
            false -> procket_call:worker_fds(recvmsg, Args, [FD])
        end,
    case Result of
        {{ok, Data, MsgFlags, Control, Sockaddr}, FDs} ->
            {Attached, []} = lists:mapfoldl(fun attach/2, FDs, Control),
            {ok, Data, MsgFlags, Attached, Sockaddr};
        {{error, _} = Error, []} ->
            Error;
        {error, _} = Error ->
            Error
    end.

attach({Level, Type, Count}, FDs) when is_integer(Count) ->
    {Own, Others} = lists:split(Count, FDs),
    {{Level, Type, <<<<FD:32/native>> || FD <- Own>>}, Others};
attach(Control, FDs) ->
    {Control, FDs}.

rights(Level, Type) ->
    {SolSocket, ScmRights} = rights_numbers(os:type()),
    Level =:= SolSocket andalso Type =:= ScmRights.

rights_numbers({unix, linux}) -> {?SOL_SOCKET, ?SCM_RIGHTS};
rights_numbers({unix, _}) -> {16#ffff, ?SCM_RIGHTS}.
