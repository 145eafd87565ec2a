%% @private
%% A connection to a port process: a Unix socket on which frames with a length of 32 bits cross both ways, and descriptors with
%% them (SCM_RIGHTS). See docs/protocol.md, "Connections".
%%
%% A server reads and writes without waiting. What the socket does not take is kept; `$socket' messages tell when to go on.
-module(procket_connection).

-export([new/1, send/3, is_blocked/1, handle/2, close/1]).
-export([send_now/4, receive_now/3, call_now/4]).

-export_type([connection/0, frame/0]).

%% Room for the control message of the most descriptors that the kernel passes with a message, SCM_MAX_FD: a header and 4 bytes each.
-define(CONTROL_SIZE, (16 + 4 * 254)).
%% How much is received at once, in bytes.
-define(RECEIVE_SIZE, 65_536).
%% The longest frame, in bytes.
-define(MAX_FRAME, 16#1000000).

-type frame() :: {Encoded :: binary(), [procket:fd()]}.

-record(connection, {
    socket :: socket:socket(),
    %% What has come of the next frame, and its descriptors.
    received = <<>> :: binary(),
    fds = [] :: [procket:fd()],
    %% Frames that the socket has not taken, or a part of one.
    unsent = queue:new() :: queue:queue(iodata()),
    %% The writes and reads that wait for a `$socket' message.
    writing :: undefined | reference(),
    reading :: undefined | reference()
}).

-opaque connection() :: #connection{}.

