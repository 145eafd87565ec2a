%% Tables of constants, byte order and alignment.
-module(constants_SUITE).
-include_lib("stdlib/include/assert.hrl").
-compile([export_all, nowarn_export_all]).

all() ->
    [
        constants, constants_both_ways, byte_order, wordalign
    ].

suite() ->
    [{timetrap, {minutes, 1}}].

init_per_suite(Config) ->
    Config.

end_per_suite(_Config) ->
    _ = application:stop(procket).

constants(_Config) ->
    [
        begin
            ?assert(length(Table) > Least),
            ?assertEqual([], [C || C = {N, V} <- Table, not (is_atom(N) andalso is_integer(V))])
        end
     || {Table, Least} <- [{procket:socket_level(), 30}, {procket:socket_optname(), 200}, {procket:socket_protocol(), 20}]
    ].

constants_both_ways(_Config) ->
    ?assertEqual(1, procket:socket_level('SOL_SOCKET')),
    ?assertEqual('SOL_SOCKET', procket:socket_level(1)),
    ?assertEqual(41, procket:socket_level('IPPROTO_IPV6')),
    ?assertEqual(15, procket:socket_optname('SO_REUSEPORT')),
    ?assertEqual('SO_REUSEPORT', procket:socket_optname(15)),
    %% Of those that share a number, the one of every socket.
    ?assertEqual(['SO_DEBUG', 'SO_REUSEADDR', 'SO_TYPE', 'SO_ERROR'], [procket:socket_optname(N) || N <- [1, 2, 3, 4]]),
    ?assertEqual(26, procket:socket_optname('IPV6_V6ONLY')),
    ?assertEqual(58, procket:socket_protocol('IPPROTO_ICMPV6')),
    ?assertEqual('IPPROTO_UDP', procket:socket_protocol(17)),
    ?assertEqual(undefined, procket:socket_optname('SO_NOT_THERE')),
    ?assertEqual(undefined, procket:socket_level(123456)),
    ?assertEqual(undefined, procket:socket_protocol(123456)).

byte_order(_Config) ->
    <<Long:32/native>> = <<1, 2, 3, 4>>,
    <<Short:16/native>> = <<1, 2>>,
    ?assertEqual(16#01020304, procket:ntohl(Long)),
    ?assertEqual(16#01020304, procket:ntohl(<<4, 3, 2, 1>>)),
    ?assertEqual(16#0102, procket:ntohs(Short)),
    ?assertEqual(16#0102, procket:ntohs(<<1, 2>>)),
    ?assertError(function_clause, procket:ntohs(16#10000)).

wordalign(_Config) ->
    ?assertEqual([0, 7, 6, 1, 0, 7], [procket:wordalign(N, 8) || N <- [0, 1, 2, 7, 8, 9]]),
    ?assertEqual([0, 3, 2, 1, 0], [procket:wordalign(N, 4) || N <- [0, 1, 2, 3, 4]]),
    ?assertEqual(erlang:system_info({wordsize, external}) - 1, procket:wordalign(1)),
    ?assertError(function_clause, procket:wordalign(1, 0)).
