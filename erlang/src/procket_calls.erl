%% @private
%% The calls of the worker: for each a function of the wire, its arguments, the descriptors that go with it, and how its answer is read.
%% {@link procket} makes one of these at a time, `procket:call/1' several.
-module(procket_calls).

-export([run/1, worker/2, worker/3]).
-export([socket/3, bind/2, connect/2, listen/1, listen/2, accept/1, accept/2, getsockname/2]).
-export([recv/2, recvfrom/2, recvfrom/4, recvmsg/4, recvmsg/5, recvmmsg/5]).
-export([sendto/2, sendto/3, sendto/4, sendmsg/4, sendmsg/5, sendmmsg/3]).
-export([read/2, write/2, writev/2]).
-export([setsockopt/4, getsockopt/4, ioctl/3, set_sock_nonblock/1, setns/1, setns/2]).
-export([batch/1, duplicate/1]).

-export_type([request/0]).

-type request() :: {Function :: atom(), Args :: [term()], [procket:fd()], decode()}.
-type decode() ::
    result
    | fun((Result :: term()) -> term())
    %% The answer may bring descriptors.
    | fun((Result :: term(), [procket:fd()]) -> term()).

-define(BACKLOG, 128).
%% No more than this of a stream is sent with one call, in bytes: a request has to hold it.
-define(LIMIT, 8_388_608).
%% The most messages that one call sends or receives: UIO_MAXIOV of Linux.
-define(MOST_MESSAGES, 1024).
-define(is_fd(FD), (is_integer(FD) andalso FD >= 0)).
-define(is_size(N), (is_integer(N) andalso N >= 0)).
-define(is_int32(N), (is_integer(N) andalso N >= -16#80000000 andalso N =< 16#7fffffff)).
-define(is_constant(C), (is_atom(C) orelse ?is_int32(C))).

%% The functions of {@link procket} that may stand in `procket:call/1'.
-define(CALLS, [
    {socket, 3}, {bind, 2}, {connect, 2}, {listen, 1}, {listen, 2}, {accept, 1}, {accept, 2}, {getsockname, 2},
    {recv, 2}, {recvfrom, 2}, {recvfrom, 4}, {recvmsg, 4}, {recvmsg, 5}, {recvmmsg, 5},
    {sendto, 2}, {sendto, 3}, {sendto, 4}, {sendmsg, 4}, {sendmsg, 5}, {sendmmsg, 3},
    {read, 2}, {write, 2}, {writev, 2},
    {setsockopt, 4}, {getsockopt, 4}, {ioctl, 3}, {set_sock_nonblock, 1}, {setns, 1}, {setns, 2}
]).

%% Makes a call.
-spec run(request()) -> term().
run({Function, Args, FDs, Decode}) ->
    case procket_client:call(worker, Function, Args, FDs, is_function(Decode, 2)) of
        {error, _} = Error -> decode(Function, Decode, Error, []);
        {Result, New} -> decode(Function, Decode, Result, New)
    end.

%% Calls a function of the worker that brings no descriptor.
-spec worker(Function :: atom(), Args :: [term()]) -> term().
worker(Function, Args) ->
    worker(Function, Args, []).

%% The same with descriptors for it to act on.
-spec worker(Function :: atom(), Args :: [term()], [procket:fd()]) -> term().
worker(Function, Args, FDs) ->
    run({Function, Args, FDs, result}).

