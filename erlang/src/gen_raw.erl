%% @doc Packets as a stream: captures and injects on a network interface, or on a descriptor that has messages.
%%
%% Used as `gen_udp' is, but that packets come in lists: as many as were there. A socket is a process, supervised, with a port process of its
%% own that reads the kernel's memory-mapped ring and has no rights at all. The socket that it reads is opened by an opener, as
%% {@link procket:open/2} does, so the BEAM needs none either.
%%
%% ```
%% {ok, Socket} = gen_raw:open("lo", [{protocol, 16#88b5}, {direction, in}, {active, once}]),
%% ok = gen_raw:send(Socket, <<0:96, 16#88b5:16, "hello">>),
%% receive
%%     {raw, Socket, [<<_:14/binary, "hello">>]} -> ok
%% end,
%% {ok, #{received := 1, delivered := 1, kernel_dropped := 0}} = gen_raw:stats(Socket),
%% ok = gen_raw:close(Socket).
%% '''
%%
%% The owner, at first the process that opened the socket, gets in an active mode:
%% <ul>
%% <li>`{raw, Socket, [Packet]}': packets, in the order in which they came;</li>
%% <li>`{raw_passive, Socket}': `{active, N}' has come to its end;</li>
%% <li>`{raw_error, Socket, Reason}': an error that the socket survives, as `enetdown' (the interface was taken down), or that ends it: then
%% comes</li>
%% <li>`{raw_closed, Socket}': it is closed, but not by {@link close/1}.</li>
%% </ul>
%% In passive mode {@link recv/2} returns the same. Nothing gets lost without being counted: {@link stats/1}.
%%
%% `docs/capture.md' says what the counters mean, how large a buffer has to be, and when to copy packets.
-module(gen_raw).

-export([open/2, close/1, recv/2, send/2, setopts/2, getopts/2, controlling_process/2, stats/1, info/1]).

-export_type([socket/0, source/0, option/0, active/0, packet/0, instruction/0, stats/0, info/0]).

-type socket() :: pid().
-type source() :: Interface :: string() | {fd, procket:fd()}.
%% The name of an interface; `"any"' is all of them.
-type active() :: boolean() | once | 1..32767.
-type packet() :: binary() | {NanoSeconds :: non_neg_integer(), OriginalLength :: non_neg_integer(), binary()}.
%% With the option `timestamps': nanoseconds since 1970, and the length in bytes that the packet had on the wire.
-type instruction() :: packet:instruction().
-type option() ::
    {active, active()}
    | {filter, Expression :: string() | binary() | [instruction()]}
    | {protocol, EtherType :: 0..16#ffff}
    | {snaplen, Bytes :: 1..262144}
    | {promiscuous, boolean()}
    | {direction, in | out | both}
    | {buffer, Bytes :: pos_integer()}
    | {timestamps, boolean()}
    | {link, raw | cooked}
    | {namespace, file:filename()}
    | {exec, [string()]}
    | {progname, string()}.
-type stats() :: #{
    received := non_neg_integer(),
    delivered := non_neg_integer(),
    queued := integer(),
    kernel_dropped := non_neg_integer(),
    truncated := non_neg_integer(),
    sent := non_neg_integer()
}.
-type info() :: #{
    interface => string(),
    index => non_neg_integer(),
    mac => packet:mac(),
    mtu => non_neg_integer(),
    hardware => non_neg_integer(),
    link => raw | cooked,
    link_type => non_neg_integer() | undefined,
    fd => procket:fd()
}.
%% `hardware': `ARPHRD_*' of `linux/if_arp.h'; `link_type': the number that files of captured packets have, see pcap-linktype(7).

%% Requests to send are about so long, in bytes, and so many of a call are on the way at once.
-define(CHUNK, 60_000).
-define(WINDOW, 2).
%% The longest frame that is tried, in bytes: no kernel takes one so long.
-define(MAX_FRAME, 1_048_576).
%% What a binary takes beside its bytes.
-define(HEADER, 5).
%% The longest time in `receive ... after', in milliseconds.
-define(MAX_TIMEOUT, 16#ffffffff).

%% @doc Opens a socket on an interface, on all (`"any"'), or on a descriptor.
%%
%% `{Node, Interface}' opens it on another node, on which procket is there too. It still belongs to the calling process; when the
%% connection between the nodes is lost, it is closed.
%%
%% `{fd, FD}' is a descriptor of the BEAM that has messages: a TUN or TAP device, a socket that is raw, of netlink or UDP. It stays the caller's to
%% close, after the socket; if it is closed before by {@link procket:close/1}, the socket ends with `ebadf'.
%%
%% Options; the first of each counts, another raises `badarg':
%% <ul>
%% <li>`{active, false | true | once | N}': default false. `N' is a number of packets, exactly;</li>
%% <li>`{filter, Expression}': in the language of pcap-filter(7), compiled by libpcap; `{filter, [Instruction]}': as {@link bpf:stmt/2} and
%% {@link bpf:jump/4} make them. Nothing that does not pass is ever delivered;</li>
%% <li>`{snaplen, Bytes}': what is kept of each packet, default 262144;</li>
%% <li>`{timestamps, boolean()}': default false. Of the kernel; of `{fd, FD}', when it was read.</li>
%% </ul>
%% And of interfaces only:
%% <ul>
%% <li>`{protocol, EtherType}', as `16#0800': default all;</li>
%% <li>`{promiscuous, boolean()}': default false;</li>
%% <li>`{direction, in | out | both}': default both;</li>
%% <li>`{buffer, Bytes}': the kernel's ring, default 16 MiB, rounded up to 128 KiB;</li>
%% <li>`{link, raw | cooked}': with the link-layer header (default), or without it; packet(7);</li>
%% <li>`{namespace, Path}', `{exec, Prefixes}', `{progname, Command}': as in {@link procket:open/2}.</li>
%% </ul>
%%
%% Errors: those of {@link procket:open/2}; `enodev', no such interface; `enomem', no memory for the buffer; `{filter, Message}', what
%% libpcap or the kernel has against the filter; `enotsup', the descriptor has a stream or is a file; `noconnection', the node cannot be reached.
-spec open(source() | {node(), Interface :: string()}, [option()]) ->
    {ok, socket()} | {error, procket:posix() | {filter, string()} | noconnection}.
open({Node, Interface}, Options) when is_atom(Node), Node =/= fd ->
    Parsed = gen_raw_opts:parse(Interface, Options),
    try
        erpc:call(Node, gen_raw_server, open, [Parsed, self()])
    catch
        error:{erpc, Reason} -> {error, Reason};
        error:{exception, undef, _} -> {error, enosys}
    end;
open(Source, Options) ->
    gen_raw_server:open(gen_raw_opts:parse(Source, Options), self()).

%% @doc Closes a socket. Packets that wait are thrown away.
%% One that is closed already is `ok' too.
%%
%% ```
%% ok = gen_raw:close(Socket),
%% ok = gen_raw:close(Socket),
%% {error, closed} = gen_raw:info(Socket).
%% '''
-spec close(socket()) -> ok.
close(Socket) ->
    case call(Socket, close, infinity) of
        ok -> ok;
        %% It has ended already, or is no socket.
        {error, _} -> ok
    end.

%% @doc Takes the packets that are there, at least one and at most what the port process sent at once; waits for the first of them.
%%
%% `Timeout' in milliseconds, at most 16#ffffffff. The socket keeps the time: the limit of calls (`timeout' of the application's environment)
%% does not apply. Errors: `timeout'; `closed'; `einval', the socket is active; those that an active socket gets as `raw_error'.
%%
%% ```
%% {ok, [<<_:14/binary, "hello">>]} = gen_raw:recv(Socket, 5000),
%% {error, timeout} = gen_raw:recv(Socket, 0).
%% '''
-spec recv(socket(), timeout()) -> {ok, [packet()]} | {error, timeout | closed | procket:posix()}.
recv(Socket, Timeout) when is_integer(Timeout), Timeout >= 0, Timeout =< ?MAX_TIMEOUT; Timeout =:= infinity ->
    case call(Socket, {recv, Timeout}, infinity) of
        {ok, {batch, Batch}} -> {ok, gen_raw_batch:decode(Batch)};
        {ok, {packets, Packets}} -> {ok, Packets};
        {error, _} = Error -> Error
    end;
recv(_Socket, Timeout) ->
    procket_error:badarg({timeout, Timeout}).

%% @doc Sends a frame, with its link-layer header, or a list of frames in this order: sendmmsg(2).
%%
%% It waits while the interface takes no more. `{error, {Reason, Sent}}': the first `Sent' of the frames were sent, the next one was refused,
%% and those behind it were not tried. `etimedout': for so long as a call may take (`timeout' of the application's environment, 5000
%% milliseconds) none of them went out; some of those behind the first `Sent' still may. `enetdown', the interface is down; `emsgsize', the frame is longer than it takes; `enobufs', its
%% queue is full; `edestaddrreq' and others of sendmsg(2) on a descriptor that is not connected; `closed'.
%% A cooked socket does not send: `enotsup'.
%%
%% ```
%% ok = gen_raw:send(Socket, [<<0:96, 16#88b5:16, N:32>> || N <- lists:seq(1, 1000)]).
%% '''
-spec send(socket(), Frame :: binary() | [Frame :: binary()]) ->
    ok | {error, {closed | procket:posix(), Sent :: non_neg_integer()}}.
send(Socket, Frame) when is_binary(Frame) ->
    send(Socket, [Frame]);
send(Socket, Frames) when is_pid(Socket) ->
    ok = check_frames(Frames),
    %% A frame that no request can hold is refused here, as the kernel refuses one that is too long: those before it are sent.
    {Short, Rest} = lists:splitwith(fun(Frame) -> byte_size(Frame) =< ?MAX_FRAME end, Frames),
    Id = monitor(process, Socket, [{alias, explicit_unalias}]),
    Result = send(Socket, Id, Short, 0, {0, ok}),
    _ = unalias(Id),
    true = demonitor(Id, [flush]),
    ok = flush(Id),
    case {Result, Rest} of
        {ok, [_ | _]} -> {error, {emsgsize, length(Short)}};
        _ -> Result
    end;
send(Socket, _Frames) ->
    procket_error:badarg({socket, Socket}).

check_frames([Frame | Frames]) when is_binary(Frame) -> check_frames(Frames);
check_frames([]) -> ok;
check_frames([Frame | _]) -> procket_error:badarg({frame, Frame});
check_frames(Frames) -> procket_error:badarg({frames, Frames}).

%% Answers that came after the time was up.
flush(Id) ->
    receive
        {Id, _} -> flush(Id)
    after 0 -> ok
    end.

%% Some chunks are on the way; when one fails, those behind it are refused by the port process.
send(_Socket, _Id, [], 0, {_Sent, ok}) ->
    ok;
send(_Socket, _Id, _Frames, 0, {Sent, {error, Reason}}) ->
    {error, {Reason, Sent}};
send(Socket, Id, [_ | _] = Frames, Flying, {_, ok} = Before) when Flying < ?WINDOW ->
    {Chunk, Rest} = chunk(Frames, 0, []),
    gen_server:cast(Socket, {send, Id, term_to_binary({Id, send, [Chunk]})}),
    send(Socket, Id, Rest, Flying + 1, Before);
send(Socket, Id, Frames, Flying, {Sent, Result} = Before) ->
    receive
        {Id, {ok, Count}} -> send(Socket, Id, Frames, Flying - 1, {Sent + Count, Result});
        {Id, {error, {ecanceled, 0}}} when Result =/= ok -> send(Socket, Id, Frames, Flying - 1, Before);
        {Id, {error, {Reason, Count}}} -> send(Socket, Id, Frames, Flying - 1, {Sent + Count, {error, Reason}});
        {'DOWN', Id, process, Socket, _} -> {error, {closed, Sent}}
    after procket_client:timeout() ->
        {error, {etimedout, Sent}}
    end.

chunk([Frame | Frames], Size, Chunk) when Size =:= 0; Size + byte_size(Frame) + ?HEADER =< ?CHUNK ->
    chunk(Frames, Size + byte_size(Frame) + ?HEADER, [Frame | Chunk]);
chunk(Frames, _Size, Chunk) ->
    {lists:reverse(Chunk), Frames}.

%% @doc Sets `{active, Mode}'; other options are given when a socket is opened: `{error, einval}'.
%%
%% As with `gen_udp', a number is added to what is left of the one before, and can be negative.
%%
%% ```
%% ok = gen_raw:setopts(Socket, [{active, 100}]),
%% receive {raw, Socket, [<<_:14/binary, "hello">>]} -> ok end,
%% {ok, [{active, 99}]} = gen_raw:getopts(Socket, [active]).
%% '''
-spec setopts(socket(), [{active, active() | -32768..-1}]) -> ok | {error, einval | closed | etimedout}.
setopts(Socket, Options) ->
    case values(Options) of
        {ok, Values} -> activate(Socket, Values);
        error -> {error, einval}
    end.

values([{active, Value} | Options]) ->
    case gen_raw_opts:active(Value) orelse is_negative(Value) of
        true ->
            case values(Options) of
                {ok, Values} -> {ok, [Value | Values]};
                error -> error
            end;
        false ->
            error
    end;
values([]) ->
    {ok, []};
values([_ | _]) ->
    error;
values(Options) ->
    procket_error:badarg({options, Options}).

is_negative(N) -> is_integer(N) andalso N < 0 andalso N >= -32768.

activate(_Socket, []) ->
    ok;
activate(Socket, [Value | Values]) ->
    case call(Socket, {active, Value}) of
        ok -> activate(Socket, Values);
        {error, _} = Error -> Error
    end.

%% @doc The values of options, as {@link open/2} knows them. Of `active' what is left of it.
%% `{error, einval}': one of the names is not known, or of no option that can be asked for, as `filter'.
%%
%% ```
%% {ok, [{snaplen, 262144}, {direction, in}]} = gen_raw:getopts(Socket, [snaplen, direction]).
%% '''
-spec getopts(socket(), [atom()]) -> {ok, [{atom(), term()}]} | {error, einval | closed | etimedout}.
getopts(Socket, Names) when is_list(Names), length(Names) >= 0 ->
    case call(Socket, getopts) of
        {ok, Options} ->
            Known = maps:without([source, open, filter], Options),
            case lists:all(fun(Name) -> is_map_key(Name, Known) end, Names) of
                true -> {ok, [{Name, maps:get(Name, Known)} || Name <- Names]};
                false -> {error, einval}
            end;
        {error, _} = Error ->
            Error
    end;
getopts(_Socket, Names) ->
    procket_error:badarg({names, Names}).

%% @doc Gives the socket to another process, on any node. Messages that its owner has not read yet go along.
%%
%% `not_owner': the caller is not the owner. `etimedout': the socket did not answer within the limit of calls; the call can be repeated,
%% and is `not_owner' then if the socket was given away after all.
%%
%% ```
%% Other = spawn(fun() -> receive stop -> ok end end),
%% ok = gen_raw:controlling_process(Socket, Other),
%% {error, not_owner} = gen_raw:controlling_process(Socket, self()).
%% '''
-spec controlling_process(socket(), NewOwner :: pid()) -> ok | {error, not_owner | closed | etimedout}.
controlling_process(Socket, NewOwner) when is_pid(NewOwner) ->
    case call(Socket, {handover, start}) of
        ok ->
            ok = move_messages(Socket, NewOwner),
            kept(call(Socket, {handover, NewOwner}), Socket);
        {error, _} = Error ->
            kept(Error, Socket)
    end;
controlling_process(_Socket, NewOwner) ->
    procket_error:badarg({owner, NewOwner}).

%% A request that has timed out may still be served: the socket goes on as before then.
kept({error, etimedout} = Error, Socket) ->
    ok = gen_server:cast(Socket, {keep, self()}),
    Error;
kept(Result, _Socket) ->
    Result.

move_messages(_Socket, NewOwner) when NewOwner =:= self() ->
    ok;
move_messages(Socket, NewOwner) ->
    receive
        {raw, Socket, _} = Message -> move_message(Message, Socket, NewOwner);
        {raw_passive, Socket} = Message -> move_message(Message, Socket, NewOwner);
        {raw_error, Socket, _} = Message -> move_message(Message, Socket, NewOwner);
        {raw_closed, Socket} = Message -> move_message(Message, Socket, NewOwner)
    after 0 -> ok
    end.

move_message(Message, Socket, NewOwner) ->
    NewOwner ! Message,
    move_messages(Socket, NewOwner).

%% @doc What became of the packets, since the socket was opened:
%% `received' = `delivered' + `queued' + `kernel_dropped'.
%%
%% <ul>
%% <li>`received': packets that passed the filter, as the kernel counts them, those included for which it had no room;</li>
%% <li>`delivered': handed to the owner, or returned by {@link recv/2};</li>
%% <li>`queued': on the way, in the kernel's ring, the port process or the socket;</li>
%% <li>`kernel_dropped': what the kernel had no room for;</li>
%% <li>`truncated': of those that left the kernel, the ones of which a part is missing: longer than `snaplen', or than 128 KiB;</li>
%% <li>`sent': frames that {@link send/2} sent.</li>
%% </ul>
%%
%% ```
%% {ok, [_]} = gen_raw:recv(Socket, 5000),
%% {ok, #{received := 1, delivered := 1, kernel_dropped := 0}} = gen_raw:stats(Socket).
%% '''
-spec stats(socket()) -> {ok, stats()} | {error, closed | procket:posix()}.
stats(Socket) ->
    call(Socket, stats).

%% @doc What the socket captures from, as it is now: name, index, hardware address, MTU in bytes, type.
%% Of `"any"' there is no address; of `{fd, FD}' there is the descriptor. `enodev': the interface has been removed.
%%
%% ```
%% {ok, #{interface := "lo", mac := {0,0,0,0,0,0}, link_type := 1}} = gen_raw:info(Socket).
%% '''
-spec info(socket()) -> {ok, info()} | {error, closed | procket:posix()}.
info(Socket) ->
    call(Socket, info).

call(Socket, Request) ->
    call(Socket, Request, procket_client:timeout()).

call(Socket, Request, Timeout) when is_pid(Socket) ->
    gen_raw_server:call(Socket, Request, Timeout);
call(Socket, _Request, _Timeout) ->
    procket_error:badarg({socket, Socket}).