%% Takes over a socket of the calling process and begins to read: the frames that are there already. It is closed if that fails.
-spec new(socket:socket()) -> {ok, [frame()], connection()} | {error, term()}.
new(Socket) ->
    _ = socket:setopt(Socket, {otp, rcvbuf}, ?RECEIVE_SIZE),
    case read(#connection{socket = Socket}, []) of
        {error, Reason, Connection} ->
            close(Connection),
            {error, Reason};
        Read ->
            Read
    end.

%% Sends a frame. `blocked': nothing was sent, because descriptors cannot be kept: their numbers may mean others later. It can be sent
%% again when the connection is no longer blocked, {@link is_blocked/1}. An error but `closed': nothing was sent.
-spec send(iodata(), [procket:fd()], connection()) -> {ok | blocked, connection()} | {error, procket:posix() | closed}.
send(Frame, FDs, #connection{socket = Socket, writing = Writing, unsent = Unsent} = Connection) ->
    case message(Frame, FDs) of
        {error, _} = Error -> Error;
        Message when Writing =:= undefined -> sent(socket:sendmsg(Socket, Message, [], nowait), Message, Connection);
        #{iov := Iov, ctrl := []} -> {ok, Connection#connection{unsent = queue:in(Iov, Unsent)}};
        #{} -> {blocked, Connection}
    end.

sent(ok, _Message, Connection) ->
    {ok, Connection};
sent({ok, Rest}, _Message, Connection) ->
    write(Connection, Rest);
sent({select, {{select_info, _, Handle}, Rest}}, _Message, #connection{unsent = Unsent} = Connection) ->
    {ok, Connection#connection{unsent = queue:in_r(Rest, Unsent), writing = Handle}};
%% Nothing was sent.
sent({select, {select_info, _, Handle}}, #{iov := Iov, ctrl := []}, #connection{unsent = Unsent} = Connection) ->
    {ok, Connection#connection{unsent = queue:in_r(Iov, Unsent), writing = Handle}};
sent({select, {select_info, _, Handle}}, _Message, Connection) ->
    {blocked, Connection#connection{writing = Handle}};
sent({error, {Reason, _Rest}}, _Message, _Connection) ->
    {error, Reason};
sent({error, Reason}, _Message, _Connection) ->
    {error, Reason}.

%% Whether something that was sent still waits for room in the socket.
-spec is_blocked(connection()) -> boolean().
is_blocked(#connection{writing = Writing}) -> Writing =/= undefined.

%% Takes a message of the process: the frames that have come, if the message is about this connection. With an error too, the connection
%% that is returned is the one to close: descriptors may have come with what is no frame.
-spec handle(Message :: term(), connection()) -> {ok, [frame()], connection()} | {error, term(), connection()} | unknown.
handle({'$socket', Socket, select, Handle}, #connection{socket = Socket, reading = Handle} = Connection) ->
    read(Connection#connection{reading = undefined}, []);
handle({'$socket', Socket, select, Handle}, #connection{socket = Socket, writing = Handle} = Connection) ->
    case write_on(Connection#connection{writing = undefined}) of
        {ok, Written} -> {ok, [], Written};
        {error, Reason} -> {error, Reason, Connection}
    end;
handle({'$socket', Socket, abort, {_Handle, Reason}}, #connection{socket = Socket} = Connection) ->
    {error, Reason, Connection};
%% One that was superseded.
handle({'$socket', Socket, select, _Handle}, #connection{socket = Socket} = Connection) ->
    {ok, [], Connection};
handle(_Message, _Connection) ->
    unknown.

-spec close(connection()) -> ok.
close(#connection{socket = Socket, fds = FDs}) ->
    lists:foreach(fun procket_fd:close/1, FDs),
    _ = socket:close(Socket),
    ok.

write_on(#connection{unsent = Unsent} = Connection) ->
    case queue:out(Unsent) of
        {empty, _} -> {ok, Connection};
        {{value, Iov}, Rest} -> write(Connection#connection{unsent = Rest}, Iov)
    end.

write(#connection{socket = Socket, unsent = Unsent} = Connection, Iov) ->
    case socket:sendmsg(Socket, #{iov => erlang:iolist_to_iovec(Iov)}, [], nowait) of
        ok -> write_on(Connection);
        {ok, Rest} -> write(Connection, Rest);
        {select, {{select_info, _, Handle}, Rest}} -> {ok, Connection#connection{unsent = queue:in_r(Rest, Unsent), writing = Handle}};
        {select, {select_info, _, Handle}} -> {ok, Connection#connection{unsent = queue:in_r(Iov, Unsent), writing = Handle}};
        {error, {Reason, _}} -> {error, Reason};
        {error, Reason} -> {error, Reason}
    end.

read(#connection{socket = Socket} = Connection, Frames) ->
    case socket:recvmsg(Socket, missing(Connection), ?CONTROL_SIZE, [cmsg_cloexec], nowait) of
        {ok, #{iov := [], ctrl := []}} ->
            closed(closed, Frames, Connection);
        {ok, #{iov := Iov, ctrl := Control}} ->
            case received(iolist_to_binary(Iov), fds(Control), Connection, Frames) of
                {ok, More, Read} -> read(Read, More);
                {error, _, _} = Error -> Error
            end;
        {select, {select_info, _, Handle}} ->
            {ok, lists:reverse(Frames), Connection#connection{reading = Handle}};
        {error, Reason} ->
            closed(Reason, Frames, Connection)
    end.

%% What came before the end is still handed on; the next read tells the end again.
closed(_Reason, [_ | _] = Frames, Connection) ->
    Handle = make_ref(),
    self() ! {'$socket', Connection#connection.socket, select, Handle},
    {ok, lists:reverse(Frames), Connection#connection{reading = Handle}};
closed(Reason, [], Connection) ->
    {error, Reason, Connection}.

%% How much to ask for: a long frame comes in few reads.
missing(#connection{received = <<Size:32, Begun/binary>>}) -> max(?RECEIVE_SIZE, Size - byte_size(Begun));
missing(#connection{}) -> ?RECEIVE_SIZE.

received(Bytes, FDs, #connection{received = Before} = Connection, Frames) ->
    case frames(<<Before/binary, Bytes/binary>>, Connection, Frames) of
        {ok, More, Read} when FDs =:= [] -> {ok, More, Read};
        %% A read ends behind the byte that descriptors come with, and that byte begins their frame.
        {ok, More, #connection{received = <<_>>, fds = []} = Read} -> {ok, More, Read#connection{fds = FDs}};
        {_, More, #connection{fds = Pending} = Read} ->
            {error, eproto, Read#connection{fds = lists:append([FDs, Pending | [Came || {_, Came} <- More]])}}
    end.

frames(<<Size:32, _/binary>>, Connection, Frames) when Size > ?MAX_FRAME ->
    {too_long, Frames, Connection};
frames(<<Size:32, Frame:Size/binary, Rest/binary>>, #connection{fds = FDs} = Connection, Frames) ->
    frames(Rest, Connection#connection{fds = []}, [{Frame, FDs} | Frames]);
frames(Rest, Connection, Frames) ->
    {ok, Frames, Connection#connection{received = Rest}}.

%% Of a socket on which the caller waits: the direct connection, and one that is being set up.

%% Sends a frame. An error but `closed' and `etimedout': nothing was sent.
-spec send_now(socket:socket(), iodata(), [procket:fd()], timeout()) -> ok | {error, procket:posix() | closed}.
send_now(Socket, Frame, FDs, Timeout) ->
    case message(Frame, FDs) of
        {error, _} = Error ->
            Error;
        Message ->
            case socket:sendmsg(Socket, Message, [], Timeout) of
                ok -> ok;
                {ok, Rest} -> send_rest(Socket, Rest, Timeout);
                {error, timeout} -> {error, etimedout};
                {error, {Reason, _Rest}} -> {error, Reason};
                {error, Reason} -> {error, Reason}
            end
    end.

send_rest(Socket, Rest, Timeout) ->
    case socket:sendmsg(Socket, #{iov => Rest}, [], Timeout) of
        ok -> ok;
        {ok, More} -> send_rest(Socket, More, Timeout);
        {error, _} -> {error, closed}
    end.

%% Receives bytes of a frame, with the descriptors that may come with the first of them.
-spec receive_now(socket:socket(), Brings :: boolean(), timeout()) -> {ok, binary(), [procket:fd()]} | {error, term()}.
receive_now(Socket, false, Timeout) ->
    case socket:recv(Socket, 0, [], Timeout) of
        {ok, Bytes} -> {ok, Bytes, []};
        {error, _} = Error -> Error
    end;
receive_now(Socket, true, Timeout) ->
    case socket:recvmsg(Socket, 0, ?CONTROL_SIZE, [cmsg_cloexec], Timeout) of
        {ok, #{iov := [], ctrl := []}} -> {error, closed};
        {ok, #{iov := Iov, ctrl := Control}} -> {ok, iolist_to_binary(Iov), fds(Control)};
        {error, _} = Error -> Error
    end.

%% Sends a request that brings no descriptor, and receives its answer.
-spec call_now(socket:socket(), Request :: term(), [procket:fd()], timeout()) -> {ok, Answer :: term()} | {error, procket:posix()}.
call_now(Socket, Request, FDs, Timeout) ->
    case send_now(Socket, term_to_binary(Request), FDs, Timeout) of
        ok ->
            try
                {ok, <<Size:32>>} = socket:recv(Socket, 4, [], Timeout),
                {ok, Answer} = socket:recv(Socket, Size, [], Timeout),
                {ok, binary_to_term(Answer)}
            catch
                error:{badmatch, {error, timeout}} -> {error, etimedout};
                error:{badmatch, {error, _}} -> {error, epipe}
            end;
        {error, closed} ->
            {error, epipe};
        {error, _} = Error ->
            Error
    end.

message(Frame, FDs) ->
    case {iolist_size(Frame), lists:all(fun(FD) -> FD =< 16#7fffffff end, FDs)} of
        {Size, _} when Size > ?MAX_FRAME -> {error, emsgsize};
        {_, false} -> {error, ebadf};
        {Size, true} -> #{iov => [<<Size:32>> | erlang:iolist_to_iovec(Frame)], ctrl => control(FDs)}
    end.

control([]) -> [];
control(FDs) -> [#{level => socket, type => rights, data => <<<<FD:32/native>> || FD <- FDs>>}].

%% The descriptors among control messages.
fds(Control) ->
    [FD || #{level := socket, type := rights, data := Data} <- Control, <<FD:32/native>> <= Data].