%% What the caller gets for what the worker has answered. An argument that the worker does not take raises `badarg'.
-spec decode(atom(), decode(), Result :: term(), [procket:fd()]) -> term().
decode(Function, _, {error, {badarg, N}}, _) -> procket_error:badarg({Function, N});
decode(_, _, {error, {undef, _}}, _) -> {error, enosys};
decode(_, Decode, Result, FDs) when is_function(Decode, 2) -> Decode(Result, FDs);
decode(_, _, {error, _} = Error, []) -> Error;
decode(_, result, Result, []) -> Result;
decode(_, Decode, Result, []) -> Decode(Result).

-spec socket(procket:family(), procket:type(), procket:protocol()) -> request().
socket(Family, Type, Protocol) ->
    {F, T, P} = procket_open:socket_numbers(Family, Type, Protocol),
    {socket, [F, T, P], [], fun one_descriptor/2}.

%% Another descriptor of the same open file.
-spec duplicate(procket:fd()) -> request().
duplicate(FD) ->
    {duplicate, [], [FD], fun one_descriptor/2}.

one_descriptor(ok, [FD]) -> {ok, FD};
one_descriptor({error, _} = Error, []) -> Error.

-spec bind(procket:fd(), binary()) -> request().
bind(FD, Sockaddr) when ?is_fd(FD), is_binary(Sockaddr) ->
    at({bind, [Sockaddr], [FD], result}, Sockaddr).

-spec connect(procket:fd(), binary()) -> request().
connect(FD, Sockaddr) when ?is_fd(FD), is_binary(Sockaddr) ->
    at({connect, [Sockaddr], [FD], result}, Sockaddr).

%% A call with an address: the path of a Unix socket may be relative.
at(Request, Sockaddr) ->
    case procket_names:has_relative_path(Sockaddr) of
        true -> within(Request);
        false -> Request
    end.

%% Relative paths are those in the node's working directory: the worker's is another.
within({Function, Args, FDs, Decode}) ->
    {within, [working_directory(), Function, Args], FDs, Decode}.

working_directory() ->
    case prim_file:get_cwd() of
        {ok, Directory} -> unicode:characters_to_binary(Directory, unicode, file:native_name_encoding());
        {error, {no_translation, Directory}} -> Directory;
        %% It has been removed. So it is for the worker: enoent.
        {error, _} -> <<>>
    end.

-spec listen(procket:fd()) -> request().
listen(FD) ->
    listen(FD, ?BACKLOG).

-spec listen(procket:fd(), integer()) -> request().
listen(FD, Backlog) when ?is_fd(FD), ?is_int32(Backlog) ->
    {listen, [Backlog], [FD], result}.

-spec accept(procket:fd()) -> request().
accept(FD) when ?is_fd(FD) ->
    {accept, [0], [FD], fun
        ({ok, <<>>}, [FD2]) -> {ok, FD2};
        ({error, _} = Error, []) -> Error
    end}.

-spec accept(procket:fd(), non_neg_integer()) -> request().
accept(FD, Salen) when ?is_fd(FD), ?is_size(Salen) ->
    {accept, [Salen], [FD], fun
        ({ok, Sockaddr}, [FD2]) -> {ok, FD2, Sockaddr};
        ({error, _} = Error, []) -> Error
    end}.

-spec getsockname(procket:fd(), binary()) -> request().
getsockname(FD, Sockaddr) when ?is_fd(FD), is_binary(Sockaddr) ->
    {getsockname, [byte_size(Sockaddr)], [FD], result}.

-spec recv(procket:fd(), non_neg_integer()) -> request().
recv(FD, Size) ->
    recvfrom(FD, Size).

-spec recvfrom(procket:fd(), non_neg_integer()) -> request().
recvfrom(FD, Size) when ?is_fd(FD), ?is_size(Size) ->
    {recvfrom, [Size, 0, 0], [FD], fun({ok, Data, <<>>}) -> {ok, Data} end}.

-spec recvfrom(procket:fd(), non_neg_integer(), integer(), non_neg_integer()) -> request().
recvfrom(FD, Size, Flags, Salen) when ?is_fd(FD), ?is_size(Size), ?is_int32(Flags), ?is_size(Salen) ->
    {recvfrom, [Size, Flags, Salen], [FD], result}.

-spec recvmsg(procket:fd(), non_neg_integer(), integer(), non_neg_integer()) -> request().
recvmsg(FD, Size, Flags, CtrlSize) ->
    {recvmsg, Args, FDs, Decode} = recvmsg(FD, Size, Flags, CtrlSize, 0),
    {recvmsg, Args, FDs, without_address(Decode)}.

without_address(result) ->
    fun({ok, Data, MsgFlags, Control, <<>>}) -> {ok, Data, MsgFlags, Control} end;
without_address(Decode) ->
    fun(Result, New) ->
        case Decode(Result, New) of
            {ok, Data, MsgFlags, Control, <<>>} -> {ok, Data, MsgFlags, Control};
            {error, _} = Error -> Error
        end
    end.

-spec recvmsg(procket:fd(), non_neg_integer(), integer(), non_neg_integer(), non_neg_integer()) -> request().
recvmsg(FD, Size, Flags, CtrlSize, Salen) when
    ?is_fd(FD), ?is_size(Size), ?is_int32(Flags), ?is_size(CtrlSize), ?is_size(Salen)
->
    {recvmsg, [Size, Flags, CtrlSize, Salen], [FD], procket_message:received(CtrlSize)}.

-spec recvmmsg(procket:fd(), pos_integer(), non_neg_integer(), integer(), non_neg_integer()) -> request().
recvmmsg(FD, Count, Size, Flags, Salen) when
    ?is_fd(FD), is_integer(Count), Count > 0, ?is_size(Size), ?is_int32(Flags), ?is_size(Salen)
->
    {recvmmsg, [min(Count, ?MOST_MESSAGES), Size, Flags, Salen], [FD], result}.

-spec sendto(procket:fd(), binary()) -> request().
sendto(FD, Data) ->
    sendto(FD, Data, 0).

-spec sendto(procket:fd(), binary(), integer()) -> request().
sendto(FD, Data, Flags) ->
    sendto(FD, Data, Flags, <<>>).

-spec sendto(procket:fd(), binary(), integer(), binary()) -> request().
sendto(FD, Data, Flags, Sockaddr) when ?is_fd(FD), is_binary(Data), ?is_int32(Flags), is_binary(Sockaddr) ->
    at({sendto, [head(Data), Flags, Sockaddr], [FD], sent(Data)}, Sockaddr).

-spec sendmsg(procket:fd(), binary(), integer(), [procket:control()]) -> request().
sendmsg(FD, Data, Flags, Ctrl) ->
    sendmsg(FD, Data, Flags, Ctrl, <<>>).

-spec sendmsg(procket:fd(), binary(), integer(), [procket:control()], binary()) -> request().
sendmsg(FD, Data, Flags, Ctrl, Sockaddr) when
    ?is_fd(FD), is_binary(Data), ?is_int32(Flags), is_list(Ctrl), is_binary(Sockaddr)
->
    {Control, FDs} = procket_message:detach(Ctrl),
    at({sendmsg, [head(Data), Flags, Control, Sockaddr], [FD | FDs], sent(Data)}, Sockaddr).

-spec sendmmsg(procket:fd(), [{binary(), binary()}], integer()) -> request().
sendmmsg(FD, Messages, Flags) when ?is_fd(FD), is_list(Messages), ?is_int32(Flags) ->
    Taken = messages(Messages, ?MOST_MESSAGES, ?LIMIT),
    Request = {sendmmsg, [Taken, Flags], [FD], result},
    case lists:any(fun({_, Sockaddr}) -> procket_names:has_relative_path(Sockaddr) end, Taken) of
        true -> within(Request);
        false -> Request
    end.

%% As many messages as one call takes: the first ones.
messages([{Data, Sockaddr} | Messages], Count, Room) when is_binary(Data), is_binary(Sockaddr) ->
    Left = Room - byte_size(Data),
    case Count =:= ?MOST_MESSAGES orelse Count > 0 andalso Left >= 0 of
        true -> [{Data, Sockaddr} | messages(Messages, Count - 1, Left)];
        false -> []
    end;
messages([], _Count, _Room) ->
    [];
messages(Messages, _Count, _Room) ->
    procket_error:badarg({messages, Messages}).

-spec read(procket:fd(), non_neg_integer()) -> request().
read(FD, Length) when ?is_fd(FD), ?is_size(Length) ->
    {read, [Length], [FD], result}.

-spec write(procket:fd(), binary() | [binary()]) -> request().
write(FD, Data) when ?is_fd(FD), is_binary(Data) ->
    {write, [head(Data)], [FD], sent(Data)};
write(FD, Data) when is_list(Data) ->
    writev(FD, Data).

-spec writev(procket:fd(), [binary()]) -> request().
writev(FD, [_ | _] = Data) ->
    write(FD, iolist_to_binary(Data));
writev(_FD, []) ->
    procket_error:badarg({data, []}).

%% What one call sends of `Data'.
head(<<Head:?LIMIT/binary, _/binary>>) -> Head;
head(Data) -> Data.

