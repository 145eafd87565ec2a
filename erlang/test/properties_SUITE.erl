%% Random sequences of calls against a model that OTP's `socket' answers, and terms of every size over the wire.
-module(properties_SUITE).
-include_lib("stdlib/include/assert.hrl").
-include_lib("proper/include/proper.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [calls_are_those_of_a_twin, every_size_crosses].

suite() ->
    [{timetrap, {minutes, 5}}].

init_per_suite(Config) -> Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

check(Property, Times) ->
    ?assert(proper:quickcheck(Property, [{numtests, Times}, {to_file, user}, noshrink, quiet])).

%% Four places, in each a socket of procket and its twin in OTP, or nothing.
calls_are_those_of_a_twin(_Config) ->
    Before = procket_test:open_fds(),
    check(?FORALL(Calls, proper_types:list(call()), run(Calls)), 200),
    procket_test:wait_until(fun() -> procket_test:open_fds() =< Before + 8 end).

place() -> proper_types:integer(1, 4).

call() ->
    proper_types:oneof([
        {open, place(), proper_types:oneof([socket, open, foreign])},
        {dup, place(), place()},
        {close, place()},
        {send, place(), place(), proper_types:binary()},
        {send, place(), place(), ?LET(N, proper_types:integer(65_500, 65_507), binary:copy(<<N>>, N))},
        {recv, place()},
        {option, place(), proper_types:integer(0, 6)},
        {name, place()}
    ]).

run(Calls) ->
    try
        End = lists:foldl(fun(Call, Places) -> step(Call, Places) end, #{}, Calls),
        _ = maps:fold(
            fun(Place, Pair, Places) ->
                Others = maps:remove(Place, Places),
                close(Pair, Others),
                Others
            end, End, End),
        true
    catch
        %% PropEr 1.2 cannot say what an exception was.
        Class:Reason:Stack ->
            ct:pal("~0tp: ~0tP~n~0tp~n~0tP", [Class, Reason, 30, Stack, Calls, 200]),
            false
    end.

step({open, Place, How}, Places) when not is_map_key(Place, Places) ->
    {ok, Twin} = socket:open(inet, dgram, udp),
    ok = socket:bind(Twin, #{family => inet, addr => loopback, port => 0}),
    Pair = {open(How), Twin},
    make_room(Pair),
    Places#{Place => Pair};
step({dup, From, To}, Places) when is_map_key(From, Places), not is_map_key(To, Places) ->
    {FD, Twin} = maps:get(From, Places),
    Places#{To => {dup(fd(FD)), Twin}};
step({close, Place}, Places) when is_map_key(Place, Places) ->
    {Pair, Others} = maps:take(Place, Places),
    close(Pair, Others),
    same(getsockname, {error, ebadf}, case procket:getsockname(1_000_000 + Place, <<0:128>>) of {error, R} -> {error, R} end),
    Others;
step({send, From, To, Data}, Places) when is_map_key(From, Places), is_map_key(To, Places) ->
    {{FD, Twin}, {ToFD, ToTwin}} = {maps:get(From, Places), maps:get(To, Places)},
    {ok, Name} = procket:getsockname(fd(ToFD), <<0:128>>),
    {ok, Address} = socket:sockname(ToTwin),
    same(send, socket:sendto(Twin, Data, Address), procket:sendto(fd(FD), Data, 0, Name)),
    Places;
step({recv, Place}, Places) when is_map_key(Place, Places) ->
    {FD, Twin} = maps:get(Place, Places),
    Ask = fun() ->
        case socket:recvfrom(Twin, 65_507, [], 0) of {ok, {_, Data}} -> {ok, Data}; {error, timeout} -> {error, eagain}; Other -> Other end
    end,
    {Expected, Got} = received({Ask(), procket:recvfrom(fd(FD), 65_507)}, Ask, FD, 6000),
    same(recv, Expected, Got),
    Places;
step({option, Place, Value}, Places) when is_map_key(Place, Places) ->
    {FD, Twin} = maps:get(Place, Places),
    same(setopt, socket:setopt(Twin, {socket, priority}, Value), procket:setsockopt(fd(FD), 'SOL_SOCKET', 'SO_PRIORITY', <<Value:32/native>>)),
    {ok, Got} = socket:getopt(Twin, {socket, priority}),
    same(getopt, {ok, <<Got:32/native>>}, procket:getsockopt(fd(FD), 'SOL_SOCKET', 'SO_PRIORITY', <<0:32>>)),
    Places;
step({name, Place}, Places) when is_map_key(Place, Places) ->
    {FD, _} = maps:get(Place, Places),
    {ok, <<2:16/native, Port:16, 127, 0, 0, 1, _/binary>>} = procket:getsockname(fd(FD), <<0:128>>),
    same(port, true, Port > 0),
    Places;
step(_, Places) ->
    Places.

%% How much memory a datagram counts for varies: one of two sockets could be full before the other. Without root they may be.
make_room({FD, Twin}) ->
    _ = procket:setsockopt(fd(FD), 'SOL_SOCKET', 'SO_RCVBUFFORCE', <<(1 bsl 24):32/native>>),
    _ = socket:setopt(Twin, {socket, rcvbufforce}, 1 bsl 24),
    ok.

%% One of two datagrams that were sent one after the other may have to wait for a kernel thread.
received({{ok, _} = Expected, {error, eagain}}, Ask, FD, Tries) when Tries > 0 ->
    timer:sleep(10),
    received({Expected, procket:recvfrom(fd(FD), 65_507)}, Ask, FD, Tries - 1);
received({{error, eagain}, {ok, _} = Got}, Ask, FD, Tries) when Tries > 0 ->
    timer:sleep(10),
    received({Ask(), Got}, Ask, FD, Tries - 1);
received(Both, _Ask, _FD, _Tries) ->
    Both.

same(_, Value, Value) -> ok;
same(What, Expected, Got) -> throw({differs, {What, Expected, Got}}).

open(socket) ->
    {ok, FD} = procket:socket(inet, dgram, udp),
    ok = procket:bind(FD, procket_test:sockaddr(0, {127, 0, 0, 1})),
    {own, FD};
open(open) ->
    {ok, FD} = procket:open(0, [{protocol, udp}, {ip, {127, 0, 0, 1}}]),
    {own, FD};
open(foreign) ->
    {ok, Socket} = gen_udp:open(0, [{ip, {127, 0, 0, 1}}, {active, false}]),
    {ok, FD} = inet:getfd(Socket),
    {foreign, Socket, FD}.

fd({own, FD}) -> FD;
fd({foreign, _, FD}) -> FD.

%% Through a socket of family local: SCM_RIGHTS.
dup(FD) ->
    Path = "/tmp/procket-" ++ os:getpid() ++ "-" ++ integer_to_list(erlang:unique_integer([positive])),
    {ok, A} = procket:socket(local, dgram, 0),
    Address = <<1:16/native, (list_to_binary(Path))/binary, 0>>,
    ok = procket:bind(A, Address),
    ok = procket:sendmsg(A, <<"x">>, 0, [{1, 1, <<FD:32/native>>}], Address),
    {ok, <<"x">>, _, [{1, 1, <<New:32/native>>}]} = procket:recvmsg(A, 10, 0, 64),
    ok = procket:close(A),
    ok = file:delete(Path),
    {own, New}.

%% Two places may share a twin: OTP sets the file of a socket that it closes to block, which a copy would share.
close({FD, Twin}, Others) ->
    _ = case FD of {own, N} -> procket:close(N); {foreign, Socket, _} -> gen_udp:close(Socket) end,
    case lists:keymember(Twin, 2, maps:values(Others)) of
        true -> ok;
        false -> socket:close(Twin)
    end.

%% The size of a request and of an answer, on the direct connection and through the server, most of all about what is received at once.
every_size_crosses(_Config) ->
    {ok, _, [Resource]} = procket:alloc([{ptr, 400_000}]),
    Crosses = fun(N) ->
        Data = rand:bytes(N),
        ok = procket:memcpy(Resource, Data),
        {ok, <<Got:N/binary, _/binary>>} = procket:buf(Resource),
        Got =:= Data
    end,
    %% Behind what else is in a frame.
    Edges = lists:seq(32_600, 32_800) ++ lists:seq(65_300, 65_600),
    All = fun() ->
        ?assertEqual([], [N || N <- Edges, not Crosses(N)]),
        check(?FORALL(N, proper_types:integer(0, 300_000), Crosses(N)), 100)
    end,
    All(),
    procket_test:with_direct_held(fun(_Server) -> All() end).
