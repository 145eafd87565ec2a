%% What the suites of gen_raw share: a veth pair in a namespace of its own, frames, and who receives them.
-module(raw_test).
-include_lib("stdlib/include/assert.hrl").

-export([with_veth/1, set_up/2, open/2, open/3, ip/2, frame/1, frame/2, frames/1, number/1, numbers/1]).
-export([collect/2, collect/3, settled/1, capture_pid/1, switches/1, flush/1]).

-define(ETHER_TYPE, 16#88b5).

%% Calls `Fun' with the name of a namespace that has the interfaces "tx0" and "rx0", joined, up, and silent but for what is sent.
with_veth(Fun) ->
    procket_test:with_netns(fun(Name) ->
        _ = procket_test:sh_ok(["ip netns exec ", Name, " sh -c 'for i in all default; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done'"]),
        ip(Name, "link add tx0 type veth peer name rx0"),
        set_up(Name, ["tx0", "rx0"]),
        Fun(Name)
    end).

%% Sets both ends of a pair up, and waits until the kernel has noticed: before, it throws away what is sent.
set_up(Name, Pair) ->
    [ip(Name, ["link set ", End, " up"]) || End <- Pair],
    procket_test:wait_until(fun() ->
        Shown = [ip(Name, ["-o link show ", End]) || End <- Pair],
        lists:all(fun(Line) -> re:run(Line, "qdisc (?!noop ).* state UP ") =/= nomatch end, Shown) orelse Shown
    end).

ip(Name, Line) ->
    procket_test:sh_ok(["ip -n ", Name, " ", Line]).

open(Name, Interface) ->
    open(Name, Interface, []).

%% What an interface is sent by the other, not what it sends itself.
open(Name, Interface, Options) ->
    {ok, Socket} = gen_raw:open(Interface, Options ++ [{direction, in}, {namespace, "/run/netns/" ++ Name}]),
    Socket.

frame(N) ->
    frame(N, 64).

frame(N, Size) ->
    <<2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, ?ETHER_TYPE:16, N:32, 0:((Size - 18) * 8)>>.

frames(Count) ->
    [frame(N) || N <- lists:seq(1, Count)].

number(<<_:96, ?ETHER_TYPE:16, N:32, _/binary>>) -> N;
number({_, _, Packet}) -> number(Packet).

numbers(Packets) ->
    [number(Packet) || Packet <- Packets].

%% So many packets of an active socket, or of a passive one.
collect(Socket, Count) ->
    collect(Socket, Count, active).

collect(Socket, Count, Way) ->
    collect(Socket, Count, Way, []).

collect(_Socket, Count, _Way, Lists) when Count =< 0 ->
    lists:append(lists:reverse(Lists));
collect(Socket, Count, Way, Lists) ->
    Packets = next(Socket, Way),
    collect(Socket, Count - length(Packets), Way, [Packets | Lists]).

next(Socket, active) ->
    receive
        {raw, Socket, Packets} -> Packets
    after 30_000 -> error({nothing_comes, gen_raw:stats(Socket)})
    end;
next(Socket, passive) ->
    {ok, Packets} = gen_raw:recv(Socket, 10_000),
    Packets.

%% The counters, once the kernel has seen so many packets.
settled({Socket, Received}) ->
    procket_test:wait_until(fun() ->
        {ok, #{received := Seen}} = gen_raw:stats(Socket),
        Seen >= Received orelse Seen
    end),
    {ok, Stats} = gen_raw:stats(Socket),
    Stats;
settled(Socket) ->
    procket_test:wait_until(fun() ->
        {ok, #{queued := Queued}} = gen_raw:stats(Socket),
        Queued =:= 0 orelse Queued
    end),
    {ok, Stats} = gen_raw:stats(Socket),
    Stats.

%% The process identifier of a socket's port process, on this node.
capture_pid(Socket) ->
    {links, Links} = process_info(Socket, links),
    [Pid] = [Pid || Port <- Links, is_port(Port), {os_pid, Pid} <- [erlang:port_info(Port, os_pid)], is_integer(Pid)],
    integer_to_list(Pid).

%% How often its port process has slept.
switches(Socket) ->
    {ok, Status} = file:read_file("/proc/" ++ capture_pid(Socket) ++ "/status"),
    {match, [Count]} = re:run(Status, "\nvoluntary_ctxt_switches:\\s+(\\d+)", [{capture, all_but_first, list}]),
    list_to_integer(Count).

%% All that has come.
flush(Socket) ->
    receive
        {raw, Socket, Packets} -> Packets ++ flush(Socket)
    after 0 -> []
    end.