%% `ok' when all was sent.
sent(Data) ->
    Size = byte_size(Data),
    fun
        ({ok, Sent}) when Sent =:= Size -> ok;
        ({ok, Sent}) -> {ok, Sent}
    end.

-spec setsockopt(procket:fd(), procket:constant(), procket:constant(), binary()) -> request().
setsockopt(FD, Level, Opt, Value) when ?is_fd(FD), ?is_constant(Level), ?is_constant(Opt), is_binary(Value) ->
    {setsockopt, [Level, Opt, Value], [FD], result}.

-spec getsockopt(procket:fd(), procket:constant(), procket:constant(), binary()) -> request().
getsockopt(FD, Level, Opt, Value) when ?is_fd(FD), ?is_constant(Level), ?is_constant(Opt), is_binary(Value) ->
    {getsockopt, [Level, Opt, Value], [FD], result}.

-spec ioctl(procket:fd(), integer(), binary() | integer()) -> request().
ioctl(FD, Request, Arg) when ?is_fd(FD), is_integer(Request), (is_binary(Arg) orelse is_integer(Arg)) ->
    {ioctl, [Request, Arg], [FD], result}.

-spec set_sock_nonblock(procket:fd()) -> request().
set_sock_nonblock(FD) when ?is_fd(FD) ->
    {set_sock_nonblock, [], [FD], result}.

-spec setns(file:filename()) -> request().
setns(Path) ->
    setns(Path, 0).

-spec setns(file:filename(), integer()) -> request().
setns(Path, NsType) when (is_list(Path) orelse is_binary(Path)), ?is_int32(NsType) ->
    case procket_fd:open(unicode:characters_to_binary(Path)) of
        %% The file is closed with the answer, or with the process that calls.
        {ok, File, FD} -> {setns, [NsType], [FD], fun(Result, []) -> ok = file:close(File), Result end};
        {error, badarg} -> procket_error:badarg({path, Path});
        %% In a batch the other calls are made all the same.
        {error, Reason} -> {setns, [NsType], [], fun
            ({error, {nofd, setns}}, []) -> {error, Reason};
            ({error, _} = Error, []) -> Error
        end}
    end.

%% Several calls in one exchange.
-spec batch([{atom(), [term()]}]) -> request().
batch(Calls) ->
    Requests = [request(Call) || Call <- Calls],
    {Args, FDs} = procket_queue:batch([{Function, Args, FDs} || {Function, Args, FDs, _} <- Requests]),
    {batch, [Args], FDs, fun
        ({ok, Results}, New) ->
            %% A bad argument raises: then nobody has what the other calls brought.
            try
                [
                    decode(Function, Decode, Result, Own)
                 || {{Function, _, _, Decode}, {Result, Own}} <- lists:zip(Requests, procket_queue:split(Results, New))
                ]
            catch
                Class:Reason:Stack ->
                    lists:foreach(fun procket_fd:close/1, New),
                    erlang:raise(Class, Reason, Stack)
            end;
        ({error, _} = Error, []) ->
            Error
    end}.

request({Function, Args} = Call) when is_atom(Function), is_list(Args) ->
    case lists:member({Function, length(Args)}, ?CALLS) of
        true -> apply(?MODULE, Function, Args);
        false -> procket_error:badarg({call, Call})
    end;
request(Call) ->
    procket_error:badarg({call, Call}).
