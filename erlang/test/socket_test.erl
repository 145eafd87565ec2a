%% Connected and bound sockets, and what else the suites of calls share.
-module(socket_test).

-export([with_udp/1, with_udp_pair/1, with_unix_pair/1, with_listener/1, with_stream/1, await/2, fill/2]).

with_udp(Fun) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
    {ok, Name} = procket:getsockname(FD, <<0:128>>),
    try
        Fun(FD, Name)
    after
        procket:close(FD)
    end.

with_udp_pair(Fun) ->
    with_udp(fun(A, NameA) -> with_udp(fun(B, NameB) -> Fun(A, NameA, B, NameB) end) end).

with_unix_pair(Fun) ->
    Sockaddr = fun(N) ->
        Name = iolist_to_binary(["procket-", os:getpid(), "-", integer_to_list(erlang:unique_integer([positive])), N]),
        <<(procket:sockaddr_common(procket:family(local), 0))/binary, 0, Name/binary>>
    end,
    {ok, A} = procket:socket(local, dgram, 0),
    {ok, B} = procket:socket(local, dgram, 0),
    NameB = Sockaddr("b"),
    ok = procket:bind(B, NameB),
    ok = procket:connect(A, NameB),
    try
        Fun(A, B)
    after
        lists:foreach(fun procket:close/1, [A, B])
    end.

with_listener(Fun) ->
    {ok, FD} = procket:socket(inet, stream, tcp),
    ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
    ok = procket:listen(FD),
    {ok, <<_:16, Port:16, _/binary>>} = procket:getsockname(FD, <<0:128>>),
    Connect = fun() ->
        {ok, Client} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}]),
        {ok, ClientPort} = inet:port(Client),
        await(FD, read),
        {Client, procket_test:sockaddr(ClientPort, {127, 0, 0, 1})}
    end,
    try
        Fun(FD, Connect)
    after
        procket:close(FD)
    end.

%% A connected descriptor, and its peer in gen_tcp.
with_stream(Fun) ->
    with_listener(fun(FD, Connect) ->
        {Peer, _} = Connect(),
        {ok, Stream} = procket:accept(FD),
        try
            Fun(Stream, Peer)
        after
            gen_tcp:close(Peer),
            procket:close(Stream)
        end
    end).

await(FD, Direction) ->
    ok = procket:select(FD, Direction),
    receive
        {procket, FD, ready, Direction} -> ok;
        {procket, FD, error, Reason} -> error(Reason)
    after 30_000 -> error({not_ready, Direction})
    end.

%% Writes until nothing more is taken; how many bytes were, and what it said then.
fill(FD, Sent) ->
    Data = <<0:(1_000_000 * 8)>>,
    case procket:write(FD, Data) of
        ok -> fill(FD, Sent + byte_size(Data));
        {ok, Part} when Part < byte_size(Data) -> fill(FD, Sent + Part);
        Error -> {Sent, Error}
    end.
