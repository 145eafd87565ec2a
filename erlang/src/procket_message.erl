%% @private
%% Messages with control data: how descriptors of the BEAM go into them and come out.
-module(procket_message).

-export([detach/1, received/1]).

-define(SOL_SOCKET, 1).
-define(SCM_RIGHTS, 1).
%% The smallest control buffer in which a descriptor could come: `struct cmsghdr' and 4 bytes.
-define(RIGHTS_SIZE, 20).

%% Descriptors travel beside the request; a control message says only how many are its own.
-spec detach([procket:control()]) -> {[{integer(), integer(), binary() | non_neg_integer()}], [procket:fd()]}.
detach(Control) ->
    {Messages, FDs} = lists:mapfoldl(fun detach/2, [], Control),
    {Messages, lists:append(lists:reverse(FDs))}.

detach({Level, Type, Data} = Message, FDs) when is_integer(Level), is_integer(Type), is_binary(Data) ->
    case rights(Level, Type) of
        true when byte_size(Data) rem 4 =:= 0 ->
            Own = [FD || <<FD:32/native>> <= Data],
            {{Level, Type, length(Own)}, [Own | FDs]};
        true ->
            procket_error:badarg({control, Message});
        false ->
            {Message, FDs}
    end;
detach(Message, _FDs) ->
    procket_error:badarg({control, Message}).

%% What becomes of the answer to recvmsg.
-spec received(CtrlSize :: non_neg_integer()) -> result | fun((term(), [procket:fd()]) -> term()).
received(CtrlSize) when CtrlSize < ?RIGHTS_SIZE ->
    result;
received(_CtrlSize) ->
    fun
        ({ok, Data, MsgFlags, Control, Sockaddr}, FDs) ->
            {Attached, []} = lists:mapfoldl(fun attach/2, FDs, Control),
            {ok, Data, MsgFlags, Attached, Sockaddr};
        ({error, _} = Error, []) ->
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
